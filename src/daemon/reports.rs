//! What an operator reads when a part of the house cannot be used.

use crate::buffer::{OpenError, StoreUrl};
use crate::config::Config;
use crate::error::{Kind, Report};
use crate::http::{BindError, Listen};
use crate::xmpp::DoorError;

/// What an operator reads when a store cannot be opened.
#[must_use]
pub fn store_report(url: &StoreUrl, error: &OpenError) -> Report {
    let (kind, hint) = match error {
        OpenError::Unreachable(_) => (
            Kind::Unreachable,
            "is the server running, and buffer.url right?",
        ),
        OpenError::Refused(_) => (
            Kind::Unreachable,
            "check the user of buffer.url and buffer.password_file",
        ),
        OpenError::InUse(_) => (
            Kind::Conflict,
            "stop the daemon that has it, or give this one a file of its own",
        ),
        OpenError::SchemaTooNew { .. } => (Kind::Failed, "install the newer gristmill"),
        OpenError::SchemaTooOld { .. } => (Kind::Failed, "run `gristmill migrate`"),
        OpenError::Orphaned(_) => (
            Kind::Configuration,
            "give a [[supervisor]] that owner, or set buffer.allow_orphans = true",
        ),
        OpenError::Invalid(_) => (Kind::Configuration, "check buffer.url"),
    };
    Report::new(kind, format!("{url}: the store cannot be opened"))
        .because(error)
        .hint(hint)
}

pub(super) fn listen_report(listen: &Listen, error: &BindError) -> Report {
    let report = if error.is_taken() {
        Report::new(Kind::Conflict, format!("http.listen: {listen} is taken"))
            .hint("stop the process that has it, or give http.listen another place, or \"\"")
    } else {
        Report::new(
            Kind::Configuration,
            format!("http.listen: {listen} cannot be used"),
        )
        .hint("check that its folder is there and may be written to")
    };
    report.because(error)
}

pub(super) fn door_report(config: &Config, error: &DoorError) -> Report {
    let kind = match error {
        DoorError::Refused(_) => Kind::Unreachable,
        DoorError::WrongResource { .. } => Kind::Configuration,
        DoorError::Conflict => Kind::Conflict,
        DoorError::Broken => Kind::Bug,
    };
    Report::new(kind, format!("{}: no XMPP session", config.xmpp.jid)).because(error)
}
