//! A conversation with one store, held with another one: the same jobs have other record IDs there.

use std::collections::HashMap;

use super::{Answer, CallKind, Existence, ReceiptResult, Reply, peek_kind};
use crate::job::RecordId;

/// Ends a reply that another store gave: its record IDs are that store's.
pub const ELSEWHERE: &str = "<!-- captured: record IDs and progress are those of another store -->";

/// What the names of attributes with a record ID end with.
const NAME_END: &str = "ecordID";

/// Which record of the one store is which of the other: one for one.
#[derive(Debug, Default)]
pub struct Renumbering {
    there_to_here: HashMap<RecordId, RecordId>,
    here_to_there: HashMap<RecordId, RecordId>,
}

impl Renumbering {
    /// Learns from the two stores' replies to the same request. `false`: one record would have to
    /// be two.
    pub fn learn(&mut self, there: &Reply, here: &Reply) -> bool {
        let pairs = records(there).into_iter().zip(records(here));
        pairs.fold(true, |so_far, pair| match pair {
            (Some(there), Some(here)) => self.add(there, here) && so_far,
            _ => so_far,
        })
    }

    fn add(&mut self, there: RecordId, here: RecordId) -> bool {
        let before = self.there_to_here.entry(there).or_insert(here);
        let back = self.here_to_there.entry(here).or_insert(there);
        (*before, *back) == (here, there)
    }

    /// A document with the record IDs of the other store where they are known. An executeJobs has
    /// none.
    #[must_use]
    pub fn apply(&self, document: &str) -> String {
        if peek_kind(document) == Some(CallKind::ExecuteJobs) {
            return document.to_owned();
        }
        let mut parts = document.split(NAME_END);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            text += NAME_END;
            match self.renumbered(part) {
                Some(part) => text += &part,
                None => text += part,
            }
        }
        text
    }

    /// What follows the name of an attribute.
    fn renumbered(&self, part: &str) -> Option<String> {
        let value = part.trim_start().strip_prefix('=')?.trim_start();
        let quote = value
            .chars()
            .next()
            .filter(|one| matches!(one, '"' | '\''))?;
        let (number, _) = value.strip_prefix(quote)?.split_once(quote)?;
        let here = self.there_to_here.get(&number.trim().parse().ok()?)?;
        Some(part.replacen(number, &here.to_string(), 1))
    }
}

/// The record ID of each entry that gives one.
fn records(reply: &Reply) -> Vec<Option<RecordId>> {
    match &reply.content {
        Ok(Answer::Receipts(receipts)) => {
            let record = |result: &_| match result {
                ReceiptResult::Stored(id) | ReceiptResult::Duplicate(id) => Some(*id),
                ReceiptResult::Conflict | ReceiptResult::Refused(_) => None,
            };
            receipts.iter().map(|one| record(&one.result)).collect()
        }
        Ok(Answer::ExecutorData(entries)) => {
            let record = |existence: &_| match existence {
                Existence::Accepted(id) => Some(*id),
                Existence::Rejected(_) | Existence::Unknown => None,
            };
            entries.iter().map(|one| record(&one.existence)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_reply;
    use super::*;

    fn stored(ids: &[u32]) -> Reply {
        let jobs = ids.iter().map(|id| {
            format!("<job jobID='1' attempt='1' result='stored' taskBufferRecordID='{id}'/>")
        });
        let (jobs, count) = (jobs.collect::<String>(), ids.len());
        let text = format!(
            "<executeJobsResponse received='{count}' stored='{count}'>{jobs}</executeJobsResponse>{ELSEWHERE}"
        );
        read_reply(&text).unwrap()
    }

    #[test]
    fn records_are_named_as_the_other_store_does() {
        let mut known = Renumbering::default();
        assert!(known.learn(&stored(&[90, 7]), &stored(&[1, 2])));
        let asked = "<getStatus><job taskBufferRecordID = '90' jobID='90'/><job recordID=\"7\"/>\
                     <job recordID='8'/><job recordID=''/>90</getStatus>";
        let renamed = "<getStatus><job taskBufferRecordID = '1' jobID='90'/><job recordID=\"2\"/>\
                       <job recordID='8'/><job recordID=''/>90</getStatus>";
        assert_eq!(known.apply(asked), renamed);
        let jobs = "<executeJobs><job recordID='7'/></executeJobs>";
        assert_eq!(known.apply(jobs), jobs);
    }

    #[test]
    fn one_record_is_never_two() {
        let mut known = Renumbering::default();
        assert!(known.learn(&stored(&[90]), &stored(&[1])));
        assert!(known.learn(&stored(&[90]), &stored(&[1])));
        assert!(!known.learn(&stored(&[90]), &stored(&[2])));
        assert!(!known.learn(&stored(&[91]), &stored(&[1])));
    }
}
