//! Whether the parser behind the guard can read a stanza: the same parser reads it here first.
//!
//! A server's parser and ours do not agree on all that is XML, and one disagreement ends the
//! stream. A list of them would never be complete, so each stanza is tried.

use xmpp_parsers::minidom::rxml::error::EndOrError;
use xmpp_parsers::minidom::rxml::{Event, Parse, Parser};

use super::super::wish::why_unreadable;

/// A stream's header is no longer, in bytes; of a longer one no stanza is read.
const HEADER_BYTES: usize = 16 * 1024;

/// A stanza with this in it counts as read once, for tests of what comes after the guard; with the
/// second one in it, as read again, too.
#[cfg(test)]
pub(in super::super) const UNPROVED: [&str; 2] = ["id='unproved", "id='unproved-twice'"];

/// Reads what is to be passed on, after the header of its stream.
#[derive(Default)]
pub(super) struct Proof {
    /// The stream's own start tag: it declares namespaces.
    header: Vec<u8>,
    /// Has read the header, and no error yet.
    parser: Option<Parser>,
    /// The stream was closed.
    ended: bool,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

impl Proof {
    /// A stream begins anew.
    pub(super) fn begin(&mut self) {
        *self = Self::default();
    }

    /// The next bytes of the stream's header.
    pub(super) fn header(&mut self, bytes: &[u8]) {
        if self.header.len() <= HEADER_BYTES {
            self.header.extend_from_slice(bytes);
        }
    }

    /// Reads one whole element, or the end of the stream; an error is in the parser's words.
    pub(super) fn read(&mut self, whole: &[u8]) -> Result<(), String> {
        if self.ended {
            return Err("the stream has ended".into());
        }
        #[cfg(test)]
        if String::from_utf8_lossy(whole).contains(UNPROVED[0]) {
            return Ok(());
        }
        let mut parser = match self.parser.take() {
            Some(parser) => parser,
            None => self.fresh()?,
        };
        let end = read_element(&mut parser, whole)?;
        self.parser = Some(parser);
        self.ended = end == End::Stream;
        Ok(())
    }

    /// Has all of a stream's reader read one whole element that [`read`](Self::read) has read.
    pub(super) fn read_again(&self, whole: &[u8]) -> Result<(), String> {
        #[cfg(test)]
        if String::from_utf8_lossy(whole).contains(UNPROVED[1]) {
            return Ok(());
        }
        why_unreadable(Some(&self.header), whole).map_or(Ok(()), Err)
    }

    fn fresh(&self) -> Result<Parser, String> {
        let mut parser = Parser::default();
        let mut rest = self.header.as_slice();
        if rest.len() > HEADER_BYTES {
            return Err("the header of the stream is too long".into());
        }
        loop {
            match parser.parse(&mut rest, false) {
                Ok(Some(Event::StartElement(..))) if rest.is_empty() => return Ok(parser),
                Ok(Some(Event::XmlDeclaration(..))) => {}
                Ok(_) => return Err("the header of the stream is no start tag".into()),
                Err(error) => return Err(in_words(&error)),
            }
        }
    }
}

/// What was read to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Element,
    Stream,
}

fn read_element(parser: &mut Parser, whole: &[u8]) -> Result<End, String> {
    let mut rest = whole;
    let mut depth = 0_usize;
    let end = loop {
        match parser
            .parse(&mut rest, false)
            .map_err(|error| in_words(&error))?
        {
            Some(Event::StartElement(..)) => depth += 1,
            Some(Event::EndElement(_)) if depth == 0 => break End::Stream,
            Some(Event::EndElement(_)) if depth == 1 => break End::Element,
            Some(Event::EndElement(_)) => depth -= 1,
            Some(_) => {}
            None => return Err("it is no element".into()),
        }
    };
    if rest.is_empty() {
        Ok(end)
    } else {
        Err("it is more than one element".into())
    }
}

fn in_words(error: &EndOrError) -> String {
    match error {
        EndOrError::NeedMoreData => "it is not whole".into(),
        EndOrError::Error(error) => error.to_string(),
    }
}
