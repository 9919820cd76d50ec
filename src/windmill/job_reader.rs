//! A `<job>` element to its typed spec.

use crate::job::{Attempt, File, InvalidId, JobId, JobKey, JobSpec, Requirements, Transformation};

use super::Reason;
use super::characters;
use super::elements::{Element, Elements};
use super::envelope::Keys;
use super::error::Problem;
use super::fields::{Fields, put};

/// Reads a stored `<job>` element.
///
/// The reason's code is `malformed`, `missing-field` or `invalid-field`.
pub fn read_job(xml: &str) -> Result<JobSpec, Reason> {
    let malformed = |problem: Problem| Reason {
        code: problem.code.name().into(),
        text: problem.located(xml.as_bytes(), None, None).to_string(),
    };
    characters::check(xml.as_bytes()).map_err(malformed)?;
    let mut elements = Elements::new(xml, 0);
    let (root, ours) = elements.cut_out_root().map_err(malformed)?;
    if !ours || root.name != "job" {
        return Err(malformed(Problem::malformed(0, "this is no <job>")));
    }
    let keys = Keys::of(&elements);
    let job = read_content(&mut elements, root, &keys).map_err(malformed)?;
    elements.finish().map_err(malformed)?;
    job.spec
}

/// What was read of a `<job>` element.
pub(super) struct ReadJob {
    /// Where it can be read.
    pub job_id: Option<JobId>,
    /// Where it can be read; the first one where there is none.
    pub attempt: Option<Attempt>,
    /// The spec, or the first thing that is wrong.
    pub spec: Result<JobSpec, Reason>,
}

/// Reads what is in a `<job>` element whose start tag was just read.
pub(super) fn read_content(
    elements: &mut Elements<'_>,
    job: Element<'_>,
    keys: &Keys<'_>,
) -> Result<ReadJob, Problem> {
    let mut fields = Fields::default();
    let job_id = job_id(&mut fields, job, keys);
    let attempt = attempt(&mut fields, job, keys);
    let mut draft = Draft::default();
    while let Some(child) = elements.next_child()? {
        draft.read(&mut fields, elements, child)?;
    }
    let spec = draft.into_spec(&mut fields, job, job_id.clone(), attempt);
    let complaint = fields.into_complaint().map(|complaint| complaint.reason);
    Ok(ReadJob {
        job_id,
        attempt,
        spec: match (complaint, spec) {
            (None, Some(spec)) => Ok(spec),
            (reason, _) => Err(reason.unwrap_or_else(|| missing("jobID", "is missing"))),
        },
    })
}

fn missing(field: &str, how: &str) -> Reason {
    Reason {
        code: "missing-field".into(),
        text: format!("{field} {how}"),
    }
}

fn job_id(fields: &mut Fields, job: Element<'_>, keys: &Keys<'_>) -> Option<JobId> {
    if let Some(name) = keys.twice {
        fields.complain(job, "invalid-field", format!("{name} is given twice"));
    }
    let Some(text) = keys.job_id.as_deref() else {
        fields.complain(job, "missing-field", "jobID is missing");
        return None;
    };
    let text = text.trim_matches(characters::is_space);
    let code = if text.is_empty() {
        "missing-field"
    } else {
        "invalid-field"
    };
    let job_id = JobId::new(text);
    job_id
        .map_err(|error| fields.complain(job, code, error.to_string()))
        .ok()
}

fn attempt(fields: &mut Fields, job: Element<'_>, keys: &Keys<'_>) -> Option<Attempt> {
    let Some(text) = keys.attempt.as_deref() else {
        return Some(Attempt::FIRST);
    };
    let attempt = text.trim_matches(characters::is_space).parse();
    attempt
        .map_err(|error: InvalidId| fields.complain(job, "invalid-field", error.to_string()))
        .ok()
}

/// A job spec in the making.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    execution_id: Option<String>,
    task_id: Option<String>,
    priority: Option<i32>,
    transformation: Option<DraftTransformation>,
    parameters: Option<String>,
    requirements: Option<Requirements>,
    inputs: Option<Vec<File>>,
    outputs: Option<Vec<File>>,
    stdout: Option<File>,
    stderr: Option<File>,
}

#[derive(Default)]
struct DraftTransformation {
    uses: Option<String>,
    home: Option<String>,
    path: Option<String>,
    parameters: Option<String>,
}

impl Draft {
    fn read(
        &mut self,
        fields: &mut Fields,
        elements: &mut Elements<'_>,
        child: Element<'_>,
    ) -> Result<(), Problem> {
        match child.name {
            "jobName" => put(fields, &mut self.name, child, |f| f.name(elements, child)),
            "jobExecutionID" => put(fields, &mut self.execution_id, child, |f| {
                f.name(elements, child)
            }),
            "taskID" => put(fields, &mut self.task_id, child, |f| {
                f.name(elements, child)
            }),
            "priority" => put(fields, &mut self.priority, child, |f| {
                f.number(elements, child)
            }),
            "jobPars" => put(fields, &mut self.parameters, child, |f| {
                f.parameters(elements, child)
            }),
            "transformation" => put(fields, &mut self.transformation, child, |f| {
                DraftTransformation::read(f, elements).map(Some)
            }),
            "requirements" => put(fields, &mut self.requirements, child, |f| {
                f.requirements(elements).map(Some)
            }),
            "inputs" => put(fields, &mut self.inputs, child, |f| {
                f.files(elements).map(Some)
            }),
            "outputs" => put(fields, &mut self.outputs, child, |f| {
                f.files(elements).map(Some)
            }),
            "stdout" => put(fields, &mut self.stdout, child, |f| f.file(elements, child)),
            "stderr" => put(fields, &mut self.stderr, child, |f| f.file(elements, child)),
            _ => elements.skip(),
        }
    }

    /// The spec, if what is required is there.
    fn into_spec(
        self,
        fields: &mut Fields,
        job: Element<'_>,
        job_id: Option<JobId>,
        attempt: Option<Attempt>,
    ) -> Option<JobSpec> {
        let transformation = self.transformation.unwrap_or_default();
        match transformation.path.as_deref() {
            None => fields.complain(job, "missing-field", "transPath is missing"),
            Some("") => fields.complain(job, "missing-field", "transPath is empty"),
            Some(_) => {}
        }
        if self.parameters.is_none() {
            fields.complain(job, "missing-field", "jobPars is missing");
        }
        Some(JobSpec {
            key: JobKey {
                job_id: job_id?,
                attempt: attempt?,
            },
            name: self.name,
            execution_id: self.execution_id,
            task_id: self.task_id,
            priority: self.priority.unwrap_or(0),
            transformation: Transformation {
                uses: transformation.uses,
                home: transformation.home,
                path: transformation.path?,
                parameters: transformation.parameters,
            },
            parameters: self.parameters?,
            requirements: self.requirements.unwrap_or_default(),
            inputs: self.inputs.unwrap_or_default(),
            outputs: self.outputs.unwrap_or_default(),
            stdout: self.stdout,
            stderr: self.stderr,
        })
    }
}

impl DraftTransformation {
    fn read(fields: &mut Fields, elements: &mut Elements<'_>) -> Result<Self, Problem> {
        let mut draft = Self::default();
        while let Some(child) = elements.next_child()? {
            match child.name {
                "transUses" => put(fields, &mut draft.uses, child, |f| f.name(elements, child))?,
                "transHome" => put(fields, &mut draft.home, child, |f| f.name(elements, child))?,
                "transPath" => put(fields, &mut draft.path, child, |f| f.name(elements, child))?,
                "transPars" => put(fields, &mut draft.parameters, child, |f| {
                    f.parameters(elements, child)
                })?,
                _ => elements.skip()?,
            }
        }
        Ok(draft)
    }
}
