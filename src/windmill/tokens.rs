//! The tokens of a document, in one pass: quick-xml's events, and what it lets through refused.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::characters;
use super::error::Problem;

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
            let token = match self.reader.read_event() {
                Ok(Event::Start(tag)) => Some(self.begin(at, &tag, false)?),
                Ok(Event::Empty(tag)) => Some(self.begin(at, &tag, true)?),
                Ok(Event::End(_)) => Some(self.close()),
                Ok(Event::Text(_)) => self.character_data(at)?,
                Ok(Event::CData(_)) => Some(self.cdata(at)?),
                Ok(Event::GeneralRef(name)) => Some(self.reference(at, &name)?),
                Ok(Event::Eof) => Some(self.end_of_text(at)?),
                Ok(Event::Comment(_)) => None,
                Ok(Event::PI(instruction)) => {
                    self.instruction(at, instruction.target())?;
                    None
                }
                Ok(Event::Decl(declaration)) => {
                    let sound = at == 0 && declaration.version().is_ok();
                    sound.then_some(()).ok_or_else(|| {
                        self.malformed(
                            at,
                            "an XML declaration that is not at the beginning, or has no version",
                        )
                    })?;
                    // The encoding that it names is that of a file this text once was.
                    None
                }
                Ok(Event::DocType(_)) => {
                    return Err(self.malformed(at, "a DTD; documents with one are not read"));
                }
                Err(error) => {
                    let at = usize::try_from(self.reader.error_position()).unwrap_or(at);
                    let text = match error {
                        quick_xml::Error::Syntax(error) => error.to_string(),
                        quick_xml::Error::IllFormed(error) => error.to_string(),
                        error => error.to_string(),
                    };
                    return Err(self.malformed(at, text));
                }
            };
            if let Some(token) = token {
                return Ok(token);
            }
        }
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
        self.rooted = true;
        self.ending = empty;
        self.open.push(at);
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
        // most texts have no ']' at all, and looking for one byte is quick
        if text.as_bytes().contains(&b']') && text.contains("]]>") {
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

    fn instruction(&self, at: usize, target: &str) -> Result<(), Problem> {
        if characters::is_name(target) && !target.eq_ignore_ascii_case("xml") {
            Ok(())
        } else {
            Err(self.malformed(at, "a processing instruction without a proper name"))
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
