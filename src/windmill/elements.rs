//! The elements of a document that are ours, with their attributes: the tokens, seen through
//! namespaces.

use std::borrow::Cow;

use quick_xml::events::attributes::Attributes;
use quick_xml::name::{
    Namespace, NamespaceResolver, Prefix, PrefixDeclaration, QName, ResolveResult,
};

use super::characters::{self, Name, attribute_value, line_ends};
use super::error::Problem;
use super::skim::plain_attribute;
use super::tokens::{Tag, Token, Tokens};
use super::{JABBER_NAMESPACE, NAMESPACE};

/// The most attributes of one element; it bounds the search for one that is there twice.
pub const MAX_ATTRIBUTES: usize = 64;

/// Walks the elements of a text. Foreign elements and attributes are checked and passed over.
pub(super) struct Elements<'a> {
    tokens: Tokens<'a>,
    namespaces: NamespaceResolver,
    /// No element deeper than this has bound a namespace that is still in `namespaces`.
    bound_at: usize,
    /// Of the tag that was read last.
    attributes: Vec<Attribute<'a>>,
}

/// An attribute that is ours.
struct Attribute<'a> {
    name: &'a str,
    value: Cow<'a, str>,
}

/// An element whose start tag was just read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// Its name without prefix.
    pub name: &'a str,
    /// Its start tag.
    pub tag: Tag<'a>,
}

/// A namespace and what stands for it.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    /// `None`: the default namespace.
    pub prefix: Option<String>,
    pub namespace: String,
}

/// The text of an element.
pub(super) struct Text<'a> {
    /// Without surrounding white space.
    pub value: Cow<'a, str>,
    /// Whether there were elements in between, whose text is not in `value`.
    pub mixed: bool,
}

/// An attribute that is there twice, in two spellings with two values.
#[derive(Debug)]
pub(super) struct Twice;

impl<'a> Elements<'a> {
    /// The elements of a whole document. `base`: where it begins, in bytes.
    pub fn new(text: &'a str, base: usize) -> Self {
        Self {
            tokens: Tokens::new(text, base),
            namespaces: NamespaceResolver::default(),
            bound_at: 0,
            attributes: Vec::new(),
        }
    }

    /// The elements of a part of a document, which inherits `bindings` from around it.
    pub fn within(text: &'a str, base: usize, bindings: &[Binding]) -> Result<Self, Problem> {
        let mut elements = Self::new(text, base);
        for binding in bindings {
            let prefix = match binding.prefix.as_deref() {
                None => PrefixDeclaration::Default,
                Some(prefix) => PrefixDeclaration::Named(prefix),
            };
            elements.declare(0, prefix, Namespace(&binding.namespace), base)?;
        }
        Ok(elements)
    }

    /// The root element, and whether it is ours.
    pub fn root(&mut self) -> Result<(Element<'a>, bool), Problem> {
        loop {
            match self.tokens.next()? {
                Token::Start(tag) => return self.enter(tag),
                Token::Eof => {
                    return Err(Problem::malformed(
                        self.position(),
                        "there is no root element",
                    ));
                }
                Token::End | Token::Text(_) | Token::Character(_) => {}
            }
        }
    }

    /// The root of a part that was cut out of a document of ours: a prefix that is not bound here
    /// was bound to our namespace there.
    pub fn cut_out_root(&mut self) -> Result<(Element<'a>, bool), Problem> {
        let root = self.tokens.next()?;
        let Token::Start(tag) = root else {
            return Err(Problem::malformed(self.position(), "there is no element"));
        };
        let prefix = QName(tag.name).prefix().map(Prefix::into_inner);
        if let Some(prefix) = prefix {
            self.declare(
                0,
                PrefixDeclaration::Named(prefix),
                Namespace(NAMESPACE),
                tag.at,
            )?;
        }
        self.enter(tag)
    }

    /// The next child of the innermost open element, if it has one more; its own end else.
    pub fn next_child(&mut self) -> Result<Option<Element<'a>>, Problem> {
        loop {
            match self.tokens.next()? {
                Token::Start(tag) => match self.enter(tag)? {
                    (element, true) => return Ok(Some(element)),
                    (_, false) => self.skip()?,
                },
                Token::End | Token::Eof => return Ok(None),
                Token::Text(_) | Token::Character(_) => {}
            }
        }
    }

    /// Reads on to the end of the innermost open element.
    pub fn skip(&mut self) -> Result<(), Problem> {
        let depth = self.tokens.depth();
        while self.tokens.depth() >= depth {
            if let Token::Start(tag) = self.tokens.next()? {
                self.enter(tag)?;
            }
        }
        Ok(())
    }

    /// The same without a look at attributes: for what is going to be read a second time.
    pub fn skip_for_now(&mut self) -> Result<(), Problem> {
        self.tokens.skip()
    }

    /// Reads on to the end of the document.
    pub fn finish(mut self) -> Result<(), Problem> {
        while !matches!(self.tokens.next()?, Token::Eof) {}
        Ok(())
    }

    /// The text of the innermost open element, and its end.
    pub fn text(&mut self) -> Result<Text<'a>, Problem> {
        let mut value = Cow::Borrowed("");
        let mut mixed = false;
        loop {
            match self.tokens.next()? {
                Token::Text(piece) if value.is_empty() => value = line_ends(piece),
                Token::Text(piece) => value.to_mut().push_str(&line_ends(piece)),
                Token::Character(character) => value.to_mut().push(character),
                Token::Start(tag) => {
                    mixed = true;
                    self.enter(tag)?;
                    self.skip()?;
                }
                Token::End | Token::Eof => break,
            }
        }
        let value = match value {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(characters::is_space)),
            Cow::Owned(text) => Cow::Owned(text.trim_matches(characters::is_space).into()),
        };
        Ok(Text { value, mixed })
    }

    /// An attribute of the tag that was read last, by the names it may have.
    pub fn attribute(&self, spellings: &[&str]) -> Result<Option<&Cow<'a, str>>, Twice> {
        let is_it = |attribute: &&Attribute<'_>| spellings.contains(&attribute.name);
        let mut found = self
            .attributes
            .iter()
            .filter(is_it)
            .map(|attribute| &attribute.value);
        let first = found.next();
        if found.all(|other| Some(other) == first) {
            Ok(first)
        } else {
            Err(Twice)
        }
    }

    /// The namespaces that are bound here.
    pub fn bindings(&self) -> Vec<Binding> {
        let owned = |(prefix, namespace): (PrefixDeclaration<'_>, Namespace<'_>)| Binding {
            prefix: match prefix {
                PrefixDeclaration::Default => None,
                PrefixDeclaration::Named(prefix) => Some(prefix.to_owned()),
            },
            namespace: namespace.into_inner().to_owned(),
        };
        self.namespaces.bindings().map(owned).collect()
    }

    /// How far the text has been read, in bytes of the whole document.
    pub fn position(&self) -> usize {
        self.tokens.position()
    }

    /// Reads a tag's attributes, binds its namespaces, and says whether the element is ours.
    fn enter(&mut self, tag: Tag<'a>) -> Result<(Element<'a>, bool), Problem> {
        let Some(kind) = Name::of(tag.name) else {
            let problem = Problem::malformed(tag.at, "a tag without a proper name");
            return Err(problem.within(tag.name));
        };
        self.read_attributes(&tag)?;
        let (name, prefix) = match kind {
            Name::Plain => (tag.name, None),
            Name::Prefixed => {
                let (name, prefix) = QName(tag.name).decompose();
                (name.into_inner(), prefix)
            }
        };
        let ours = self.is_ours(&tag, prefix)?;
        Ok((Element { name, tag }, ours))
    }

    fn read_attributes(&mut self, tag: &Tag<'a>) -> Result<(), Problem> {
        self.attributes.clear();
        self.end_scopes();
        let mut rest = tag.content.get(tag.name.len()..).unwrap_or_default();
        let mut prefixed = false;
        while let Some((name, value, after)) = plain_attribute(rest) {
            prefixed |= self.take_attribute(tag, name, Cow::Borrowed(value))? == Name::Prefixed;
            rest = after;
        }
        let read = tag.content.len() - rest.len();
        for attribute in Attributes::new(tag.content, read).with_checks(false) {
            let attribute = attribute.map_err(|error| misspelled(tag, &error.to_string()))?;
            let name = attribute.key.into_inner();
            prefixed |= self.take_attribute(tag, name, attribute.value)? == Name::Prefixed;
        }
        if prefixed {
            self.keep_ours(tag)
        } else {
            Ok(())
        }
    }

    fn take_attribute(
        &mut self,
        tag: &Tag<'a>,
        name: &'a str,
        value: Cow<'a, str>,
    ) -> Result<Name, Problem> {
        if self.attributes.iter().any(|earlier| earlier.name == name) {
            let text = format!("the attribute {name} is there twice");
            return Err(misspelled(tag, &text));
        }
        let kind = Name::of(name);
        let kind = kind.ok_or_else(|| misspelled(tag, "an attribute without a proper name"))?;
        if self.attributes.len() == MAX_ATTRIBUTES {
            let text = format!("more than {MAX_ATTRIBUTES} attributes");
            return Err(misspelled(tag, &text));
        }
        let value = attribute_value(value).map_err(|text| misspelled(tag, &text))?;
        if let Some(binding) = QName(name).as_namespace_binding() {
            self.declare(self.tokens.depth(), binding, Namespace(&value), tag.at)?;
        }
        self.attributes.push(Attribute { name, value });
        Ok(kind)
    }

    /// Ends the scopes of what is not around the tag that was read last.
    fn end_scopes(&mut self) {
        let around = self.tokens.depth().saturating_sub(1);
        if self.bound_at > around {
            self.set_level(around);
        }
    }

    fn set_level(&mut self, depth: usize) {
        let level = u16::try_from(depth).unwrap_or(u16::MAX);
        self.namespaces.set_level(level);
        self.bound_at = depth;
    }

    /// Drops attributes with a foreign prefix, and takes ours off.
    fn keep_ours(&mut self, tag: &Tag<'a>) -> Result<(), Problem> {
        let mut attributes = std::mem::take(&mut self.attributes);
        let mut unbound = None;
        attributes.retain_mut(|attribute| {
            let (name, prefix) = QName(attribute.name).decompose();
            if prefix.is_none() {
                return true;
            }
            attribute.name = name.into_inner();
            self.is_ours(tag, prefix).unwrap_or_else(|problem| {
                unbound = Some(problem);
                false
            })
        });
        self.attributes = attributes;
        unbound.map_or(Ok(()), Err)
    }

    /// Binds a namespace in an element that is so deep.
    fn declare(
        &mut self,
        depth: usize,
        prefix: PrefixDeclaration<'_>,
        namespace: Namespace<'_>,
        at: usize,
    ) -> Result<(), Problem> {
        self.set_level(depth);
        let added = self.namespaces.add(prefix, namespace);
        added.map_err(|error| Problem::malformed(at, error.to_string()))
    }

    fn is_ours(&self, tag: &Tag<'_>, prefix: Option<Prefix<'_>>) -> Result<bool, Problem> {
        match self.namespaces.resolve_prefix(prefix, true) {
            ResolveResult::Unbound => Ok(true),
            ResolveResult::Bound(Namespace(name)) => Ok(is_our_namespace(name)),
            ResolveResult::Unknown(prefix) => {
                let text = format!("the prefix {prefix} is not bound to a namespace");
                Err(Problem::malformed(tag.at, text).within(tag.name))
            }
        }
    }
}

fn misspelled(tag: &Tag<'_>, text: &str) -> Problem {
    Problem::malformed(tag.at, text).within(tag.name)
}

/// Whether names in this namespace are ours. What a stream's default namespace covers counts as
/// being in none.
pub(super) fn is_our_namespace(name: &str) -> bool {
    name == NAMESPACE || name == JABBER_NAMESPACE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_looked_at_up_to_a_number() {
        let tag = |count: usize| {
            let attributes = (0..count).map(|n| format!("a{n}='1'")).collect::<Vec<_>>();
            format!("<a {}/>", attributes.join(" "))
        };
        let read = |count| {
            let text = tag(count);
            let mut elements = Elements::new(&text, 0);
            (elements.root().is_ok(), elements.attributes.len())
        };
        assert_eq!(read(MAX_ATTRIBUTES), (true, MAX_ATTRIBUTES));
        assert_eq!(read(100_000), (false, MAX_ATTRIBUTES));
    }

    #[test]
    fn a_binding_ends_with_its_element() {
        let text = "<a xmlns:x='urn:x'><b xmlns='urn:y'><c/></b><b xmlns:x='urn:windmill:executor:1'>\
                    <x:d/><!-- --></b><x:e/><f/></a>";
        let mut elements = Elements::new(text, 0);
        elements.root().unwrap();
        let mut names = Vec::new();
        while let Some(child) = elements.next_child().unwrap() {
            names.push(child.name);
            while let Some(grandchild) = elements.next_child().unwrap() {
                names.push(grandchild.name);
                elements.skip().unwrap();
            }
        }
        assert_eq!(names, ["b", "d", "f"]);
    }

    #[test]
    fn attributes_are_one_list_however_they_are_written() {
        let read = |text: &str| -> Option<Vec<String>> {
            let mut elements = Elements::new(text, 0);
            elements.root().ok()?;
            let values = elements.attributes.into_iter();
            Some(values.map(|a| a.value.into_owned()).collect())
        };
        let values = read("<a b=\"1\"\n\tc=\">\" d = \"3\" e='4' f=\"5\"/>");
        assert_eq!(values.unwrap(), ["1", ">", "3", "4", "5"]);
        for odd in [
            "b=\"1\" b='1'",
            "b='1' c=\"\" b=\"1\"",
            "b=\"1\" c",
            "b c=\"1\"",
            "=\"1\"",
            "b=1",
        ] {
            assert_eq!(read(&format!("<a {odd}/>")), None, "{odd}");
        }
    }
}
