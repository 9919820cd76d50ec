//! Jobs that look like a production's, in any number and size: for demonstrations, benchmarks and
//! fixtures. The same numbers give the same jobs.

use crate::job::{
    Attempt, File, InvalidId, JobId, JobSpec, Quantity, Requirements, Transformation,
};

use super::{Call, Request, Submission, SubmittedJob, write_job};

/// The job ID of the first job.
const FIRST_JOB: u32 = 5_173_021;
/// The events that one job simulates.
const EVENTS: u32 = 50;

/// An executeJobs with `jobs` jobs, each at most `bytes` long as XML unless that is less than its
/// least.
pub fn execute_jobs(jobs: u32, bytes: usize) -> Result<Request, InvalidId> {
    let submission = |number| {
        let spec = production_job(number, bytes)?;
        let xml = write_job(&spec);
        Ok(Submission::Good(Box::new(SubmittedJob::new(spec, xml))))
    };
    let jobs = (0..jobs)
        .map(submission)
        .collect::<Result<_, InvalidId>>()?;
    Ok(Request {
        id: Some("sample".into()),
        call: Call::ExecuteJobs(jobs),
    })
}

/// The job with this number, filled up with pile-up files to at most `bytes` of XML.
pub fn production_job(number: u32, bytes: usize) -> Result<JobSpec, InvalidId> {
    let job_id = JobId::new((FIRST_JOB + number).to_string())?;
    let output = format!("dc2.003002.simul.A1_z_ee._{number:05}");
    let input = file(
        &format!("dc2.003002.evgen.A1_z_ee._{:05}.pool.root", number / 20),
        "evgen",
    );
    let parameters = format!(
        "{} {output}.pool.root {} {EVENTS} {number}",
        input.logical_name,
        number % 20 * EVENTS
    );
    let path = "share/dc2.g4sim.pileup.trf".to_owned();
    let mut job = JobSpec::new(job_id, Attempt::FIRST, path, parameters);
    job.name = Some(format!("{output}.job"));
    job.execution_id = Some((7_719_034 + number).to_string());
    job.task_id = Some("3002".into());
    job.priority = 500;
    job.transformation = Transformation {
        uses: Some("Atlas-8.0.5".into()),
        home: Some("JobTransforms-08-00-05-01".into()),
        parameters: Some("inputEvgen,outputSimul,skip,nEvents,seed,pileup...".into()),
        ..job.transformation
    };
    job.requirements = requirements();
    job.inputs = vec![input];
    job.outputs = [".pool.root", ".hist.root"]
        .map(|ending| File {
            destination: Some("BNL_ATLAS".into()),
            ..file(&format!("{output}{ending}"), "simul")
        })
        .into();
    job.stdout = Some(file(&format!("{output}.log"), "simul.log"));
    job.stderr = Some(file(&format!("{output}.err"), "simul.log"));
    fill(&mut job, number, bytes);
    Ok(job)
}

/// Adds minimum-bias files to inputs and parameters as long as they fit.
fn fill(job: &mut JobSpec, number: u32, bytes: usize) {
    let added_bytes = |pile_up: &File| {
        let markup = "<file logicalFileName=\"\" dataset=\"dc2.003002.minbias\"/> ".len();
        2 * pile_up.logical_name.len() + markup
    };
    let mut length = write_job(job).len();
    for place in 0.. {
        let name = format!(
            "dc2.003002.minbias._{:05}.pool.root.{place}",
            number * 7 % 1000
        );
        let pile_up = file(&name, "minbias");
        length += added_bytes(&pile_up);
        if length > bytes {
            return;
        }
        job.parameters.push(' ');
        job.parameters.push_str(&name);
        job.inputs.push(pile_up);
    }
}

fn file(name: &str, dataset: &str) -> File {
    File {
        logical_name: name.into(),
        dataset: Some(format!("dc2.003002.{dataset}")),
        destination: None,
    }
}

fn requirements() -> Requirements {
    let quantity = |value, unit: &str| {
        Some(Quantity {
            value,
            unit: Some(unit.into()),
        })
    };
    Requirements {
        uses: Some("Atlas-8.0.5".into()),
        cpu: quantity(60_000, "kSI2kseconds"),
        disk: quantity(1500, "MB"),
        ram: quantity(512, "MB"),
        ip_connectivity: Some("no".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windmill::read_job;

    #[test]
    fn jobs_have_the_size_that_is_asked_for() {
        for bytes in [2000, 3600, 50_000] {
            for number in [0, 417, 99_999] {
                let job = production_job(number, bytes).unwrap();
                let xml = write_job(&job);
                assert!(
                    xml.len() <= bytes && xml.len() > bytes - 200,
                    "{}",
                    xml.len()
                );
                assert_eq!(read_job(&xml).as_ref(), Ok(&job));
            }
        }
    }

    #[test]
    fn no_job_is_there_twice() {
        let Call::ExecuteJobs(jobs) = execute_jobs(100, 0).unwrap().call else {
            panic!("another call");
        };
        let keys = jobs.iter().filter_map(|job| match job {
            Submission::Good(good) => Some(&good.key),
            Submission::Refused(_) => None,
        });
        assert_eq!(keys.collect::<std::collections::HashSet<_>>().len(), 100);
    }
}
