//! What the daemon wants of a wrapper: a file of fixed length that is changed in place, so that
//! it can be changed on a full disk and by a daemon that is not the wrapper's parent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::fs::OFlags;

use super::folder::{CONTROL, Folder};

/// The lease's end twice, for a reader may see half of a change; then whether to stop.
const DIGITS: usize = 20;
const STOP_AT: u64 = 2 * (DIGITS as u64 + 1);
const LENGTH: usize = 2 * (DIGITS + 1) + 2;
/// Nanoseconds that stand for "no lease".
const NEVER: u64 = u64::MAX;
/// A half-made change is whole at the next look, or the file is damaged.
const MAX_LOOKS: u32 = 100;

/// The file.
pub struct Control(File);

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// When the run must have ended, as time since boot.
    pub lease_until: Option<Duration>,
    /// Whether it shall end.
    pub stop: bool,
}

impl Control {
    /// Writes a new one.
    pub fn create(folder: &Folder, lease_until: Option<Duration>) -> io::Result<Self> {
        let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = folder.file(CONTROL, how)?;
        let text = format!("{}0\n", lease_text(lease_until));
        file.write_all_at(text.as_bytes(), 0)?;
        Ok(Self(file))
    }

    /// The one that is there.
    pub fn open(folder: &Folder) -> io::Result<Self> {
        folder.file(CONTROL, OFlags::RDWR).map(Self)
    }

    /// Changes the lease's end.
    pub fn renew(&self, lease_until: Option<Duration>) -> io::Result<()> {
        self.0.write_all_at(lease_text(lease_until).as_bytes(), 0)
    }

    /// Has the run ended.
    pub fn stop(&self) -> io::Result<()> {
        self.0.write_all_at(b"1", STOP_AT)
    }

    /// What it says now.
    pub fn read(&self) -> io::Result<Wish> {
        let mut bytes = [0; LENGTH];
        for _ in 0..MAX_LOOKS {
            self.0.read_exact_at(&mut bytes, 0)?;
            if let Some(wish) = parse(&bytes) {
                return Ok(wish);
            }
        }
        Err(io::Error::other("the control file is damaged"))
    }
}

fn lease_text(lease_until: Option<Duration>) -> String {
    let nanos = |until: Duration| u64::try_from(until.as_nanos()).unwrap_or(NEVER);
    let nanos = lease_until.map_or(NEVER, nanos);
    format!("{nanos:0DIGITS$} {nanos:0DIGITS$} ")
}

fn parse(bytes: &[u8]) -> Option<Wish> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (first, again) = (words.next()?, words.next()?);
    let nanos = (first == again).then(|| first.parse().ok())??;
    Some(Wish {
        lease_until: (nanos != NEVER).then(|| Duration::from_nanos(nanos)),
        stop: words.next()? == "1",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_does_not_take_back_a_stop() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder.path()).unwrap();
        let daemon = Control::create(&folder, None).unwrap();
        let wrapper = Control::open(&folder).unwrap();
        let wish = |lease_until, stop| Wish { lease_until, stop };
        assert_eq!(wrapper.read().unwrap(), wish(None, false));
        let until = Some(Duration::from_nanos(1_234_567_890_123));
        daemon.renew(until).unwrap();
        assert_eq!(wrapper.read().unwrap(), wish(until, false));
        daemon.stop().unwrap();
        daemon.renew(None).unwrap();
        assert_eq!(wrapper.read().unwrap(), wish(None, true));
    }

    #[test]
    fn half_of_a_change_is_not_believed() {
        let torn = format!("{:020} {:020} 0\n", 7, 8);
        assert_eq!(parse(torn.as_bytes()), None);
    }
}
