//! XML text in the making.

use std::fmt::{Display, Write as _};

use super::characters;

/// A document in the making. Who uses it keeps tags balanced.
pub(super) struct Markup {
    out: String,
}

impl Markup {
    /// `capacity`: about how long it is going to be, in bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            out: String::with_capacity(capacity),
        }
    }

    pub fn into_string(self) -> String {
        self.out
    }

    /// Begins a start tag.
    pub fn begin(&mut self, name: &str) -> &mut Self {
        self.out.push('<');
        self.out.push_str(name);
        self
    }

    /// Adds an attribute to the tag that was begun.
    pub fn attribute(&mut self, name: &str, value: &str) -> &mut Self {
        self.begin_attribute(name);
        push_escaped(&mut self.out, value);
        self.out.push('"');
        self
    }

    /// Adds an attribute whose text needs no escapes, like a number's.
    pub fn plain_attribute(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.begin_attribute(name);
        self.plain(value);
        self.out.push('"');
        self
    }

    /// Adds an attribute, if there is a value.
    pub fn optional_attribute(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.attribute(name, value);
        }
        self
    }

    fn begin_attribute(&mut self, name: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
    }

    /// Ends a start tag; content follows.
    pub fn open(&mut self) -> &mut Self {
        self.out.push('>');
        self
    }

    /// Ends an empty element's tag.
    pub fn empty(&mut self) {
        self.out.push_str("/>");
    }

    /// Writes an end tag.
    pub fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// Writes character data.
    pub fn text(&mut self, text: &str) -> &mut Self {
        push_replaced(&mut self.out, text, |character| match character {
            '&' => Some("&amp;"),
            '<' => Some("&lt;"),
            '>' => Some("&gt;"),
            '\r' => Some("&#13;"),
            other => replaced_if_forbidden(other),
        });
        self
    }

    /// Writes character data that needs no escapes, like a number's.
    pub fn plain(&mut self, text: impl Display) -> &mut Self {
        // writing to a String cannot fail
        let _ = write!(self.out, "{text}");
        self
    }

    /// Writes an element that has text and nothing else.
    pub fn text_element(&mut self, name: &str, text: &str) {
        self.begin(name).open().text(text).close(name);
    }

    /// The same, if there is a text.
    pub fn optional_element(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text_element(name, text);
        }
    }

    /// Writes an element whose text needs no escapes, if there is one.
    pub fn plain_element(&mut self, name: &str, text: Option<impl Display>) {
        if let Some(text) = text {
            self.begin(name).open().plain(text).close(name);
        }
    }
}

/// Appends an attribute's value, to stand between double quotes.
pub(super) fn push_escaped(out: &mut String, value: &str) {
    push_replaced(out, value, |character| match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        '\r' => Some("&#13;"),
        other => replaced_if_forbidden(other),
    });
}

fn replaced_if_forbidden(character: char) -> Option<&'static str> {
    (!characters::is_allowed(character)).then_some("\u{FFFD}")
}

fn push_replaced(out: &mut String, text: &str, replacement: fn(char) -> Option<&'static str>) {
    let mut kept = 0;
    for (at, character) in text.char_indices() {
        if let Some(replacement) = replacement(character) {
            out.push_str(text.get(kept..at).unwrap_or_default());
            out.push_str(replacement);
            kept = at + character.len_utf8();
        }
    }
    out.push_str(text.get(kept..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_read_otherwise_is_escaped() {
        let mut markup = Markup::with_capacity(0);
        let odd = "a&b<c>d\"e'f\tg\nh\ri\0j\u{FFFF}k";
        markup
            .begin("x")
            .attribute("y", odd)
            .open()
            .text(odd)
            .close("x");
        assert_eq!(
            markup.into_string(),
            "<x y=\"a&amp;b&lt;c&gt;d&quot;e'f&#9;g&#10;h&#13;i\u{FFFD}j\u{FFFD}k\">\
             a&amp;b&lt;c&gt;d\"e'f\tg\nh&#13;i\u{FFFD}j\u{FFFD}k</x>"
        );
    }
}
