//! Whose fault it is when the kernel refuses a step of a run: the host's, or the job's. No other
//! place decides that from an error of the kernel's.

use std::fmt::Display;
use std::io;

use rustix::io::Errno;

use super::RunError;

/// A step of a run, by what it asks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A configured folder of programs is opened and read.
    Programs,
    /// The job's program is looked up below such a folder, which is well.
    Lookup,
    /// The program's own permission to be executed is asked for.
    Permission,
    /// The run's folder is made.
    Folder,
    /// The wrapper is started, with the job's arguments.
    Wrapper,
    /// The wrapper prepares the program's start: journal, limits, cgroup.
    Preparation,
    /// A file that the job has named is made in the program's folder.
    OutputFile,
    /// The program is executed.
    Execution,
    /// A run that has started is looked at, told something, or cleared away.
    Running,
    /// What stands in a run's folder is opened, which its program may have changed: a declared
    /// output, or a file of ours.
    Output,
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The machine's: another job would fare no better.
    Host,
    /// The job's, or its program's: it never will go better.
    Job,
    /// The program's, just now: another process is writing it.
    Passing,
}

impl Step {
    /// Whose fault it is that this step fails with this error. What is not listed is the host's: to
    /// run a job later is always possible, to take back that it was given up is not.
    pub(super) fn fault(self, error: &io::Error) -> Fault {
        let Some(errno) = Errno::from_io_error(error) else {
            return Fault::Host;
        };
        match (self, errno) {
            (
                Self::Lookup,
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::INVAL,
            )
            | (Self::Permission, Errno::ACCESS)
            | (Self::Wrapper, Errno::TOOBIG)
            | (Self::OutputFile, Errno::NAMETOOLONG | Errno::INVAL)
            | (
                Self::Execution,
                Errno::NOENT
                | Errno::ACCESS
                | Errno::NOEXEC
                | Errno::TOOBIG
                | Errno::INVAL
                | Errno::LOOP
                | Errno::NOTDIR
                | Errno::ISDIR
                | Errno::LIBBAD
                | Errno::NAMETOOLONG,
            )
            | (
                Self::Output,
                Errno::NOENT
                | Errno::LOOP
                | Errno::NXIO
                | Errno::ACCESS
                | Errno::NOTDIR
                | Errno::ISDIR
                | Errno::EXIST,
            ) => Fault::Job,
            (Self::Execution, Errno::TXTBSY) => Fault::Passing,
            _ => Fault::Host,
        }
    }

    /// The same for who waits for the step; `what` was being done.
    pub(super) fn failed(self, what: impl Display, error: impl Into<io::Error>) -> RunError {
        let error = error.into();
        let text = format!("{what}: {error}");
        match self.fault(&error) {
            Fault::Host => RunError::Host(text),
            Fault::Job => RunError::Permanent(text),
            Fault::Passing => RunError::Transient(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 10] = [
        Step::Programs,
        Step::Lookup,
        Step::Permission,
        Step::Folder,
        Step::Wrapper,
        Step::Preparation,
        Step::OutputFile,
        Step::Execution,
        Step::Running,
        Step::Output,
    ];

    /// One letter for each of [`STEPS`]: the host's, the job's, passing.
    const TABLE: &[(Errno, &str)] = &[
        (Errno::NOENT, "HJHHHHHJHJ"),
        (Errno::NOTDIR, "HJHHHHHJHJ"),
        (Errno::LOOP, "HJHHHHHJHJ"),
        (Errno::NAMETOOLONG, "HJHHHHJJHH"),
        (Errno::INVAL, "HJHHHHJJHH"),
        (Errno::ACCESS, "HHJHHHHJHJ"),
        (Errno::NOEXEC, "HHHHHHHJHH"),
        (Errno::LIBBAD, "HHHHHHHJHH"),
        (Errno::ISDIR, "HHHHHHHJHJ"),
        (Errno::TOOBIG, "HHHHJHHJHH"),
        (Errno::TXTBSY, "HHHHHHHPHH"),
        (Errno::NXIO, "HHHHHHHHHJ"),
        (Errno::PERM, "HHHHHHHHHH"),
        (Errno::STALE, "HHHHHHHHHH"),
        (Errno::MFILE, "HHHHHHHHHH"),
        (Errno::NFILE, "HHHHHHHHHH"),
        (Errno::NOMEM, "HHHHHHHHHH"),
        (Errno::AGAIN, "HHHHHHHHHH"),
        (Errno::INTR, "HHHHHHHHHH"),
        (Errno::IO, "HHHHHHHHHH"),
        (Errno::ROFS, "HHHHHHHHHH"),
        (Errno::NOSPC, "HHHHHHHHHH"),
        (Errno::DQUOT, "HHHHHHHHHH"),
        (Errno::NOTCONN, "HHHHHHHHHH"),
        (Errno::TIMEDOUT, "HHHHHHHHHH"),
        (Errno::HOSTDOWN, "HHHHHHHHHH"),
        (Errno::HOSTUNREACH, "HHHHHHHHHH"),
        (Errno::CONNREFUSED, "HHHHHHHHHH"),
        (Errno::NODEV, "HHHHHHHHHH"),
        (Errno::BUSY, "HHHHHHHHHH"),
        (Errno::MLINK, "HHHHHHHHHH"),
        (Errno::EXIST, "HHHHHHHHHJ"),
        (Errno::FBIG, "HHHHHHHHHH"),
        (Errno::NOSYS, "HHHHHHHHHH"),
        (Errno::USERS, "HHHHHHHHHH"),
        (Errno::SHUTDOWN, "HHHHHHHHHH"),
        (Errno::BADF, "HHHHHHHHHH"),
    ];

    #[test]
    fn each_error_at_each_step_has_one_whose_fault_it_is() {
        for (errno, faults) in TABLE {
            assert_eq!(faults.len(), STEPS.len(), "{errno}");
            for (step, letter) in STEPS.into_iter().zip(faults.chars()) {
                let error = io::Error::from(*errno);
                let (fault, failed) = match letter {
                    'H' => (Fault::Host, RunError::Host("a step".to_owned())),
                    'J' => (Fault::Job, RunError::Permanent("a step".to_owned())),
                    _ => (Fault::Passing, RunError::Transient("a step".to_owned())),
                };
                assert_eq!(step.fault(&error), fault, "{step:?} {errno}");
                let said = step.failed("a step", error);
                let kind = std::mem::discriminant(&said);
                assert_eq!(kind, std::mem::discriminant(&failed), "{step:?} {errno}");
                assert!(said.to_string().contains("a step: "), "{said}");
            }
        }
    }

    /// What the kernel did not say is no fault of a job.
    #[test]
    fn an_error_without_a_number_is_the_hosts() {
        for step in STEPS {
            let error = io::Error::other("no number");
            assert_eq!(step.fault(&error), Fault::Host);
        }
    }
}
