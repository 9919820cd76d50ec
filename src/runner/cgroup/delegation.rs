//! Whether a cgroup was handed to the runner, below which it may make others.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::getxattr;

use crate::job::RunKey;

use super::{CONTROLLERS, Group, MOUNT, PROCS, SUBTREE_CONTROL, files};

/// What the runs' cgroups need.
const NEEDED: [&str; 2] = ["memory", "pids"];
/// Needed, too; since Linux 5.14.
const KILL: &str = "cgroup.kill";
/// Where this process goes when its own cgroup is to have children: one cgroup holds processes or
/// passes controllers on, not both.
const SERVICE: &str = "service";
/// How systemd marks a cgroup that it has handed out.
const MARK: &str = "user.delegate";

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This process's own cgroup.
    Own,
    /// Another one, by its path in the tree of cgroups; this process is not in it.
    At(PathBuf),
    /// Nowhere.
    Off,
}

/// A cgroup that was handed to us, and passes on what the runs' cgroups need.
#[derive(Clone, Debug)]
pub struct Delegation(PathBuf);

/// Why runs get no cgroups.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(String);

impl Delegation {
    /// Takes what is wanted, and tries whether processes can be moved there.
    pub fn take(wanted: &Wanted) -> Result<Self, Unusable> {
        let base = match wanted {
            Wanted::Off => return Err(unusable("runner.process.cgroup is \"off\"")),
            _ if !Path::new(MOUNT).join(CONTROLLERS).exists() => {
                return Err(unusable(format!("{MOUNT} is not cgroup v2")));
            }
            Wanted::At(path) => Path::new(MOUNT).join(path.strip_prefix("/").unwrap_or(path)),
            Wanted::Own => own()?,
        };
        let controllers = base.join(CONTROLLERS);
        let there = files::read(&controllers).map_err(at(&controllers))?;
        let missing = files::missing(&there, &NEEDED);
        if !missing.is_empty() {
            let (missing, base) = (missing.join(" and "), base.display());
            return Err(unusable(format!("{base} has no controller {missing}")));
        }
        if !base.join(KILL).exists() {
            return Err(unusable("the kernel (before 5.14) has no cgroup.kill"));
        }
        match Group::own() {
            Ok(own) if own.path() == base => move_aside(&base)?,
            _ => pass_on(&base)?,
        }
        let taken = Self(base);
        taken.try_out()?;
        Ok(taken)
    }

    /// The path of it.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a run's cgroup.
    pub fn of_run(&self, run: RunKey) -> PathBuf {
        self.0.join(run.to_string())
    }

    /// Makes sure that it still passes on what is needed: who handed it out may have made it anew.
    pub fn refresh(&self) -> Result<(), Unusable> {
        pass_on(&self.0)
    }

    /// Goes there and back, as the wrappers will.
    fn try_out(&self) -> Result<(), Unusable> {
        let back = Group::own().map_err(at(&self.0))?;
        let path = self.0.join(format!("try-{}", std::process::id()));
        let group = Group::create(&path).map_err(at(&path))?;
        let tried = group.enter().and_then(|()| back.enter());
        let removed = group.remove();
        tried.and(removed).map_err(at(&path))
    }
}

/// The own cgroup, if nobody else rules over it; or the one above, where this process was already
/// put aside, by the one before it or by systemd (`DelegateSubgroup=service`, since 254).
fn own() -> Result<PathBuf, Unusable> {
    let own = Group::own().map_err(at(Path::new("/proc/self/cgroup")))?;
    let own = own.path();
    if own.ends_with(SERVICE)
        && let Some(above) = own.parent().filter(|above| *above != Path::new(MOUNT))
    {
        return Ok(above.to_owned());
    }
    let named = |kind| own.extension().is_some_and(|found| found == kind);
    if own == Path::new(MOUNT) && !own.join("cgroup.events").exists() {
        return Err(unusable("this process is in the root of all cgroups"));
    }
    if named("service") {
        let what = "a unit's own cgroup, in which systemd could not start it again beside \
                    running jobs: give the unit DelegateSubgroup=service (systemd 254), or name \
                    another unit's cgroup with runner.process.cgroup";
        return Err(unusable(format!("{} is {what}", own.display())));
    }
    if named("scope") && getxattr(own, MARK, &mut [0; 8]).is_err() {
        let own = own.display();
        return Err(unusable(format!("{own} was not delegated by systemd")));
    }
    Ok(own.to_owned())
}

/// Moves this process into a child of its cgroup, so that it can have others; back if not.
fn move_aside(base: &Path) -> Result<(), Unusable> {
    let service = base.join(SERVICE);
    let group = Group::create(&service).map_err(at(&service))?;
    let moved = group.enter().map_err(at(&service.join(PROCS)));
    moved.and_then(|()| pass_on(base)).inspect_err(|_| {
        let _ = Group::at(base).enter();
        let _ = group.remove();
    })
}

/// Passes on to the children what they need.
fn pass_on(base: &Path) -> Result<(), Unusable> {
    let control = base.join(SUBTREE_CONTROL);
    let on = files::read(&control).map_err(at(&control))?;
    let missing = files::missing(&on, &NEEDED).into_iter();
    let words: Vec<_> = missing.map(|name| format!("+{name}")).collect();
    if words.is_empty() {
        return Ok(());
    }
    files::write(&control, &words.join(" ")).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => {
            let base = base.display();
            unusable(format!("{base} has processes of its own beside this one"))
        }
        _ => at(&control)(error),
    })
}

fn unusable(why: impl Into<String>) -> Unusable {
    Unusable(why.into())
}

fn at(path: &Path) -> impl Fn(io::Error) -> Unusable {
    move |error| Unusable(format!("{}: {error}", path.display()))
}
