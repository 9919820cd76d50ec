//! Records as JSON.

use serde_json::{Value, json};

use super::present::level;
use crate::buffer::Dossier;
use crate::job::{Event, Record};

pub(super) fn dossier(dossier: &Dossier) -> Value {
    let events: Vec<_> = dossier.events.iter().map(event).collect();
    json!({ "record": record(&dossier.record), "events": events, "xml": dossier.payload })
}

pub(super) fn record(record: &Record) -> Value {
    json!({
        "recordID": record.id.get(),
        "jobID": record.key.job_id.as_str(),
        "attempt": record.key.attempt.get(),
        "owner": record.owner.as_str(),
        "state": record.state.name(),
        "since": record.since,
        "reason": record.reason,
        "priority": record.priority,
        "acceptedAt": record.accepted_at,
        "killRequestedAt": record.kill_requested_at,
        "content": record.content.to_string(),
    })
}

pub(super) fn event(event: &Event) -> Value {
    json!({
        "at": event.at,
        "level": level(event.level),
        "code": event.code,
        "text": event.text,
    })
}
