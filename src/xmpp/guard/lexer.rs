//! Tells where XML's tokens begin and end, byte by byte and across chunks. It judges nothing:
//! what is not well-formed comes out as some sequence of tokens, for the parser to refuse.

/// Longer references (`&…;`) are no references: the longest that XML has is `&#x10ffff;`.
const REFERENCE_BYTES: usize = 16;
const CDATA_OPENING: &[u8] = b"<![CDATA[";
const COMMENT_OPENING: &[u8] = b"<!--";

/// Where in a token the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Character data.
    Text,
    /// `&` and so many bytes in all.
    Reference(usize),
    /// After `<`.
    Opening,
    /// After `<!`.
    Bang,
    /// So many bytes of this opening, `<![CDATA[` or `<!--`, have come.
    Matching(&'static [u8], usize),
    /// In a CDATA section, after so many `]` (at most 2).
    Cdata(u8),
    /// In a comment, after so many `-` (at most 2).
    Comment(u8),
    /// In `<?…?>`; the last byte was `?`.
    Instruction(bool),
    /// In `<!DOCTYPE` and its like.
    Declaration,
    /// In a tag's name, of so many bytes yet.
    Name(Tag, usize),
    /// In a tag, between attributes; the last byte was `/`.
    Between(Tag, bool),
    /// In an attribute's name, of so many bytes yet.
    AttributeName(Tag, usize),
    /// Between an attribute's name and its value.
    Equals(Tag),
    /// In an attribute's value, of so many bytes yet, in these quotes.
    Value(Tag, usize, u8),
}

/// Which kind of tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// `<name …>` or `<name …/>`
    Start,
    /// `</name>`
    End,
}

/// What a run of bytes was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Character data, or the inside of a CDATA section, or its end.
    Text,
    /// Part of a token that means nothing until it is complete.
    Part,
    /// The last part of a reference, or of what proved to be none.
    Reference,
    /// The last byte of `<![CDATA[`.
    Cdata,
    /// The bytes so far begin a comment, a processing instruction or a declaration.
    Markup,
    /// More of it.
    MarkupPart,
    /// No bytes: the tag's name is complete.
    Name(Tag),
    /// No bytes: an attribute begins.
    Attribute,
    /// The closing quote of an attribute.
    AttributeEnd,
    /// The `>` of a tag; `empty` where it was `/>`.
    TagEnd { tag: Tag, empty: bool },
}

impl State {
    /// Takes a run off the front of `input`: how many bytes, and what they were. Moves on in
    /// every call; looks at no byte that it does not take, but for one.
    pub(super) fn step(&mut self, input: &[u8]) -> (usize, Event) {
        let Some(&first) = input.first() else {
            return (0, Event::Part);
        };
        match *self {
            Self::Text => self.text(input, first),
            Self::Reference(length) => self.reference(first, length),
            Self::Opening => self.opening(first),
            Self::Bang => self.bang(first),
            Self::Matching(opening, matched) => self.matching(first, opening, matched),
            Self::Cdata(brackets) => self.cdata(input, first, brackets),
            Self::Comment(dashes) => self.comment(first, dashes),
            Self::Instruction(mark) => self.instruction(first, mark),
            Self::Declaration => self.declaration(first),
            Self::Name(tag, length) => self.name(input, tag, length),
            Self::Between(tag, slash) => self.between(first, tag, slash),
            Self::AttributeName(tag, length) => self.attribute_name(input, tag, length),
            Self::Equals(tag) => self.equals(first, tag),
            Self::Value(tag, length, quote) => self.value(input, tag, length, quote),
        }
    }

    fn text(&mut self, input: &[u8], first: u8) -> (usize, Event) {
        match first {
            b'<' => {
                *self = Self::Opening;
                (1, Event::Part)
            }
            b'&' => {
                *self = Self::Reference(1);
                (1, Event::Part)
            }
            _ => (run(input, |b| b == b'<' || b == b'&'), Event::Text),
        }
    }

    fn reference(&mut self, first: u8, length: usize) -> (usize, Event) {
        let belongs = first.is_ascii_alphanumeric() || first == b'#';
        if first == b';' {
            *self = Self::Text;
            (1, Event::Reference)
        } else if belongs && length < REFERENCE_BYTES {
            *self = Self::Reference(length + 1);
            (1, Event::Part)
        } else {
            *self = Self::Text;
            (0, Event::Reference)
        }
    }

    fn opening(&mut self, first: u8) -> (usize, Event) {
        match first {
            b'/' => {
                *self = Self::Name(Tag::End, 0);
                (1, Event::Part)
            }
            b'!' => {
                *self = Self::Bang;
                (1, Event::Part)
            }
            b'?' => {
                *self = Self::Instruction(false);
                (1, Event::Markup)
            }
            _ => {
                *self = Self::Name(Tag::Start, 0);
                (0, Event::Part)
            }
        }
    }

    fn bang(&mut self, first: u8) -> (usize, Event) {
        *self = match first {
            b'[' => Self::Matching(CDATA_OPENING, 3),
            b'-' => Self::Matching(COMMENT_OPENING, 3),
            _ => {
                *self = Self::Declaration;
                return (0, Event::Markup);
            }
        };
        (1, Event::Part)
    }

    fn matching(&mut self, first: u8, opening: &'static [u8], matched: usize) -> (usize, Event) {
        if opening.get(matched) != Some(&first) {
            *self = Self::Declaration;
            (0, Event::Markup)
        } else if matched + 1 < opening.len() {
            *self = Self::Matching(opening, matched + 1);
            (1, Event::Part)
        } else if opening == CDATA_OPENING {
            *self = Self::Cdata(0);
            (1, Event::Cdata)
        } else {
            *self = Self::Comment(0);
            (1, Event::Markup)
        }
    }

    fn cdata(&mut self, input: &[u8], first: u8, brackets: u8) -> (usize, Event) {
        let (used, next) = match first {
            b']' => (1, Self::Cdata((brackets + 1).min(2))),
            b'>' if brackets == 2 => (1, Self::Text),
            _ => (run(input, |b| b == b']'), Self::Cdata(0)),
        };
        // A `>` that ends nothing was part of the run.
        *self = next;
        (used, Event::Text)
    }

    fn comment(&mut self, first: u8, dashes: u8) -> (usize, Event) {
        *self = match first {
            b'-' => Self::Comment((dashes + 1).min(2)),
            b'>' if dashes == 2 => Self::Text,
            _ => Self::Comment(0),
        };
        (1, Event::MarkupPart)
    }

    fn instruction(&mut self, first: u8, mark: bool) -> (usize, Event) {
        *self = match first {
            b'>' if mark => Self::Text,
            _ => Self::Instruction(first == b'?'),
        };
        (1, Event::MarkupPart)
    }

    fn declaration(&mut self, first: u8) -> (usize, Event) {
        if first == b'>' {
            *self = Self::Text;
        }
        (1, Event::MarkupPart)
    }

    fn name(&mut self, input: &[u8], tag: Tag, length: usize) -> (usize, Event) {
        let used = run(input, |b| is_space(b) || b == b'/' || b == b'>');
        if used == 0 {
            *self = Self::Between(tag, false);
            (0, Event::Name(tag))
        } else {
            *self = Self::Name(tag, length + used);
            (used, Event::Part)
        }
    }

    fn between(&mut self, first: u8, tag: Tag, slash: bool) -> (usize, Event) {
        match first {
            b'>' => self.tag_end(tag, slash),
            b'/' => {
                *self = Self::Between(tag, true);
                (1, Event::Part)
            }
            _ if is_space(first) => {
                *self = Self::Between(tag, false);
                (1, Event::Part)
            }
            _ => {
                *self = Self::AttributeName(tag, 0);
                (0, Event::Attribute)
            }
        }
    }

    fn attribute_name(&mut self, input: &[u8], tag: Tag, length: usize) -> (usize, Event) {
        let used = run(input, |b| is_space(b) || b == b'=' || b == b'>');
        *self = match input.get(used) {
            _ if used > 0 => Self::AttributeName(tag, length + used),
            Some(b'>') => return self.tag_end(tag, false),
            _ => Self::Equals(tag),
        };
        (used.max(1), Event::Part)
    }

    fn equals(&mut self, first: u8, tag: Tag) -> (usize, Event) {
        match first {
            b'>' => return self.tag_end(tag, false),
            b'"' | b'\'' => *self = Self::Value(tag, 0, first),
            _ => {}
        }
        (1, Event::Part)
    }

    fn value(&mut self, input: &[u8], tag: Tag, length: usize, quote: u8) -> (usize, Event) {
        let used = run(input, |b| b == quote);
        if used == 0 {
            *self = Self::Between(tag, false);
            (1, Event::AttributeEnd)
        } else {
            *self = Self::Value(tag, length + used, quote);
            (used, Event::Part)
        }
    }

    fn tag_end(&mut self, tag: Tag, empty: bool) -> (usize, Event) {
        *self = Self::Text;
        (1, Event::TagEnd { tag, empty })
    }
}

/// How many bytes come before the first that ends the run.
fn run(input: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    input.iter().position(|&b| ends(b)).unwrap_or(input.len())
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
