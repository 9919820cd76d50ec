//! What the kernel lets a process have, and what the machine has.

use bytesize::ByteSize;
use nix::sys::resource::{Resource, getrlimit};

use crate::config::{Cgroup, Config};
use crate::runner::process::Held;

use super::finding::Finding;

const SUBJECT: &str = "limits";

/// Open files beside those for the store and for runs: sockets, logs, libraries.
const FILES_BESIDE: u64 = 128;

/// Open files for each run.
const FILES_A_RUN: u64 = 8;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let slots = match config.conductor.slots {
        _ if !config.conductor.enabled => 0,
        0 => cores,
        slots => slots,
    };
    let mut findings = vec![open_files(config, slots), machine(config, slots, cores)];
    findings.extend(held(config));
    findings
}

/// What holds runs to their limits, as the runner knows: another process may have another cgroup.
fn held(config: &Config) -> Option<Finding> {
    if !config.conductor.enabled {
        return None;
    }
    let process = &config.runner.process;
    Some(match Held::look(&process.work_dir) {
        Ok(Some(held @ Held::ByPolling(_))) if matches!(process.cgroup, Cgroup::At(_)) => {
            let remedy = "start the unit whose cgroup runner.process.cgroup names, then restart \
                          the runner; or set it to \"auto\"";
            Finding::warning(SUBJECT, held.to_string(), remedy)
        }
        Ok(Some(held)) => Finding::ok(SUBJECT, held.to_string()),
        Ok(None) => Finding::ok(
            SUBJECT,
            "whether runs have cgroups shows when a runner starts",
        ),
        Err(error) => {
            let folder = process.work_dir.display();
            let what = format!("whether runs have cgroups, {folder} does not tell: {error}");
            Finding::warning(SUBJECT, what, "ask as root, or as the runner's user")
        }
    })
}

fn open_files(config: &Config, slots: usize) -> Finding {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let runs = number(slots).saturating_mul(FILES_A_RUN);
    let wanted = runs.saturating_add(number(config.buffer.pool) + FILES_BESIDE);
    let allowed = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    let what = format!("{allowed} open files allowed here, up to {wanted} wanted");
    if allowed < wanted {
        Finding::warning(
            SUBJECT,
            what,
            "raise LimitNOFILE= of the unit, or `ulimit -n`",
        )
    } else {
        Finding::ok(SUBJECT, what)
    }
}

/// More jobs than cores get in each other's way; more memory than there is gets them killed.
fn machine(config: &Config, slots: usize, cores: usize) -> Finding {
    let system = rustix::system::sysinfo();
    let memory = system.totalram.saturating_mul(system.mem_unit.into());
    let wanted = config.runner.process.limits.memory.saturating_mul(slots);
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    let what = format!(
        "{slots} job(s) at a time may use {} of memory; the machine has {cores} core(s) and {}",
        ByteSize::b(wanted),
        ByteSize::b(memory)
    );
    if wanted > memory {
        let remedy = "lower conductor.slots or runner.process.limits.memory";
        Finding::warning(SUBJECT, what, remedy)
    } else if slots > cores {
        Finding::warning(
            SUBJECT,
            what,
            "lower conductor.slots unless jobs mostly wait",
        )
    } else {
        Finding::ok(SUBJECT, what)
    }
}
