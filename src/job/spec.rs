//! What to run: the typed job spec, and the hash by which two specs are compared.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Attempt, JobId, JobKey};

/// One unit of work as the supervisor describes it. Required are the key, `transformation.path`
/// (not empty) and `parameters` (may be empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSpec {
    /// Which job this is.
    pub key: JobKey,
    /// `jobName`
    pub name: Option<String>,
    /// `jobExecutionID`
    pub execution_id: Option<String>,
    /// `taskID`
    pub task_id: Option<String>,
    /// `priority`: higher goes first, 0 where the supervisor names none.
    pub priority: i32,
    /// What program runs.
    pub transformation: Transformation,
    /// `jobPars`: the program's arguments, in one text.
    pub parameters: String,
    /// What the job needs of its machine.
    pub requirements: Requirements,
    /// Files that the program reads.
    pub inputs: Vec<File>,
    /// Files that the program must leave behind.
    pub outputs: Vec<File>,
    /// Where standard output goes.
    pub stdout: Option<File>,
    /// Where standard error goes.
    pub stderr: Option<File>,
}

/// The program, in the supervisor's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transformation {
    /// `transUses`: the release it was made for.
    pub uses: Option<String>,
    /// `transHome`: the package that holds it.
    pub home: Option<String>,
    /// `transPath`: the program below a configured folder. Never empty.
    pub path: String,
    /// `transPars`: the names of its parameters.
    pub parameters: Option<String>,
}

/// What a job, or a supervisor that asks how many jobs are wanted, needs. All of it may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// `transUses`
    pub uses: Option<String>,
    /// `cpuCount`, for instance 60000 kSI2kseconds
    pub cpu: Option<Quantity>,
    /// `diskCount`, for instance 1500 MB
    pub disk: Option<Quantity>,
    /// `ramCount`, for instance 512 MB
    pub ram: Option<Quantity>,
    /// `ipConnectivity`, as the supervisor spells it
    pub ip_connectivity: Option<String>,
}

/// A number with the unit that the supervisor gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// The number.
    pub value: u64,
    /// The `unit` attribute.
    pub unit: Option<String>,
}

/// A logical file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// `logicalFileName`. Never empty.
    pub logical_name: String,
    /// `dataset`
    pub dataset: Option<String>,
    /// `destinationSE`
    pub destination: Option<String>,
}

/// SHA-256 of a job spec's canonical encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl JobSpec {
    /// A spec with what is required and nothing else.
    #[must_use]
    pub fn new(job_id: JobId, attempt: Attempt, path: String, parameters: String) -> Self {
        Self {
            key: JobKey { job_id, attempt },
            name: None,
            execution_id: None,
            task_id: None,
            priority: 0,
            transformation: Transformation {
                uses: None,
                home: None,
                path,
                parameters: None,
            },
            parameters,
            requirements: Requirements::default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            stdout: None,
            stderr: None,
        }
    }

    /// The hash by which a resent job is told from another one under the same key. The encoding
    /// is versioned and length-prefixed, so that no two specs share one.
    #[must_use]
    pub fn content_hash(&self) -> ContentHash {
        let mut encoding = Encoding(Sha256::new());
        encoding.text("gristmill job spec 1");
        encoding.spec(self);
        ContentHash(encoding.0.finalize().into())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Feeds a hash. Texts go in with their length in bytes, options with a marker, lists with their
/// length, numbers as eight bytes.
struct Encoding(Sha256);

impl Encoding {
    fn spec(&mut self, spec: &JobSpec) {
        self.text(spec.key.job_id.as_str());
        self.number(u64::from(spec.key.attempt.get()));
        self.option(spec.name.as_deref());
        self.option(spec.execution_id.as_deref());
        self.option(spec.task_id.as_deref());
        self.0.update(i64::from(spec.priority).to_be_bytes());
        self.option(spec.transformation.uses.as_deref());
        self.option(spec.transformation.home.as_deref());
        self.text(&spec.transformation.path);
        self.option(spec.transformation.parameters.as_deref());
        self.text(&spec.parameters);
        self.requirements(&spec.requirements);
        self.files(&spec.inputs);
        self.files(&spec.outputs);
        self.files(spec.stdout.as_slice());
        self.files(spec.stderr.as_slice());
    }

    fn requirements(&mut self, requirements: &Requirements) {
        self.option(requirements.uses.as_deref());
        for quantity in [&requirements.cpu, &requirements.disk, &requirements.ram] {
            self.number(u64::from(quantity.is_some()));
            if let Some(quantity) = quantity {
                self.number(quantity.value);
                self.option(quantity.unit.as_deref());
            }
        }
        self.option(requirements.ip_connectivity.as_deref());
    }

    fn files(&mut self, files: &[File]) {
        self.number(files.len() as u64);
        for file in files {
            self.text(&file.logical_name);
            self.option(file.dataset.as_deref());
            self.option(file.destination.as_deref());
        }
    }

    fn option(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text);
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> JobSpec {
        let job_id = JobId::new("1").unwrap();
        JobSpec::new(job_id, Attempt::FIRST, "run".into(), "a b".into())
    }

    /// The stored hashes of every deployment depend on this value: it changes only together with
    /// the version in the encoding.
    #[test]
    fn the_encoding_does_not_drift() {
        let hash = "007acf007d1b5dcb378ed4f15d26b7902543d544753edd83e7d2a47331bbf1cb";
        assert_eq!(spec().content_hash().to_string(), hash);
    }

    #[test]
    fn every_field_counts() {
        let file = File {
            logical_name: "f".into(),
            dataset: None,
            destination: None,
        };
        let quantity = Quantity {
            value: 1,
            unit: None,
        };
        let changes: Vec<fn(&mut JobSpec, File, Quantity)> = vec![
            |_, _, _| (),
            |s, _, _| s.key.job_id = JobId::new("2").unwrap(),
            |s, _, _| s.key.attempt = Attempt::new(2).unwrap(),
            |s, _, _| s.name = Some(String::new()),
            |s, _, _| s.execution_id = Some(String::new()),
            |s, _, _| s.task_id = Some(String::new()),
            |s, _, _| s.priority = -1,
            |s, _, _| s.transformation.uses = Some(String::new()),
            |s, _, _| s.transformation.home = Some(String::new()),
            |s, _, _| s.transformation.path = "runa".into(),
            |s, _, _| s.transformation.parameters = Some(String::new()),
            |s, _, _| s.parameters = " b".into(),
            |s, _, _| s.requirements.uses = Some(String::new()),
            |s, _, q| s.requirements.cpu = Some(q),
            |s, _, q| s.requirements.disk = Some(q),
            |s, _, q| s.requirements.ram = Some(q),
            |s, _, _| s.requirements.ip_connectivity = Some(String::new()),
            |s, f, _| s.inputs.push(f),
            |s, f, _| s.outputs.push(f),
            |s, f, _| s.stdout = Some(f),
            |s, f, _| s.stderr = Some(f),
        ];
        let hashes: std::collections::HashSet<_> = changes
            .iter()
            .map(|change| {
                let mut spec = spec();
                change(&mut spec, file.clone(), quantity.clone());
                spec.content_hash()
            })
            .collect();
        assert_eq!(hashes.len(), changes.len());
    }
}
