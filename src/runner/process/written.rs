//! What jobs' programs have written, for those who look on beside the daemon.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::super::wrapper::folder::{Folder, WORK, foreign};
use super::work_dir::{KEPT, RUNS, run_key};
use crate::job::command::{Stream, stream_name};
use crate::job::{JobSpec, RecordId, RunKey};

/// A file that a run's program writes, or has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Whose it is.
    pub run: RunKey,
    /// Where it is; not there before the program is started.
    pub path: PathBuf,
}

impl Written {
    /// Opens it for reading. Its folder is in the hands of the run's program, which may be another
    /// user's than ours: only a regular file that is in the folder itself is one.
    pub fn open(&self) -> io::Result<File> {
        let name = self.path.file_name().and_then(OsStr::to_str);
        let (Some(name), Some(work)) = (name, self.path.parent()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        let run = work.parent().unwrap_or(work);
        let work = Folder::open(run)?.inner(WORK)?;
        let file = work.file(name, OFlags::RDONLY)?;
        if file.metadata()?.uid() != work.owner()? {
            return Err(foreign(name, "it is another user's, under a second name"));
        }
        Ok(file)
    }
}

/// What the latest run of a record, among those that have left a folder in a runner's `work_dir`,
/// writes to one of its streams; `None`: none of them has.
pub fn written(
    work_dir: &Path,
    record: RecordId,
    stream: Stream,
    spec: &JobSpec,
) -> io::Result<Option<Written>> {
    let name = stream_name(spec, stream);
    let name = name.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
    let mut latest: Option<Written> = None;
    for folder in [RUNS, KEPT] {
        let folder = work_dir.join(folder);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let found = entry?.file_name();
            let run = found.to_str().and_then(run_key);
            let Some(run) = run.filter(|run| run.record == record) else {
                continue;
            };
            if latest
                .as_ref()
                .is_none_or(|latest| run.token > latest.run.token)
            {
                let path = folder.join(&found).join(WORK).join(&name);
                latest = Some(Written { run, path });
            }
        }
    }
    Ok(latest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Attempt, File, JobId, Token};

    fn spec(stdout: &str) -> JobSpec {
        let job_id = JobId::new("1").unwrap();
        let mut spec = JobSpec::new(job_id, Attempt::FIRST, "run".into(), String::new());
        spec.stdout = Some(File {
            logical_name: stdout.to_owned(),
            dataset: None,
            destination: None,
        });
        spec
    }

    #[test]
    fn the_latest_run_counts_wherever_its_folder_is() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::create_dir_all(folder.path().join(name).join(WORK)).unwrap();
        let find = |record| {
            let record = RecordId::new(record).unwrap();
            written(folder.path(), record, Stream::Stdout, &spec("out.log")).unwrap()
        };
        assert_eq!(find(7), None);
        for name in ["runs/7-2", "runs/17-9", "kept/7-1", "runs/note"] {
            make(name);
        }
        let latest = find(7).unwrap();
        assert_eq!(latest.run.token, Token(2));
        assert_eq!(
            latest.path,
            folder.path().join("runs/7-2").join("work").join("out.log")
        );
        make("kept/7-10");
        assert_eq!(find(7).unwrap().run.token, Token(10));
        assert_eq!(find(8), None);
    }

    #[test]
    fn only_a_file_of_the_folder_itself_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("runs/7-2/work");
        fs::create_dir_all(&work).unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        let record = RecordId::new(7).unwrap();
        let written = written(folder.path(), record, Stream::Stdout, &spec("out.log"));
        let written = written.unwrap().unwrap();
        let out = work.join("out.log");
        std::os::unix::fs::symlink(&secret, &out).unwrap();
        assert!(written.open().is_err());
        fs::remove_file(&out).unwrap();
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &out, kind, rustix::fs::Mode::RWXU, 0).unwrap();
        assert!(written.open().is_err());
        fs::remove_file(&out).unwrap();
        assert_eq!(written.open().unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&out, "said").unwrap();
        assert_eq!(io::read_to_string(written.open().unwrap()).unwrap(), "said");
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_no_file_of_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let record = RecordId::new(7).unwrap();
        let outside = written(folder.path(), record, Stream::Stdout, &spec("../../secret"));
        assert_eq!(outside.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
