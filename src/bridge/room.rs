//! How long a reply may be on the carrier that it takes.

/// The bytes that a carrier has for a Response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyRoom {
    /// What is left of a stanza beside its envelope.
    pub max_bytes: usize,
    /// Whether the Response travels as text inside an element, with its markup escaped.
    pub as_text: bool,
}

impl ReplyRoom {
    /// No limit: for doors whose answers need no stanza.
    pub const ENDLESS: Self = Self {
        max_bytes: usize::MAX,
        as_text: false,
    };

    /// Whether this Response fits. Counts each character as its longest spelling where the
    /// Response is escaped, so that no writer's choice can make it longer.
    #[must_use]
    pub fn holds(self, response: &str) -> bool {
        if !self.as_text {
            return response.len() <= self.max_bytes;
        }
        let bytes = response.bytes().map(|byte| match byte {
            b'<' | b'>' => "&lt;".len(),
            b'&' => "&amp;".len(),
            b'"' | b'\'' => "&quot;".len(),
            _ => 1,
        });
        bytes.sum::<usize>() <= self.max_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_counts_where_the_reply_is_text() {
        let room = |max_bytes, as_text| ReplyRoom { max_bytes, as_text };
        assert!(room(7, false).holds("<a b=''"));
        assert!(!room(6, false).holds("<a b=''"));
        assert!(room(20, true).holds("<a b=''"));
        assert!(!room(19, true).holds("<a b=''"));
    }
}
