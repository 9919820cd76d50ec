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

    /// Whether this Response fits. Counts each piece of it as its longest spelling, so that no
    /// stanza writer's choice can make it longer.
    #[must_use]
    pub fn holds(self, response: &str) -> bool {
        let bytes = if self.as_text {
            response.bytes().map(escaped_bytes).sum()
        } else {
            element_bytes(response)
        };
        bytes <= self.max_bytes
    }
}

fn escaped_bytes(byte: u8) -> usize {
    match byte {
        b'<' | b'>' => "&lt;".len(),
        b'&' => "&amp;".len(),
        b'"' | b'\'' => "&quot;".len(),
        _ => 1,
    }
}

/// As an element it is written anew: what closes itself gets an end tag, and what stands in an
/// attribute may be escaped otherwise.
fn element_bytes(response: &str) -> usize {
    let growth = response.split('<').map(|piece| {
        let tag = piece.split_once('>').map_or("", |(tag, _)| tag);
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        let end_tag = tag.ends_with('/').then_some(name.len() + "</>".len());
        let apostrophes = tag.matches('\'').count() * ("&#39;".len() - 1);
        let references = tag.matches('&').count();
        end_tag.unwrap_or_default() + apostrophes + references
    });
    response.len() + growth.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_counts_where_the_reply_is_text() {
        let room = |max_bytes, as_text| ReplyRoom { max_bytes, as_text };
        assert!(room(7, false).holds("<a b=1>"));
        assert!(!room(6, false).holds("<a b=1>"));
        assert!(room(20, true).holds("<a b=''"));
        assert!(!room(19, true).holds("<a b=''"));
    }

    #[test]
    fn elements_count_as_they_are_written_anew() {
        for (response, anew) in [
            ("<a/>", "<a></a>+"),
            ("<a b=\"c\"/>", "<a b='c'></a>+"),
            (
                "<a b=\"it's\">it's &amp; \"</a>",
                "<a b='it&#39;s'>it's &amp; \"</a>",
            ),
            ("<a b=\"&#9;\">&lt;</a>", "<a b='&#x9;'>&lt;</a>"),
        ] {
            assert_eq!(element_bytes(response), anew.len(), "{response}");
        }
    }
}
