//! What a document asks, before anything of it is built: the call, its ID, and of each `<job>` the
//! three keys and the byte range.

use std::borrow::Cow;
use std::ops::Range;

use super::elements::{Binding, Element, Elements};
use super::error::Problem;
use super::{CallKind, FaultCode, NAMESPACE};

/// The longest `id` of a request, in characters.
pub const MAX_ID_CHARS: usize = 128;

/// What the root says.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub call: Option<CallKind>,
    pub id: Option<String>,
}

/// A document's outline.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub call: CallKind,
    /// The root.
    pub root: Element<'a>,
    /// What the root binds.
    pub bindings: Vec<Binding>,
    /// The `<job>` elements, in order.
    pub entries: Vec<Entry<'a>>,
    /// Where the root's `<requirements>` is, in bytes of the document.
    pub requirements: Option<Range<usize>>,
}

/// A `<job>` element.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub keys: Keys<'a>,
    pub element: Element<'a>,
    /// The element's bytes in the document.
    pub range: Range<usize>,
}

/// The attributes that name a job, as they came.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    pub job_id: Option<Cow<'a, str>>,
    pub attempt: Option<Cow<'a, str>>,
    pub record_id: Option<Cow<'a, str>>,
    pub change: Option<Cow<'a, str>>,
    /// The one that is there twice, in two spellings.
    pub twice: Option<&'static str>,
}

impl<'a> Keys<'a> {
    /// Of the tag that was read last.
    pub fn of(elements: &Elements<'a>) -> Self {
        let mut twice = None;
        let mut key = |name, spellings: &[&str]| {
            let value = elements.attribute(spellings);
            if value.is_err() {
                twice = Some(name);
            }
            value.ok().flatten().cloned()
        };
        Self {
            job_id: key("jobID", &["jobID", "jobId", "jobid"]),
            attempt: key("attempt", &["attempt"]),
            record_id: key("taskBufferRecordID", &["taskBufferRecordID", "recordID"]),
            change: key("change", &["change"]),
            twice,
        }
    }
}

impl<'a> Envelope<'a> {
    /// Reads the outline of a whole document, which begins at byte `base`. `header` keeps what was
    /// read of it also when the rest cannot be read.
    pub fn read(
        text: &'a str,
        base: usize,
        max_jobs: usize,
        header: &mut Header,
    ) -> Result<Self, Problem> {
        let mut elements = Elements::new(text, base);
        let (call, root) = read_root(&mut elements, header)?;
        let mut envelope = Self {
            call,
            root,
            bindings: elements.bindings(),
            entries: Vec::new(),
            requirements: None,
        };
        while let Some(child) = elements.next_child()? {
            envelope.read_child(&mut elements, child, max_jobs)?;
        }
        elements.finish()?;
        Ok(envelope)
    }

    fn read_child(
        &mut self,
        elements: &mut Elements<'a>,
        child: Element<'a>,
        max_jobs: usize,
    ) -> Result<(), Problem> {
        match (self.call, child.name) {
            (CallKind::NumJobsWanted, "requirements") if self.requirements.is_none() => {
                elements.skip_for_now()?;
                self.requirements = Some(child.tag.at..elements.position());
                Ok(())
            }
            (CallKind::NumJobsWanted, "requirements") => {
                let problem = Problem::invalid(child.tag.at, "requirements are given twice");
                Err(problem.within(child.tag.name))
            }
            (CallKind::NumJobsWanted, _) => elements.skip(),
            (call, "job") => {
                if self.entries.len() == max_jobs {
                    return Err(too_many_jobs(child, max_jobs));
                }
                let keys = Keys::of(elements);
                if call == CallKind::ExecuteJobs {
                    elements.skip_for_now()?;
                } else {
                    elements.skip()?;
                }
                let range = child.tag.at..elements.position();
                self.entries.push(Entry {
                    keys,
                    element: child,
                    range,
                });
                Ok(())
            }
            _ => elements.skip(),
        }
    }
}

/// The call and the ID, from the prolog and the first tag alone.
pub(super) fn peek(text: &str) -> Header {
    let mut header = Header::default();
    // what is wrong with the document is for who reads all of it to say
    let _ = read_root(&mut Elements::new(text, 0), &mut header);
    header
}

fn read_root<'a>(
    elements: &mut Elements<'a>,
    header: &mut Header,
) -> Result<(CallKind, Element<'a>), Problem> {
    let (root, ours) = elements.root()?;
    header.call = call_named(root.name).filter(|_| ours);
    if let Ok(Some(id)) = elements.attribute(&["id"]) {
        if id.chars().count() > MAX_ID_CHARS {
            let text = format!("the id is longer than {MAX_ID_CHARS} characters");
            return Err(Problem::invalid(root.tag.at, text).within(root.tag.name));
        }
        header.id = Some(id.clone().into_owned());
    }
    header.call.map(|call| (call, root)).ok_or_else(|| {
        let text = if ours {
            let names = CallKind::ALL.map(CallKind::name).join(", ");
            format!("this is none of the calls {names}")
        } else {
            format!("its namespace is not {NAMESPACE}")
        };
        Problem::new(FaultCode::UnsupportedCall, root.tag.at, text).within(root.tag.name)
    })
}

fn call_named(name: &str) -> Option<CallKind> {
    Some(match name {
        "numJobsWanted" | "numJobWanted" => CallKind::NumJobsWanted,
        "executeJobs" => CallKind::ExecuteJobs,
        "getExecutorData" => CallKind::GetExecutorData,
        "getStatus" => CallKind::GetStatus,
        "killJobs" | "killJob" => CallKind::KillJobs,
        "fixJobs" | "fixJob" => CallKind::FixJobs,
        "ack" => CallKind::Ack,
        _ => return None,
    })
}

fn too_many_jobs(job: Element<'_>, max_jobs: usize) -> Problem {
    let text = format!("more than {max_jobs} jobs; send them in several requests");
    Problem::new(FaultCode::TooLarge, job.tag.at, text).within(job.tag.name)
}
