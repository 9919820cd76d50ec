//! A quick look over what documents are mostly made of: tags and text without anything else in it.

use quick_xml::parser::{ElementParser, Parser as _};

use super::characters;

/// What a tag does to the elements around it.
enum Tag<'a> {
    Start(&'a [u8]),
    Empty,
    End(&'a [u8]),
}

/// How many bytes at the beginning of an element's content are whole children, at most `depth`
/// levels of them, and the text between them. Comments and the like, and all that is wrong, are
/// left to a closer look: what is counted is what quick-xml's events and our checks let pass.
pub(super) fn plain_children(content: &str, depth: usize) -> usize {
    let mut open = Vec::with_capacity(depth);
    let mut rest = content.as_bytes();
    let mut unread = rest.len();
    while let Some((tag, after)) = skip_text(rest).and_then(read_tag) {
        match tag {
            Tag::Start(name) if open.len() < depth => open.push(name),
            Tag::Empty if open.len() < depth => {}
            Tag::End(name) if open.pop() == Some(name) => {}
            _ => break,
        }
        rest = after;
        if open.is_empty() {
            unread = rest.len();
        }
    }
    content.len() - unread
}

/// What follows the text: it begins with `<`.
fn skip_text(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = rest.get(memchr::memchr3(b'<', b'&', b']', rest)?..)?;
        rest = match rest {
            [b'<', ..] => return Some(rest),
            [b'&', reference @ ..] => {
                let end = memchr::memchr(b';', reference)?;
                let (name, after) = reference.split_at_checked(end)?;
                characters::resolve(str::from_utf8(name).ok()?).ok()?;
                after.get(1..)?
            }
            [b']', b']', b'>', ..] => return None,
            _ => rest.get(1..)?,
        };
    }
}

/// A tag and what follows it.
fn read_tag(rest: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    if let [b'<', b'!' | b'?', ..] = rest {
        return None;
    }
    let end = ElementParser::Outside.feed(rest)?;
    let (tag, after) = rest.split_at_checked(end)?;
    let tag = match tag {
        [b'<', b'/', name @ ..] => Tag::End(name),
        [b'<', .., b'/'] => Tag::Empty,
        [b'<', content @ ..] => Tag::Start(name_of(content)?),
        _ => return None,
    };
    Some((tag, after.get(1..)?))
}

/// A start tag's name.
fn name_of(content: &[u8]) -> Option<&[u8]> {
    let is_space = |&byte: &u8| characters::is_space(char::from(byte));
    content.split(is_space).next()
}

/// The name and the value of the first of a tag's attributes, and what follows it, if it is written
/// like most: `name="value"`. Whether the name is one is left to see.
pub(super) fn plain_attribute(attributes: &str) -> Option<(&str, &str, &str)> {
    let attributes = attributes.trim_start_matches(characters::is_space);
    let (name, value) = attributes.split_once('=')?;
    let (value, rest) = value.strip_prefix('"')?.split_once('"')?;
    (!name.ends_with(characters::is_space)).then_some((name, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("</a>", "")]
    #[case("text &amp; ]] more</a>", "")]
    #[case("text<b/>more</a>", "text<b/>")]
    #[case(
        "<b>&#65;<c d='>' e=\"'>\"/></b>\n<b\td=''>x</b></a></a>",
        "<b>&#65;<c d='>' e=\"'>\"/></b>\n<b\td=''>x</b>"
    )]
    #[case("<b/><c>&own;</c></a>", "<b/>")]
    #[case("<b/><c>&lt</c>;</a>", "<b/>")]
    #[case("<b/><c>]]></c></a>", "<b/>")]
    #[case("<b/><c></d></c></a>", "<b/>")]
    #[case("<b/><c><!-- > --></c></a>", "<b/>")]
    #[case("<b/><?c?><d/></a>", "<b/>")]
    #[case("<b/><c><d><e/></d></c></a>", "<b/>")]
    #[case("<b/><c d='></c></a>", "<b/>")]
    #[case("<b/><c>", "<b/>")]
    fn what_is_plain_is_counted(#[case] content: &str, #[case] plain: &str) {
        assert_eq!(content.get(..plain_children(content, 2)), Some(plain));
    }

    #[rstest]
    #[case(" a=\"1\"", Some(("a", "1", "")))]
    #[case("\n\ta=\">'&amp;=\" b='2'", Some(("a", ">'&amp;=", " b='2'")))]
    #[case("", None)]
    #[case(" a", None)]
    #[case(" a =\"1\"", None)]
    #[case(" a= \"1\"", None)]
    #[case(" a='1'", None)]
    #[case(" a=\"1", None)]
    fn an_attribute_is_taken_as_most_are_written(
        #[case] attributes: &str,
        #[case] first: Option<(&str, &str, &str)>,
    ) {
        assert_eq!(plain_attribute(attributes), first);
    }
}
