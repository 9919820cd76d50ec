//! Calls and replies to XML, in canonical spelling.

use crate::job::JobSpec;

use super::{Fault, Reply, Request};

/// How much a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Leaves out what an older peer would have to ignore.
    pub strict: bool,
    /// Whether refusals say why in words.
    pub reason_texts: bool,
}

/// Writes a supervisor's document.
#[must_use]
pub fn write_call(request: &Request) -> String {
    format!("<{}/>", request.call.kind().name())
}

/// Writes a `<job>` element.
#[must_use]
pub fn write_job(spec: &JobSpec) -> String {
    format!("<job jobID='{}'/>", spec.key.job_id)
}

/// Writes a reply, without an XML declaration.
#[must_use]
pub fn write_reply(reply: &Reply, style: Style) -> String {
    let _ = style;
    format!(
        "<{}/>",
        reply
            .call
            .map_or("errorResponse", super::CallKind::response_name)
    )
}

/// Writes the bare `<error>` element, for an IQ error's application-specific child.
#[must_use]
pub fn write_fault(fault: &Fault) -> String {
    format!("<error code='{}'/>", fault.code.name())
}
