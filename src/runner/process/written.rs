//! What jobs' programs have written, for those who look on beside the daemon.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::wrapper::folder::WORK;
use super::program::{Stream, stream_name};
use super::work_dir::{KEPT, RUNS, run_key};
use crate::job::{JobSpec, RecordId, RunKey};

/// A file that a run's program writes, or has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Whose it is.
    pub run: RunKey,
    /// Where it is; not there before the program is started.
    pub path: PathBuf,
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
    fn a_name_that_leads_elsewhere_is_no_file_of_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let record = RecordId::new(7).unwrap();
        let outside = written(folder.path(), record, Stream::Stdout, &spec("../../secret"));
        assert_eq!(outside.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
