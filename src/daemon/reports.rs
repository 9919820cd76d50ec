//! What an operator reads when a part of the house cannot be used.

use crate::buffer::{OpenError, StoreUrl};
use crate::config::Config;
use crate::error::{Code, Report};
use crate::http::{BindError, Listen};
use crate::xmpp::DoorError;

/// What an operator reads when a store cannot be opened.
#[must_use]
pub fn store_report(url: &StoreUrl, error: &OpenError) -> Report {
    let (code, hint) = match error {
        OpenError::Unreachable(_) => (
            Code::StoreUnreachable,
            "is the server running, and buffer.url right?",
        ),
        OpenError::Refused(_) => (
            Code::StoreRefused,
            "check the user of buffer.url and buffer.password_file",
        ),
        OpenError::InUse(_) => (
            Code::StoreInUse,
            "stop the daemon that has it, or give this one a file of its own",
        ),
        OpenError::SchemaTooNew { .. } => (Code::SchemaTooNew, "install the newer gristmill"),
        OpenError::SchemaTooOld { .. } => (Code::SchemaTooOld, "run `gristmill migrate`"),
        OpenError::Orphaned(_) => (
            Code::Orphans,
            "give the [[supervisor]] its owner back until its jobs have ended and it was told, or set \
             buffer.allow_orphans = true",
        ),
        OpenError::Restored { .. } | OpenError::Replaced { .. } => (
            Code::StoreRestored,
            "put the store back that was answered from; or run `gristmill migrate \
             --accept-restored`, which loses what this one lacks (buffer.generation_file)",
        ),
        OpenError::Invalid(_) => (Code::StoreInvalid, "check buffer.url"),
    };
    Report::new(code, format!("{url}: the store cannot be opened"))
        .because(error)
        .hint(hint)
}

pub(super) fn listen_report(listen: &Listen, error: &BindError) -> Report {
    let report = if error.is_taken() {
        Report::new(Code::ListenTaken, format!("http.listen: {listen} is taken"))
            .hint("stop the process that has it, or give http.listen another place, or \"\"")
    } else {
        Report::new(
            Code::ListenUnusable,
            format!("http.listen: {listen} cannot be used"),
        )
        .hint("check that its folder is there and may be written to")
    };
    report.because(error)
}

pub(super) fn door_report(config: &Config, error: &DoorError) -> Report {
    let code = match error {
        DoorError::Refused(_) | DoorError::Denied(_) => Code::DoorRefused,
        DoorError::WrongResource { .. } => Code::WrongResource,
        DoorError::Conflict => Code::ResourceTaken,
        DoorError::Broken => Code::PartBroken,
    };
    Report::new(code, format!("{}: no XMPP session", config.xmpp.jid)).because(error)
}
