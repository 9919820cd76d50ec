//! What to start, as it is said over the socket.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire::{Run, Senseless};
use crate::job;
use crate::job::{Attempt, JobId, JobKey, JobSpec, Requirements, RunOrder, Transformation};

/// What to start.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    pub run: Run,
    number: u32,
    spec: Spec,
    lease_until: Option<Duration>,
}

/// A job.
#[derive(Debug, Serialize, Deserialize)]
struct Spec {
    job_id: String,
    attempt: u32,
    name: Option<String>,
    execution_id: Option<String>,
    task_id: Option<String>,
    priority: i32,
    program: Program,
    parameters: String,
    needs: Needs,
    inputs: Vec<File>,
    outputs: Vec<File>,
    stdout: Option<File>,
    stderr: Option<File>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Program {
    uses: Option<String>,
    home: Option<String>,
    path: String,
    parameters: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Needs {
    uses: Option<String>,
    cpu: Option<Quantity>,
    disk: Option<Quantity>,
    ram: Option<Quantity>,
    ip_connectivity: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Quantity {
    value: u64,
    unit: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    name: String,
    dataset: Option<String>,
    destination: Option<String>,
}

impl From<&RunOrder> for Order {
    fn from(order: &RunOrder) -> Self {
        Self {
            run: order.key.into(),
            number: order.number,
            spec: order.spec.clone().into(),
            lease_until: order.lease_until,
        }
    }
}

impl TryFrom<Order> for RunOrder {
    type Error = Senseless;

    fn try_from(order: Order) -> Result<Self, Senseless> {
        Ok(Self {
            key: order.run.try_into()?,
            number: order.number,
            spec: order.spec.try_into()?,
            lease_until: order.lease_until,
        })
    }
}

impl From<JobSpec> for Spec {
    fn from(spec: JobSpec) -> Self {
        let files = |files: Vec<job::File>| files.into_iter().map(File::from).collect();
        Self {
            job_id: spec.key.job_id.as_str().to_owned(),
            attempt: spec.key.attempt.get(),
            name: spec.name,
            execution_id: spec.execution_id,
            task_id: spec.task_id,
            priority: spec.priority,
            program: Program {
                uses: spec.transformation.uses,
                home: spec.transformation.home,
                path: spec.transformation.path,
                parameters: spec.transformation.parameters,
            },
            parameters: spec.parameters,
            needs: spec.requirements.into(),
            inputs: files(spec.inputs),
            outputs: files(spec.outputs),
            stdout: spec.stdout.map(File::from),
            stderr: spec.stderr.map(File::from),
        }
    }
}

impl TryFrom<Spec> for JobSpec {
    type Error = Senseless;

    fn try_from(spec: Spec) -> Result<Self, Senseless> {
        let job_id = JobId::new(spec.job_id).map_err(|error| Senseless(error.to_string()))?;
        let attempt = Attempt::new(spec.attempt);
        let attempt = attempt.ok_or_else(|| Senseless("attempt 0".to_owned()))?;
        let files = |files: Vec<File>| files.into_iter().map(job::File::from).collect();
        Ok(Self {
            key: JobKey { job_id, attempt },
            name: spec.name,
            execution_id: spec.execution_id,
            task_id: spec.task_id,
            priority: spec.priority,
            transformation: Transformation {
                uses: spec.program.uses,
                home: spec.program.home,
                path: spec.program.path,
                parameters: spec.program.parameters,
            },
            parameters: spec.parameters,
            requirements: spec.needs.into(),
            inputs: files(spec.inputs),
            outputs: files(spec.outputs),
            stdout: spec.stdout.map(job::File::from),
            stderr: spec.stderr.map(job::File::from),
        })
    }
}

impl From<Requirements> for Needs {
    fn from(needs: Requirements) -> Self {
        Self {
            uses: needs.uses,
            cpu: needs.cpu.map(Quantity::from),
            disk: needs.disk.map(Quantity::from),
            ram: needs.ram.map(Quantity::from),
            ip_connectivity: needs.ip_connectivity,
        }
    }
}

impl From<Needs> for Requirements {
    fn from(needs: Needs) -> Self {
        Self {
            uses: needs.uses,
            cpu: needs.cpu.map(job::Quantity::from),
            disk: needs.disk.map(job::Quantity::from),
            ram: needs.ram.map(job::Quantity::from),
            ip_connectivity: needs.ip_connectivity,
        }
    }
}

impl From<job::Quantity> for Quantity {
    fn from(job::Quantity { value, unit }: job::Quantity) -> Self {
        Self { value, unit }
    }
}

impl From<Quantity> for job::Quantity {
    fn from(Quantity { value, unit }: Quantity) -> Self {
        Self { value, unit }
    }
}

impl From<job::File> for File {
    fn from(file: job::File) -> Self {
        Self {
            name: file.logical_name,
            dataset: file.dataset,
            destination: file.destination,
        }
    }
}

impl From<File> for job::File {
    fn from(file: File) -> Self {
        Self {
            logical_name: file.name,
            dataset: file.dataset,
            destination: file.destination,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{RecordId, RunKey, Token};

    fn order() -> RunOrder {
        let text = |text: &str| Some(text.to_owned());
        let file = |name: &str| job::File {
            logical_name: name.to_owned(),
            dataset: text("set"),
            destination: text("here"),
        };
        let quantity = |value| {
            Some(job::Quantity {
                value,
                unit: text("MB"),
            })
        };
        RunOrder {
            key: RunKey {
                record: RecordId::MAX,
                token: Token(u64::MAX),
            },
            number: 3,
            spec: JobSpec {
                key: JobKey {
                    job_id: JobId::new("5\u{e9}").unwrap(),
                    attempt: Attempt::new(7).unwrap(),
                },
                name: text("name"),
                execution_id: text("execution"),
                task_id: text("task"),
                priority: -5,
                transformation: Transformation {
                    uses: text("uses"),
                    home: text("home"),
                    path: "share/run".to_owned(),
                    parameters: text("names"),
                },
                parameters: "a \"b\" \\ \n".to_owned(),
                requirements: Requirements {
                    uses: text("release"),
                    cpu: quantity(1),
                    disk: quantity(2),
                    ram: quantity(u64::MAX),
                    ip_connectivity: text("no"),
                },
                inputs: vec![file("in"), file("in2")],
                outputs: vec![file("out")],
                stdout: Some(file("log")),
                stderr: Some(file("err")),
            },
            lease_until: Some(Duration::new(12, 345)),
        }
    }

    #[test]
    fn an_order_arrives_as_it_was_sent() {
        let sent = order();
        let text = serde_json::to_string(&Order::from(&sent)).unwrap();
        let arrived: Order = serde_json::from_str(&text).unwrap();
        assert_eq!(RunOrder::try_from(arrived).unwrap(), sent);
    }

    #[test]
    fn what_no_daemon_says_makes_no_sense() {
        let changes: [fn(&mut Order); 4] = [
            |order| order.run.record = 0,
            |order| order.run.record = u64::MAX,
            |order| order.spec.job_id = "a\0b".to_owned(),
            |order| order.spec.attempt = 0,
        ];
        for change in changes {
            let mut order = Order::from(&order());
            change(&mut order);
            assert!(RunOrder::try_from(order).is_err());
        }
    }
}
