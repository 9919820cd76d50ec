//! Replies are compared by what they say.

use std::borrow::Cow;

use crate::windmill::{self, Answer, ELSEWHERE, FixResult, KillResult, Renumbering, Reply, Status};

use super::documents::Document;

/// What came of comparing a reply with the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    NotAsked,
    NoExpectation,
    Same,
    Different,
}

/// Compares the replies of one conversation.
#[derive(Default)]
pub(super) struct Judge(Renumbering);

impl Judge {
    /// A document as this store understands it: what was captured from another one names its
    /// records.
    pub(super) fn translate<'a>(&self, document: &'a Document) -> Cow<'a, [u8]> {
        let captured = document.expected.as_deref().is_some_and(is_captured);
        match str::from_utf8(&document.text) {
            Ok(text) if captured => Cow::Owned(self.0.apply(text).into_bytes()),
            _ => Cow::Borrowed(&document.text),
        }
    }

    pub(super) fn judge(&mut self, document: &Document, reply: &str) -> Verdict {
        let same = match &document.expected {
            None => return Verdict::NoExpectation,
            Some(expected) if is_captured(expected) => self.same_elsewhere(expected, reply),
            Some(expected) => same(expected, reply, without_times),
        };
        if same {
            Verdict::Same
        } else {
            Verdict::Different
        }
    }

    /// Which records are there is held against what another store said; how far they are depends
    /// on their runs, which are not part of the conversation.
    fn same_elsewhere(&mut self, expected: &str, reply: &str) -> bool {
        let read = |text: &str| windmill::read_reply(text).ok();
        if let (Some(there), Some(here)) = (read(expected), read(reply))
            && !self.0.learn(&there, &here)
        {
            return false;
        }
        let expected = expected.replace(ELSEWHERE, "");
        same(&self.0.apply(&expected), reply, without_progress)
    }
}

fn is_captured(expected: &str) -> bool {
    expected.trim_end().ends_with(ELSEWHERE)
}

fn same(expected: &str, reply: &str, reduced: fn(Reply) -> Reply) -> bool {
    let read = |text: &str| windmill::read_reply(text).map(reduced);
    match (read(expected), read(reply)) {
        (Ok(expected), Ok(reply)) => expected == reply,
        _ => expected.trim() == reply.trim(),
    }
}

/// The moments in replies are never the same.
fn without_times(mut reply: Reply) -> Reply {
    if let Ok(Answer::Statuses(entries)) = &mut reply.content {
        for detail in entries.iter_mut().filter_map(|entry| entry.detail.as_mut()) {
            (detail.since, detail.started, detail.ended) = (None, None, None);
        }
    }
    reply
}

/// What is left of a reply when jobs may be further, or less far, and the configuration another.
fn without_progress(mut reply: Reply) -> Reply {
    match &mut reply.content {
        Ok(Answer::NumJobs(number)) => *number = 0,
        Ok(Answer::Statuses(entries)) => {
            for entry in entries {
                entry.status = there(entry.status);
                entry.detail = None;
            }
        }
        Ok(Answer::Kills(entries)) => {
            for entry in entries {
                entry.status = there(entry.status);
                if let KillResult::KillRequested | KillResult::AlreadyFinished = entry.result {
                    entry.result = KillResult::Killed;
                }
            }
        }
        Ok(Answer::Fixes(entries)) => {
            for entry in entries {
                entry.status = there(entry.status);
                if entry.result == FixResult::Fixed {
                    entry.result = FixResult::Unchanged;
                }
            }
        }
        _ => {}
    }
    reply
}

fn there(status: Status) -> Status {
    match status {
        Status::Running | Status::Finished => Status::Pending,
        status => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(record: u32, since: &str, status: &str) -> String {
        format!(
            "<getStatusResponse xmlns='urn:windmill:executor:1'><job jobID='1' \
             taskBufferRecordID='{record}' status='{status}' since='{since}'/></getStatusResponse>\n"
        )
    }

    fn judge(expected: String, reply: &str) -> Verdict {
        let document = Document {
            name: "a".to_owned(),
            text: Vec::new(),
            expected: Some(expected),
        };
        Judge::default().judge(&document, reply)
    }

    #[test]
    fn replies_are_compared_by_what_they_say() {
        let early = || status(2, "2005-09-01T18:40:11Z", "pending");
        let later = status(2, "2026-09-01T18:40:11Z", "pending");
        assert_eq!(judge(early(), &later), Verdict::Same);
        let running = status(2, "2005-09-01T18:40:11Z", "running");
        assert_eq!(judge(early(), &running), Verdict::Different);
        assert_eq!(judge(early(), "<nonsense"), Verdict::Different);
    }

    #[test]
    fn of_another_store_only_what_is_there_is_compared() {
        let there = || {
            format!(
                "{}{ELSEWHERE}\n",
                status(2, "2005-09-01T18:40:11Z", "finished")
            )
        };
        let here = |word| status(2, "2026-09-01T18:40:11Z", word);
        assert_eq!(judge(there(), &here("pending")), Verdict::Same);
        assert_eq!(judge(there(), &here("rejected")), Verdict::Different);
        assert_eq!(judge(there(), &here("unknown")), Verdict::Different);
    }
}
