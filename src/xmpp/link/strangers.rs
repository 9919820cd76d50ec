//! What the line does for senders that are no supervisors.

use tokio_xmpp::Stanza;

use super::Link;

impl Link {
    /// Answers a sender that is no supervisor, if there are not too many such answers.
    pub(in super::super) fn send_courtesy(&mut self, answer: impl Into<Stanza>) {
        self.courtesies.push(answer.into());
    }

    /// Writes an answer to a stranger where there is nothing else to write; whether there still
    /// is nothing.
    pub(super) fn write_courtesy(&mut self, room: bool) -> bool {
        let idle = room && self.unwritten.is_empty() && self.outgoing.is_empty();
        match idle.then(|| self.courtesies.pop()).flatten() {
            Some(answer) => {
                self.write(answer.into());
                false
            }
            None => idle,
        }
    }
}
