//! A byte filter under the XML parser. What the parser or the process could not survive (deep
//! nesting, long attributes and names, stanzas without end) is cut out before it gets there.
//!
//! A stanza that is cut short stays one stanza, for stream management counts them: it gets a
//! marker element, what is open is closed, and the rest is swallowed up to its real end. A whole
//! stanza is read by the parser's double before it is passed on; where that fails, a cut one takes
//! its place. All else goes through byte for byte.

mod flow;
mod lexer;
mod proof;
#[cfg(test)]
mod properties;
mod report;
mod stand_in;
mod stream;
mod tag;
#[cfg(test)]
mod tests;

use lexer::State;
use proof::Proof;
#[cfg(test)]
pub(super) use proof::UNPROVED;
pub use report::{GuardReport, StreamError, Trips};
pub use stream::{Guarded, Unread};

/// The namespace of the marker `<cut limit='…'/>` in a stanza that was cut short.
pub const NAMESPACE: &str = "urn:gristmill:guard:0";

/// An attribute of an over-long stanza's own tag is kept when it is no longer than this, in
/// bytes: the longest address that XMPP allows.
const KEPT_BYTES: usize = 3071;
/// What is kept of a stream error's text, in bytes.
const ERROR_TEXT_BYTES: usize = 1000;
/// A stream begins once, and anew after the log-in; later it would only be one more level.
const MAX_HEADERS: usize = 2;
/// A character has at most so many bytes after its first.
const CONTINUATION_BYTES: u8 = 3;
/// What an error's sender is told by, of a stanza's attributes.
const VITAL: [&[u8]; 4] = [b"type", b"id", b"from", b"to"];
const STREAM_MANAGEMENT: &[u8] = b"urn:xmpp:sm:3";

/// What one stanza may be at most. Each stays below what the parser can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardLimits {
    /// Levels of elements, the stanza itself being the first.
    pub depth: usize,
    /// Bytes of an attribute's value, as written.
    pub attribute_bytes: usize,
    /// Bytes of an element's or attribute's name, its prefix included.
    pub name_bytes: usize,
    /// Bytes of a tag, from `<` to `>`.
    pub tag_bytes: usize,
    /// Elements of a stanza, itself included.
    pub elements: usize,
    /// Bytes of a stanza.
    pub stanza_bytes: usize,
}

/// Which limit a stanza went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// See [`GuardLimits::depth`]
    Depth,
    /// See [`GuardLimits::attribute_bytes`]
    Attribute,
    /// See [`GuardLimits::name_bytes`]
    Name,
    /// See [`GuardLimits::tag_bytes`]
    Tag,
    /// See [`GuardLimits::elements`]
    Elements,
    /// See [`GuardLimits::stanza_bytes`]
    Stanza,
    /// A comment, processing instruction or declaration: not allowed in XMPP, fatal to the parser.
    Markup,
    /// The parser cannot read it, for whatever reason.
    Unreadable,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Depth,
        Self::Attribute,
        Self::Name,
        Self::Tag,
        Self::Elements,
        Self::Stanza,
        Self::Markup,
        Self::Unreadable,
    ];
}

/// The filter itself: bytes in, bytes out, no I/O. One for each connection; it notices by itself
/// when a stream begins anew on it.
#[derive(Debug)]
pub struct Guard {
    limits: GuardLimits,
    report: GuardReport,
    lexer: State,
    flow: Flow,
    /// What the current tag or reference has so far, not yet passed on.
    held: Vec<u8>,
    /// What is to be passed on of the current stanza, once it is whole and proved.
    whole: Vec<u8>,
    proof: Proof,
    /// What is in `whole` is complete.
    due: Option<Due>,
    /// Where in `held` the current attribute begins.
    attribute: Option<usize>,
    element: Kind,
    /// How often the stream has begun.
    headers: usize,
    /// A stanza that is trimmed has lost the declaration of its namespace.
    orphan: bool,
    /// The names of the elements that were passed on and are open, the stanza's first.
    path: Path,
    /// How many elements are open in what came in, the stanza included.
    level: usize,
    /// Of the current stanza.
    bytes: usize,
    /// Of the current stanza.
    elements: usize,
    /// Continuation bytes that were let through at the limit.
    spill: u8,
    /// What the current stanza says, if it is a stream error.
    error: Option<LastWords>,
    /// Steps, and bytes that were looked at.
    #[cfg(test)]
    work: usize,
}

/// What happens to what comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Pass,
    /// The stanza's own tag is over this limit: of its attributes only the vital ones are kept.
    Trim(Limit),
    /// The stanza has been cut; nothing passes until its end.
    Swallow,
}

/// What is complete, and can be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// The stream's own start tag.
    Header,
    /// A stanza, whole or cut, or the end of the stream.
    Stanza,
}

/// What the current tag belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Its name is not complete yet, or there is none.
    Unknown,
    /// The stream: nothing is held back.
    Stream,
    /// A stanza, or what else stands directly in the stream.
    Stanza,
    /// An element in a stanza.
    Nested,
}

/// A stream error as far as it has come.
#[derive(Debug, Default)]
struct LastWords {
    condition: Vec<u8>,
    /// As written.
    text: Vec<u8>,
}

/// A stack of names in one allocation.
#[derive(Debug, Default)]
struct Path {
    names: Vec<u8>,
    starts: Vec<usize>,
}

impl GuardLimits {
    /// Limits that let through every document of `bytes` bytes that has no more than 32 levels,
    /// also when it comes escaped in a message's body.
    #[must_use]
    pub fn for_documents(bytes: usize) -> Self {
        Self {
            stanza_bytes: bytes.saturating_mul(2).saturating_add(64 * 1024),
            ..Self::default()
        }
    }
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            depth: 40,
            attribute_bytes: 8000,
            name_bytes: 1000,
            tag_bytes: 16 * 1024,
            elements: 200_000,
            stanza_bytes: 8 * 1024 * 1024,
        }
    }
}

impl Limit {
    /// The word in the marker's attribute `limit`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Depth => "depth",
            Self::Attribute => "attribute",
            Self::Name => "name",
            Self::Tag => "tag",
            Self::Elements => "elements",
            Self::Stanza => "stanza",
            Self::Markup => "markup",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Guard {
    /// A filter for a stream that has not begun.
    #[must_use]
    pub fn new(limits: GuardLimits, report: GuardReport) -> Self {
        Self {
            limits,
            report,
            lexer: State::Text,
            flow: Flow::Pass,
            held: Vec::new(),
            whole: Vec::new(),
            proof: Proof::default(),
            due: None,
            attribute: None,
            element: Kind::Unknown,
            headers: 0,
            orphan: false,
            path: Path::default(),
            level: 0,
            bytes: 0,
            elements: 0,
            spill: 0,
            error: None,
            #[cfg(test)]
            work: 0,
        }
    }

    fn holds_nothing(&self) -> bool {
        self.held.is_empty() && self.whole.is_empty()
    }

    /// Whether a stanza is on its way: what passes next is its begin.
    fn holds_a_stanza(&self) -> bool {
        !self.whole.is_empty()
    }

    /// Takes what came in and appends to `out` what the parser may see of it. The chunks in which
    /// it comes make no difference to what goes out in all.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.report.count(input.len());
        let mut whole = std::mem::take(&mut self.whole);
        let mut rest = input;
        while let Some(&next) = rest.first() {
            let room = self.room(next, &mut whole).min(rest.len());
            let (used, event) = self.lexer.step(rest.get(..room).unwrap_or(rest));
            let (taken, after) = rest.split_at_checked(used).unwrap_or((rest, b""));
            rest = after;
            #[cfg(test)]
            {
                self.work += 1 + used;
            }
            self.bytes += used;
            self.handle(event, taken, &mut whole);
            self.pass(&mut whole, out);
        }
        self.whole = whole;
    }

    /// How many bytes the lexer may take before limits are looked at again: up to the first byte
    /// that is over one, or, in character data, up to the last that is not.
    fn room(&mut self, next: u8, out: &mut Vec<u8>) -> usize {
        if self.level == 0 && self.lexer == State::Text {
            self.bytes = 0;
        }
        let full = self.in_stanza() && self.bytes >= self.limits.stanza_bytes;
        let in_text = matches!(self.lexer, State::Text | State::Cdata(_));
        if self.flow == Flow::Pass && full && in_text {
            // A character is not torn apart.
            if is_continuation(next) && self.spill < CONTINUATION_BYTES {
                self.spill += 1;
                return 1;
            }
            self.cut(Limit::Stanza, out);
        }
        match self.flow {
            Flow::Swallow => usize::MAX,
            Flow::Trim(_) => KEPT_BYTES,
            Flow::Pass => self.room_in_token().min(self.room_in_stanza()),
        }
    }

    fn room_in_token(&self) -> usize {
        let in_tag = (self.limits.tag_bytes + 1).saturating_sub(self.held.len());
        match self.lexer {
            _ if self.element == Kind::Stream => usize::MAX,
            State::Value(_, length, _) => in_tag.min(self.limits.attribute_bytes + 1 - length),
            State::Name(_, length) | State::AttributeName(_, length) => {
                in_tag.min(self.limits.name_bytes + 1 - length)
            }
            _ => usize::MAX,
        }
    }

    fn room_in_stanza(&self) -> usize {
        let left = self.limits.stanza_bytes.saturating_sub(self.bytes);
        match self.lexer {
            _ if !self.in_stanza() => usize::MAX,
            State::Text | State::Cdata(_) => left,
            _ => left + 1,
        }
    }

    /// The limit that the bytes taken so far are over.
    fn violation(&self) -> Option<Limit> {
        let over = |length: usize, limit: usize| length > limit;
        let limits = &self.limits;
        match self.lexer {
            _ if self.flow != Flow::Pass || self.element == Kind::Stream => None,
            State::Value(_, length, _) if over(length, limits.attribute_bytes) => {
                Some(Limit::Attribute)
            }
            State::Name(_, length) | State::AttributeName(_, length)
                if over(length, limits.name_bytes) =>
            {
                Some(Limit::Name)
            }
            _ if over(self.held.len(), limits.tag_bytes) => Some(Limit::Tag),
            State::Text | State::Cdata(_) if self.spill > 0 => None,
            _ if self.in_stanza() && over(self.bytes, limits.stanza_bytes) => Some(Limit::Stanza),
            _ => None,
        }
    }

    fn in_stanza(&self) -> bool {
        self.level > 0 || self.element == Kind::Stanza
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}
