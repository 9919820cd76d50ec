//! What the kernel says of this process.

use std::fs;

/// What the kernel says of this process; what it does not say is missing.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub resident_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
    pub open_fds: Option<u64>,
}

impl Process {
    pub fn read() -> Self {
        let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let mut pages = pages.split(' ').map(|pages| pages.parse::<u64>().ok());
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(u64::MAX);
        let mut bytes = || Some(pages.next()??.saturating_mul(page));
        let (virtual_bytes, resident_bytes) = (bytes(), bytes());
        Self {
            resident_bytes,
            virtual_bytes,
            cpu_seconds: cpu_seconds(),
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .and_then(|files| u64::try_from(files.count()).ok()),
        }
    }
}

/// User and system time: the 14th and 15th field, the 2nd being a name that may hold anything.
#[allow(
    clippy::cast_precision_loss,
    reason = "a process does not live for 2^53 ticks"
)]
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_us() {
        let process = Process::read();
        let resident = process.resident_bytes.unwrap();
        assert!(resident > 100_000 && process.virtual_bytes.unwrap() > resident);
        assert!(process.open_fds.unwrap() >= 3);
        assert!(process.cpu_seconds.unwrap() < 1e6);
    }
}
