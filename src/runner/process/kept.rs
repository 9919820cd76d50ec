//! The folders of forgotten runs that are kept: how many there are, how much they take, and which
//! of them go.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::Timestamp;

use super::super::fault::Step;
use super::super::wrapper::{Journal, Walk};
use super::super::{Kept, RunError};
use super::settings::KeepLimits;
use super::work_dir::run_key;
use crate::job::RunKey;

/// What is known of the kept folders. Each is measured once in the life of this process.
#[derive(Default)]
pub(super) struct KeptFolders(Mutex<BTreeMap<RunKey, Facts>>);

#[derive(Clone, Copy)]
struct Facts {
    /// When the run ended.
    ended: Timestamp,
    /// What its folder takes on disk.
    bytes: u64,
}

impl KeptFolders {
    /// Has `remove` take away what is kept of these records' runs and what is beyond the limits,
    /// the runs that ended first before the others; what stays.
    pub(super) fn tend(
        &self,
        folder: &Path,
        limits: &KeepLimits,
        now: Timestamp,
        is_purged: impl Fn(RunKey) -> bool,
        remove: impl Fn(RunKey) -> io::Result<()>,
    ) -> Result<Kept, RunError> {
        // One that takes long is not waited for.
        let Ok(mut known) = self.0.try_lock() else {
            let what = "what is kept is being measured or removed since the question before";
            return Err(RunError::Transient(what.to_owned()));
        };
        let failed = |error| Step::Folder.failed("the folder of kept runs", error);
        let there = kept_runs(folder).map_err(failed)?;
        known.retain(|run, _| there.contains_key(run));
        for (run, path) in there {
            known.entry(run).or_insert_with(|| Facts::of(&path, now));
        }
        let mut by_end: Vec<_> = known.iter().map(|(run, facts)| (*run, *facts)).collect();
        by_end.sort_by_key(|(run, facts)| (facts.ended, *run));
        let mut left = Left::of(&by_end);
        for (run, facts) in by_end {
            if is_purged(run) || left.is_beyond(limits) || limits.is_too_old(facts.ended, now) {
                if let Err(error) = remove(run) {
                    // The next round tries it again; the others are not held up by it.
                    tracing::debug!(%run, %error, "what is kept of a run cannot be removed");
                    continue;
                }
                known.remove(&run);
                left.without(facts);
            }
        }
        Ok(Kept {
            runs: known.keys().copied().collect(),
            bytes: left.bytes,
        })
    }
}

/// How many folders there are, and what they take.
struct Left {
    number: u64,
    bytes: u64,
}

impl Left {
    fn of(kept: &[(RunKey, Facts)]) -> Self {
        let add = |sum: u64, (_, facts): &(_, Facts)| sum.saturating_add(facts.bytes);
        Self {
            number: kept.len() as u64,
            bytes: kept.iter().fold(0, add),
        }
    }

    fn is_beyond(&self, limits: &KeepLimits) -> bool {
        self.number > limits.number || self.bytes > limits.bytes
    }

    fn without(&mut self, facts: Facts) {
        self.number = self.number.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(facts.bytes);
    }
}

impl Facts {
    /// A run whose journal does not say when it ended counts as ended when its folder was first
    /// seen, as does one that says that it ended later than now.
    fn of(folder: &Path, now: Timestamp) -> Self {
        let ended = Journal::ended(folder).ok().flatten();
        Self {
            ended: ended.filter(|ended| *ended < now).unwrap_or(now),
            bytes: size(folder),
        }
    }
}

/// What a folder takes on disk, as far as it can be seen.
fn size(folder: &Path) -> u64 {
    let size = Walk::begin(folder).go_on(u64::MAX, usize::MAX);
    size.map_or(0, |size| size.bytes)
}

fn kept_runs(folder: &Path) -> io::Result<BTreeMap<RunKey, PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        if let Some(run) = entry.file_name().to_str().and_then(run_key) {
            found.insert(run, entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::wrapper::folder::JOURNAL;
    use std::cell::RefCell;
    use std::fs::File;

    const LIMITS: KeepLimits = KeepLimits {
        age: std::time::Duration::from_secs(100),
        bytes: 1_000_000,
        number: 3,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run(number: u64) -> RunKey {
        run_key(&format!("{number}-1")).unwrap()
    }

    /// A run that ended then.
    fn keep(kept: &Path, number: u64, second: i64, bytes: usize) {
        let folder = kept.join(run(number).to_string());
        fs::create_dir_all(&folder).unwrap();
        let exit = serde_json::json!({"exit": {
            "end": {"code": 1}, "cause": null, "at": at(second), "cpu": {"secs": 0, "nanos": 0},
            "peak_memory": 0,
        }});
        fs::write(folder.join(JOURNAL), format!("{exit}\n")).unwrap();
        fs::write(folder.join("file"), vec![1; bytes]).unwrap();
        File::open(folder.join("file")).unwrap().sync_all().unwrap();
    }

    struct Stage {
        folder: tempfile::TempDir,
        kept: KeptFolders,
        gone: RefCell<Vec<RunKey>>,
    }

    impl Stage {
        fn tend(&self, now: i64, purged: &[RunKey]) -> Kept {
            let remove = |run: RunKey| {
                self.gone.borrow_mut().push(run);
                fs::remove_dir_all(self.folder.path().join(run.to_string()))
            };
            let is_purged = |run| purged.contains(&run);
            let (folder, now) = (self.folder.path(), at(now));
            let kept = self.kept.tend(folder, &LIMITS, now, is_purged, remove);
            kept.unwrap()
        }
    }

    #[test]
    fn what_ended_first_goes_first() {
        let stage = Stage {
            folder: tempfile::tempdir().unwrap(),
            kept: KeptFolders::default(),
            gone: RefCell::default(),
        };
        let folder = stage.folder.path();
        fs::create_dir(folder.join("not a run")).unwrap();
        for (number, ended) in [(1, 40), (2, 30), (3, 20), (4, 10)] {
            keep(folder, number, ended, 100_000);
        }
        // One too many.
        let kept = stage.tend(50, &[]);
        assert_eq!(kept.runs, [run(1), run(2), run(3)]);
        assert!((300_000..400_000).contains(&kept.bytes), "{kept:?}");
        // Too much.
        keep(folder, 5, 45, 900_000);
        assert_eq!(stage.tend(50, &[]).runs, [run(5)]);
        assert_eq!(*stage.gone.borrow(), [4, 3, 2, 1].map(run));
        // Purged.
        keep(folder, 6, 46, 1000);
        assert_eq!(stage.tend(50, &[run(5)]).runs, [run(6)]);
        // Its journal says nothing: its time begins when it is seen.
        let nothing = folder.join(run(7).to_string());
        fs::create_dir(&nothing).unwrap();
        std::os::unix::fs::symlink("/dev/zero", nothing.join(JOURNAL)).unwrap();
        keep(folder, 8, 1_000_000, 0);
        assert_eq!(stage.tend(60, &[]).runs, [run(6), run(7), run(8)]);
        // Too old.
        assert_eq!(stage.tend(150, &[]).runs, [run(7), run(8)]);
        assert_eq!(stage.tend(161, &[]), Kept::default());
    }
}
