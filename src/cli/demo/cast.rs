//! The jobs of the demo: what each runs, and how it must end.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::job::{File, InvalidId, JobSpec, Outcome};
use crate::windmill::sample;

/// Events that all simulations follow together: some seconds of CPU.
const EVENTS: u32 = 1000;
/// The least that one simulates.
const LEAST_EVENTS: u32 = 5;
/// The endless one starts first, so that there is something to kill.
const FIRST: i32 = 900;

/// What a job has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// It succeeds.
    Simulation,
    /// It fails twice and then succeeds.
    Flaky,
    /// It fails for good.
    Broken,
    /// It is killed.
    Endless,
}

/// A job of the demo.
pub(super) struct Actor {
    pub(super) role: Role,
    pub(super) spec: JobSpec,
}

impl Role {
    pub(super) const ALL: [Self; 4] = [Self::Simulation, Self::Flaky, Self::Broken, Self::Endless];

    /// What it runs, as the supervisor names it.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Simulation => "share/dc2.g4sim.trf",
            Self::Flaky => "share/dc2.flaky.trf",
            Self::Broken => "share/dc2.broken.trf",
            Self::Endless => "share/dc2.endless.trf",
        }
    }

    /// What there is to see.
    pub(super) fn story(self) -> &'static str {
        match self {
            Self::Simulation => "succeeded",
            Self::Flaky => "failed twice, then succeeded",
            Self::Broken => "failed for good, exit code 65",
            Self::Endless => "killed while it ran",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Simulation => include_str!("../../../fixtures/demo/simulate.sh"),
            Self::Flaky => include_str!("../../../fixtures/demo/flaky.sh"),
            Self::Broken => include_str!("../../../fixtures/demo/broken.sh"),
            Self::Endless => include_str!("../../../fixtures/demo/endless.sh"),
        }
    }

    /// How it must end.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Simulation | Self::Flaky => Outcome::Succeeded,
            Self::Broken => Outcome::Failed,
            Self::Endless => Outcome::Cancelled,
        }
    }

    /// What its program must end with; `None`: a signal.
    pub(super) fn exit_code(self) -> Option<i32> {
        match self {
            Self::Simulation | Self::Flaky => Some(0),
            Self::Broken => Some(65),
            Self::Endless => None,
        }
    }

    /// How many of its runs must fail.
    pub(super) fn failed_runs(self) -> u32 {
        match self {
            Self::Simulation | Self::Endless => 0,
            Self::Flaky => 2,
            Self::Broken => 1,
        }
    }

    /// The last three of `jobs` jobs are the special ones.
    fn of(number: u32, jobs: u32) -> Self {
        match jobs - number {
            1 => Self::Endless,
            2 => Self::Broken,
            3 => Self::Flaky,
            _ => Self::Simulation,
        }
    }
}

/// The jobs, which read `input`.
pub(super) fn jobs(jobs: u32, input: &Path) -> Result<Vec<Actor>, InvalidId> {
    let events = events(jobs);
    let actor = |number| {
        let role = Role::of(number, jobs);
        let mut spec = sample::production_job(number, 0)?;
        let hits = format!("dc2.003002.hits._{number:05}");
        role.path().clone_into(&mut spec.transformation.path);
        spec.parameters = format!("'{}' {hits} 0 {events} {number}", input.display());
        spec.outputs = vec![File {
            logical_name: hits,
            dataset: Some("dc2.003002.simul".to_owned()),
            destination: None,
        }];
        if role == Role::Endless {
            spec.priority = FIRST;
        }
        Ok(Actor { role, spec })
    };
    (0..jobs).map(actor).collect()
}

fn events(jobs: u32) -> u32 {
    (EVENTS / jobs).max(LEAST_EVENTS)
}

/// Writes the programs below `folder`.
pub(super) fn install(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.join("share"))?;
    for role in Role::ALL {
        let path = folder.join(role.path());
        fs::write(&path, role.program())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Writes what the jobs read: a number for each event.
pub(super) fn write_input(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join("dc2.003002.evgen.A1_z_ee._00000");
    let seeds: Vec<_> = (0..EVENTS).map(|event| event.to_string()).collect();
    fs::write(&path, seeds.join("\n") + "\n")?;
    Ok(path)
}
