//! The tokens of a document, in one pass: quick-xml's events, and what it lets through refused.

use std::io::BufRead as _;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Error, Reader};

use super::characters::{self, Name};
use super::error::Problem;
use super::skim;

/// How deep elements may be nested.
pub const MAX_DEPTH: usize = 32;

/// One token. Comments and processing instructions are checked and passed over.
#[derive(Debug)]
pub(super) enum Token<'a> {
    /// A start tag, or an empty element's tag: its `End` follows.
    Start(Tag<'a>),
    /// An element's end.
    End,
    /// Character data or a CDATA section, with line ends as they came.
    Text(&'a str),
    /// What a reference stands for.
    Character(char),
    /// The end of the document, whole.
    Eof,
}

/// A start tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag<'a> {
    /// Its name as the document spells it.
    pub name: &'a str,
    /// Its name and all that follows up to `>` or `/>`.
    pub content: &'a str,
    /// Where it begins in the whole document, in bytes.
    pub at: usize,
}

/// Walks a text's tokens. What it yields is balanced, has one root, and is no deeper than
/// [`MAX_DEPTH`].
pub(super) struct Tokens<'a> {
    text: &'a str,
    /// Where the text begins in the whole document, in bytes.
    base: usize,
    reader: Reader<&'a [u8]>,
    /// Where the tags of the open elements begin in the text.
    open: Vec<usize>,
    /// An empty element's end is due.
    ending: bool,
    rooted: bool,
}

impl<'a> Tokens<'a> {
    /// `base`: where the text begins in the whole document, in bytes.
    pub fn new(text: &'a str, base: usize) -> Self {
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_comments = true;
        Self {
            text,
            base,
            reader,
            open: Vec::with_capacity(MAX_DEPTH),
            ending: false,
            rooted: false,
        }
    }

    /// How many elements are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// How far the text has been read, in bytes of the whole document.
    pub fn position(&self) -> usize {
        self.base + self.offset()
    }

    fn offset(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    /// The next token.
    pub fn next(&mut self) -> Result<Token<'a>, Problem> {
        if self.ending {
            self.ending = false;
            return Ok(self.close());
        }
        loop {
            let at = self.offset();
            // the commonest events first
            match self.reader.read_event() {
                Ok(Event::Start(tag)) => return self.begin(at, &tag, false),
                Ok(Event::Empty(tag)) => return self.begin(at, &tag, true),
                Ok(Event::End(_)) => return Ok(self.close()),
                Ok(Event::Text(_)) => {
                    if let Some(token) = self.character_data(at)? {
                        return Ok(token);
                    }
                }
                event => {
                    if let Some(token) = self.other(at, event)? {
                        return Ok(token);
                    }
                }
            }
        }
    }

    /// Reads on to the end of the innermost open element: what [`Self::next`] does, but quicker,
    /// for it leaves it to `next` to say what is wrong.
    pub fn skip(&mut self) -> Result<(), Problem> {
        if self.ending {
            return self.next().map(|_| ());
        }
        let room = MAX_DEPTH - self.open.len();
        let mut below = 0;
        self.skim();
        loop {
            match self.reader.read_event() {
                Ok(Event::Start(_)) if below < room => below += 1,
                Ok(Event::Empty(_)) if below < room => {}
                Ok(Event::End(_)) if below == 0 => break,
                Ok(Event::End(_)) => {
                    below -= 1;
                    // only here, where what the last time stopped at has been read
                    if below == 0 {
                        self.skim();
                    }
                }
                Ok(Event::Text(text)) if !ends_cdata(&text) => {}
                Ok(Event::CData(_) | Event::Comment(_)) => {}
                Ok(Event::GeneralRef(name)) if characters::resolve(&name).is_ok() => {}
                Ok(Event::PI(instruction)) if is_target(instruction.target()) => {}
                _ => return self.explain(),
            }
        }
        self.close();
        Ok(())
    }

    /// Passes over the plain children of the innermost open element that come next.
    fn skim(&mut self) {
        let content = self.text.get(self.offset()..).unwrap_or_default();
        let plain = skim::plain_children(content, MAX_DEPTH - self.open.len());
        self.reader.stream().consume(plain);
    }

    /// Reads all of the text again, up to what is wrong with it.
    #[cold]
    fn explain(&self) -> Result<(), Problem> {
        let mut again = Self::new(self.text, self.base);
        while !matches!(again.next()?, Token::Eof) {}
        Err(self.malformed(self.offset(), "this cannot be read"))
    }

    /// What an event of the rarer kinds means, if anything.
    #[cold]
    fn other(
        &mut self,
        at: usize,
        event: Result<Event<'a>, Error>,
    ) -> Result<Option<Token<'a>>, Problem> {
        let event = event.map_err(|error| self.syntax(at, error))?;
        match event {
            Event::CData(_) => self.cdata(at).map(Some),
            Event::GeneralRef(name) => self.reference(at, &name).map(Some),
            Event::Eof => self.end_of_text(at).map(Some),
            Event::PI(instruction) if !is_target(instruction.target()) => {
                Err(self.malformed(at, "a processing instruction without a proper name"))
            }
            // the encoding that it names is that of a file this text once was
            Event::Decl(declaration) if at > 0 || declaration.version().is_err() => {
                let text = "an XML declaration that has no version, or is not at the beginning";
                Err(self.malformed(at, text))
            }
            Event::DocType(_) => Err(self.malformed(at, "a DTD; documents with one are not read")),
            _ => Ok(None),
        }
    }

    fn syntax(&self, at: usize, error: Error) -> Problem {
        let at = usize::try_from(self.reader.error_position()).unwrap_or(at);
        let text = match error {
            Error::Syntax(error) => error.to_string(),
            Error::IllFormed(error) => error.to_string(),
            error => error.to_string(),
        };
        self.malformed(at, text)
    }

    fn begin(
        &mut self,
        at: usize,
        tag: &BytesStart<'_>,
        empty: bool,
    ) -> Result<Token<'a>, Problem> {
        let from = at + 1;
        let name = self.text.get(from..from + tag.name().as_ref().len());
        let tag = Tag {
            name: name.unwrap_or_default(),
            content: self.text.get(from..from + tag.len()).unwrap_or_default(),
            at: self.base + at,
        };
        if self.open.is_empty() && self.rooted {
            return Err(self.malformed(at, "a second root element").within(tag.name));
        }
        if self.open.len() == MAX_DEPTH {
            let text = format!("elements nested deeper than {MAX_DEPTH} levels");
            return Err(self.malformed(at, text));
        }
        self.open.push(at);
        self.rooted = true;
        self.ending = empty;
        Ok(Token::Start(tag))
    }

    fn close(&mut self) -> Token<'a> {
        self.open.pop();
        Token::End
    }

    fn piece(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    fn character_data(&self, at: usize) -> Result<Option<Token<'a>>, Problem> {
        let text = self.piece(at, self.offset());
        if self.open.is_empty() {
            let stray = text.find(|c| !characters::is_space(c));
            return match stray {
                None => Ok(None),
                Some(offset) => Err(self.malformed(at + offset, "text outside the root element")),
            };
        }
        if ends_cdata(text) {
            return Err(self.malformed(at, "']]>' in text; write ]]&gt;"));
        }
        Ok(Some(Token::Text(text)))
    }

    fn cdata(&self, at: usize) -> Result<Token<'a>, Problem> {
        if self.open.is_empty() {
            return Err(self.malformed(at, "text outside the root element"));
        }
        let (before, after) = ("<![CDATA[".len(), "]]>".len());
        Ok(Token::Text(self.piece(at + before, self.offset() - after)))
    }

    fn reference(&self, at: usize, name: &str) -> Result<Token<'a>, Problem> {
        if self.open.is_empty() {
            return Err(self.malformed(at, "a reference outside the root element"));
        }
        match characters::resolve(name) {
            Ok(character) => Ok(Token::Character(character)),
            Err(text) => Err(self.malformed(at, text)),
        }
    }

    fn end_of_text(&self, at: usize) -> Result<Token<'a>, Problem> {
        if !self.open.is_empty() {
            Err(self.malformed(at, "the document ends before this element does"))
        } else if !self.rooted {
            Err(self.malformed(at, "there is no root element"))
        } else {
            Ok(Token::Eof)
        }
    }

    /// A problem at this offset of the text, within the innermost open element.
    fn malformed(&self, at: usize, text: impl Into<String>) -> Problem {
        let problem = Problem::malformed(self.base + at, text);
        let tag = self.open.last().and_then(|&open| self.text.get(open + 1..));
        match tag.and_then(|tag| {
            tag.split(|c| characters::is_space(c) || c == '/' || c == '>')
                .next()
        }) {
            Some(name) => problem.within(name),
            None => problem,
        }
    }
}

/// Whether a text has what may only end a CDATA section. Most have no ']' at all, and looking for
/// one byte is quick.
fn ends_cdata(text: &str) -> bool {
    text.as_bytes().contains(&b']') && text.contains("]]>")
}

/// Whether a processing instruction can have this name.
fn is_target(name: &str) -> bool {
    Name::of(name).is_some() && !name.eq_ignore_ascii_case("xml")
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// How many tokens there are up to the end or an error. Each is read from bytes that no
    /// other one was read from, but for the ends of empty elements: so all of them together cost
    /// time linear in the text's length.
    fn tokens_of(text: &str) -> usize {
        let mut tokens = Tokens::new(text, 0);
        let mut read_to = 0;
        for count in 0.. {
            match tokens.next() {
                Ok(Token::Eof) | Err(_) => return count,
                Ok(token) => {
                    let moved = tokens.position() > read_to;
                    assert!(moved || matches!(token, Token::End), "{token:?}");
                    read_to = tokens.position();
                }
            }
        }
        unreachable!("a text has an end");
    }

    #[test]
    fn twice_the_text_is_at_most_twice_the_work() {
        let attacks: [fn(usize) -> String; 8] = [
            |n| format!("<a{}/>", " b='1'".repeat(n)),
            |n| "<a>".repeat(n),
            |n| format!("<a>{}</a>", "<b/>".repeat(n)),
            |n| format!("<a>{}</a>", "&#65;".repeat(n)),
            |n| format!("<a>{}", "<!-- -->".repeat(n)),
            |n| format!("<a>{}", "]]".repeat(n)),
            |n| format!("<!DOCTYPE a [{}]>", "<!ENTITY b '&c;&c;'>".repeat(n)),
            |n| format!("<a>{}</a>", "&b;".repeat(n)),
        ];
        for attack in attacks {
            let (once, twice) = (tokens_of(&attack(1000)), tokens_of(&attack(2000)));
            assert!(twice <= 2 * once, "{once} {twice} {}", attack(2));
        }
    }

    #[test]
    fn nothing_is_taken_from_what_is_too_deep() {
        assert_eq!(tokens_of(&"<a>".repeat(1_000_000)), MAX_DEPTH);
        assert_eq!(tokens_of(&"<a>".repeat(MAX_DEPTH)), MAX_DEPTH);
    }

    proptest! {
        #[test]
        fn a_skipped_element_is_checked_like_a_read_one(pieces in vec(select(PIECES), 0..12)) {
            let text = format!("<a>{}</a><b/>", pieces.concat());
            let mut skipped = Tokens::new(&text, 0);
            prop_assert!(matches!(skipped.next(), Ok(Token::Start(_))));
            let mut read = Tokens::new(&text, 0);
            prop_assert!(matches!(read.next(), Ok(Token::Start(_))));
            let outcome = skipped.skip().map_err(|problem| (problem.at, problem.text.clone()));
            while read.depth() > 0 {
                if let Err(problem) = read.next() {
                    prop_assert_eq!(outcome, Err((problem.at, problem.text.clone())));
                    return Ok(());
                }
            }
            prop_assert_eq!(outcome, Ok(()));
            prop_assert_eq!(skipped.position(), read.position());
            prop_assert_eq!(skipped.depth(), 0);
        }
    }

    /// Mostly what is well-formed, for one odd piece is enough.
    const PIECES: &[&str] = &[
        "<b>",
        "</b>",
        "<b c='>' d=\"'/>\">",
        "</b >",
        "<b><c/>",
        "</b>",
        "<c/>",
        "<c d='/>'/>",
        "<b>x</b>",
        "<b><b><!-- > --></b>&lt;</b>",
        "x",
        "]]",
        ">",
        "&amp;",
        "&#65;",
        "<!-- < -->",
        "<![CDATA[</b>]]>",
        "<?b > ?>",
        "&#1;",
        "&own;",
        "&",
        "</c>",
        "<b '>",
        "<!-- -- -->",
        "<!DOCTYPE b>",
        "<?xml version='1.0'?>",
        "<",
    ];
}
