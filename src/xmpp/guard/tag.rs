//! Reads a complete start tag: its name and its attributes, as bytes.

use std::ops::Range;

/// One attribute of a tag.
pub(super) struct Attribute<'a> {
    /// With its prefix.
    pub name: &'a [u8],
    /// As it stands between the quotes.
    pub value: &'a [u8],
    /// Where it stands in the tag, quotes included.
    pub range: Range<usize>,
}

/// The first tag of what begins with one: up to the first `>` that stands in no quotes.
pub(super) fn first(whole: &[u8]) -> &[u8] {
    let mut quote = None;
    let end = whole.iter().position(|&byte| {
        match quote {
            Some(open) if open == byte => quote = None,
            None if byte == b'"' || byte == b'\'' => quote = Some(byte),
            _ => {}
        }
        quote.is_none() && byte == b'>'
    });
    end.and_then(|end| whole.get(..end)).unwrap_or(whole)
}

/// The name in `<name …` or `</name …`, with its prefix.
pub(super) fn name(tag: &[u8]) -> &[u8] {
    let name = tag.strip_prefix(b"<").unwrap_or(tag);
    let name = name.strip_prefix(b"/").unwrap_or(name);
    let end = name
        .iter()
        .position(|b| b" \t\r\n/>".contains(b))
        .unwrap_or(name.len());
    name.get(..end).unwrap_or(name)
}

/// A name in two: the prefix, where it has one, and the rest.
pub(super) fn split(name: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut halves = name.splitn(2, |&b| b == b':');
    match (halves.next(), halves.next()) {
        (Some(prefix), Some(local)) => (Some(prefix), local),
        _ => (None, name),
    }
}

/// A name without its prefix.
pub(super) fn local(name: &[u8]) -> &[u8] {
    split(name).1
}

/// Whether `attribute` declares the namespace of names with this prefix.
pub(super) fn declares(attribute: &[u8], prefix: Option<&[u8]>) -> bool {
    match prefix {
        None => attribute == b"xmlns",
        Some(prefix) => attribute.strip_prefix(b"xmlns:") == Some(prefix),
    }
}

/// The name in `name='value'`, or as much of it as there is.
pub(super) fn attribute_name(attribute: &[u8]) -> &[u8] {
    let end = attribute
        .iter()
        .position(|&b| b == b'=' || is_space(b))
        .unwrap_or(attribute.len());
    attribute.get(..end).unwrap_or(attribute)
}

/// The attributes of a tag, as far as they are complete.
pub(super) fn attributes(tag: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    let mut at = name(tag).len() + 1;
    std::iter::from_fn(move || {
        let start = at + tag.get(at..)?.iter().position(|&b| !is_space(b))?;
        let equals = start + tag.get(start..)?.iter().position(|&b| b == b'=')?;
        let is_quote = |&b: &u8| b == b'"' || b == b'\'';
        let open = equals + tag.get(equals..)?.iter().position(is_quote)?;
        let quote = tag.get(open)?;
        let close = open + 1 + tag.get(open + 1..)?.iter().position(|b| b == quote)?;
        at = close + 1;
        Some(Attribute {
            name: tag.get(start..equals)?.trim_ascii_end(),
            value: tag.get(open + 1..close)?,
            range: start..at,
        })
    })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_taken_apart() {
        let tag = b"<a:iq  id = 'x>y' xmlns:a=\"it's\"\n b=''/>";
        let found: Vec<_> = attributes(tag).map(|a| (a.name, a.value)).collect();
        let wanted: [(&[u8], &[u8]); 3] = [(b"id", b"x>y"), (b"xmlns:a", b"it's"), (b"b", b"")];
        assert_eq!((name(tag), found), (&b"a:iq"[..], wanted.to_vec()));
        assert!(declares(b"xmlns:a", split(name(tag)).0));
        let ranges: Vec<_> = attributes(tag).map(|a| &tag[a.range]).collect();
        assert_eq!(ranges[0], b"id = 'x>y'");
    }

    #[test]
    fn what_is_not_complete_is_left_out() {
        for tag in ["<a b='1' c", "<a b='1' c=", "<a b='1' c='2", "<a b='1' "] {
            assert_eq!(attributes(tag.as_bytes()).count(), 1, "{tag}");
        }
        assert_eq!(attributes(b"<a/>").count(), 0);
        assert_eq!(attributes(b"").count(), 0);
    }
}
