//! What else the environment says: who started this process, and where its logs go.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// The service manager that started this process, if one did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supervision {
    /// Where it listens (`NOTIFY_SOCKET`).
    pub socket: Option<OsString>,
    /// After so long a silence it ends us (`WATCHDOG_USEC`).
    pub watchdog: Option<Duration>,
}

/// Who started this process.
#[must_use]
pub fn supervision() -> Supervision {
    let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
    let pid = number("WATCHDOG_PID");
    let is_ours = pid.is_none_or(|pid| pid == u64::from(std::process::id()));
    let watchdog = number("WATCHDOG_USEC").filter(|usec| is_ours && *usec > 0);
    Supervision {
        socket: env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()),
        watchdog: watchdog.map(Duration::from_micros),
    }
}

/// Whether standard error is the journal's (`JOURNAL_STREAM`), which takes fields, too.
#[must_use]
pub fn logs_to_journal() -> bool {
    let stream = env::var("JOURNAL_STREAM").unwrap_or_default();
    let stderr = std::io::stderr().as_fd().try_clone_to_owned();
    let metadata = stderr.and_then(|stderr| File::from(stderr).metadata());
    metadata.is_ok_and(|metadata| names(&stream, metadata.dev(), metadata.ino()))
}

/// Whether `device:inode` are these.
fn names(stream: &str, device: u64, inode: u64) -> bool {
    stream == format!("{device}:{inode}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journals_stream_is_known_by_device_and_inode() {
        assert!(names("8:12345", 8, 12345));
        for other in ["", "8:1234", "9:12345", "8", "8:12345:1"] {
            assert!(!names(other, 8, 12345), "{other:?}");
        }
    }
}
