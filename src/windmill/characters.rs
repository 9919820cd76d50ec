//! Which bytes may stand in a document, and what references stand for.

use std::borrow::Cow;

use super::error::Problem;

/// How many bytes are looked at in one go; those of a suspect block are then looked at one by one.
const BLOCK_BYTES: usize = 256;

/// The document as text, if it is UTF-8 and has only characters that XML 1.0 allows.
pub(super) fn check(document: &[u8]) -> Result<&str, Problem> {
    if document.starts_with(b"\xff\xfe") || document.starts_with(b"\xfe\xff") {
        let text = "the document is UTF-16; only UTF-8 is read";
        return Err(Problem::malformed(0, text));
    }
    let text = str::from_utf8(document).map_err(|error| {
        let text = "here are bytes that are not UTF-8; only UTF-8 is read";
        Problem::malformed(error.valid_up_to(), text)
    })?;
    match first_forbidden(document) {
        None => Ok(text),
        Some(at) => Err(Problem::malformed(at, forbidden_text(text, at))),
    }
}

fn forbidden_text(text: &str, at: usize) -> String {
    match text.get(at..).and_then(|rest| rest.chars().next()) {
        Some('\0') => "here is a NUL, as in UTF-16; only UTF-8 is read".into(),
        Some(other) => format!(
            "the character U+{:04X} is not allowed in XML",
            u32::from(other)
        ),
        None => "here is a character that is not allowed in XML".into(),
    }
}

/// Where the first byte is that begins a character XML does not allow.
fn first_forbidden(document: &[u8]) -> Option<usize> {
    // a fold over all of a block is compiled to vector instructions, a search is not
    let suspect = |block: &[u8]| {
        block
            .iter()
            .fold(false, |any, &byte| any | is_suspect(byte))
    };
    let blocks = document.chunks(BLOCK_BYTES).enumerate();
    blocks
        .filter(|(_, block)| suspect(block))
        .flat_map(|(number, block)| (number * BLOCK_BYTES..).zip(block))
        .find(|&(at, &byte)| match byte {
            b'\t' | b'\n' | b'\r' => false,
            0xEF => matches!(document.get(at + 1..at + 3), Some([0xBF, 0xBE | 0xBF])),
            byte => byte < b' ',
        })
        .map(|(at, _)| at)
}

/// A control character but the commonest, or the first byte of what may be U+FFFE or U+FFFF.
fn is_suspect(byte: u8) -> bool {
    byte < b' ' && byte != b'\n' || byte == 0xEF
}

/// Whether XML 1.0 allows the character.
pub(super) fn is_allowed(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        other => other >= ' ',
    }
}

/// White space as XML has it.
pub(super) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// What the name of an element or an attribute looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Plain,
    /// It has a colon.
    Prefixed,
}

impl Name {
    /// None where a text can name nothing. Beyond ASCII everything passes.
    pub fn of(text: &str) -> Option<Self> {
        let (all, any) = text
            .bytes()
            .map(|byte| NAME_BYTES.get(usize::from(byte)).copied().unwrap_or(0))
            .fold((PART, 0), |(all, any), bits| (all & bits, any | bits));
        let begins = |byte: &u8| !matches!(byte, b'-' | b'.' | b'0'..=b'9');
        if all != PART || !text.as_bytes().first().is_some_and(begins) {
            return None;
        }
        Some(if any & COLON == 0 {
            Self::Plain
        } else {
            Self::Prefixed
        })
    }
}

/// Of a byte that a name can have.
const PART: u8 = 1;
/// Of the byte that ends a prefix.
const COLON: u8 = 2;

/// What each byte is in a name: looking it up is quicker than asking.
static NAME_BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut rest = table.as_mut_slice();
    let mut byte = 0_u8;
    while let Some((bits, after)) = rest.split_first_mut() {
        *bits = match byte {
            b':' => PART | COLON,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' | 0x80.. => PART,
            _ => 0,
        };
        rest = after;
        byte = byte.wrapping_add(1);
    }
    table
};

/// What stands between `&` and `;` as a character: one of the five predefined entities, or a
/// character reference. There are no others.
pub(super) fn resolve(reference: &str) -> Result<char, String> {
    let number = match reference {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => reference.strip_prefix('#').and_then(code_point),
    };
    match number.and_then(char::from_u32) {
        Some(character) if is_allowed(character) => Ok(character),
        _ if reference.starts_with('#') => {
            Err("a character reference to what is no XML character".into())
        }
        _ => Err("an entity that is not one of lt, gt, amp, quot, apos".into()),
    }
}

fn code_point(digits: &str) -> Option<u32> {
    let (digits, radix) = match digits.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    // from_str_radix would let a sign pass
    let sound = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    sound
        .then(|| u32::from_str_radix(digits, radix).ok())
        .flatten()
}

/// An attribute's value: references resolved, raw tabs and line ends made spaces.
pub(super) fn attribute_value(raw: Cow<'_, str>) -> Result<Cow<'_, str>, String> {
    // like first_forbidden: a fold is quicker than a search
    let special = |byte: u8| byte < b' ' || byte == b'&' || byte == b'<';
    if !raw.bytes().fold(false, |any, byte| any | special(byte)) {
        return Ok(raw);
    }
    if raw.contains('<') {
        return Err("'<' in an attribute's value; write &lt;".into());
    }
    let mut value = String::with_capacity(raw.len());
    let mut pieces = raw.split('&');
    push_spaced(&mut value, pieces.next().unwrap_or_default());
    for piece in pieces {
        let (reference, rest) = piece
            .split_once(';')
            .ok_or("'&' without ';'; write &amp;")?;
        value.push(resolve(reference)?);
        push_spaced(&mut value, rest);
    }
    Ok(Cow::Owned(value))
}

fn push_spaced(value: &mut String, piece: &str) {
    let piece = line_ends(piece);
    value.extend(piece.chars().map(|c| if is_space(c) { ' ' } else { c }));
}

/// A text with every line end made a line feed.
pub(super) fn line_ends(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn what_xml_allows_passes() {
        for text in ["", "a\t\r\nb", "\u{7f}\u{85}\u{FFFD}", "ﬀﬁ\u{FEFF}", "😀"] {
            assert_eq!(check(text.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn what_xml_forbids_is_found_wherever_it_is() {
        for odd in ["\0", "\u{1}", "\u{1f}", "\u{b}", "\u{FFFE}", "\u{FFFF}"] {
            for before in [0, 1, 62, 63, 64, 65, 200] {
                let document = format!("{}{odd}tail", "x".repeat(before));
                assert_eq!(
                    check(document.as_bytes()).unwrap_err().at,
                    before,
                    "{odd:?}"
                );
            }
        }
    }

    #[rstest]
    #[case(b"\xff\xfe<\0a\0", 0, "UTF-16")]
    #[case(b"<\0a\0", 1, "NUL")]
    #[case(b"<a>\xe9</a>", 3, "not UTF-8")]
    #[case(b"<a>\xc0\x80</a>", 3, "not UTF-8")]
    fn other_encodings_are_named(#[case] document: &[u8], #[case] at: usize, #[case] says: &str) {
        let problem = check(document).unwrap_err();
        assert_eq!(problem.at, at);
        assert!(problem.text.contains(says), "{}", problem.text);
    }

    #[rstest]
    #[case("lt", Some('<'))]
    #[case("apos", Some('\''))]
    #[case("#65", Some('A'))]
    #[case("#x1F600", Some('😀'))]
    #[case("#9", Some('\t'))]
    #[case("nbsp", None)]
    #[case("", None)]
    #[case("#", None)]
    #[case("#x", None)]
    #[case("#+65", None)]
    #[case("#X41", None)]
    #[case("#0", None)]
    #[case("#1", None)]
    #[case("#xFFFF", None)]
    #[case("#xD800", None)]
    #[case("#x110000", None)]
    #[case("#99999999999", None)]
    fn references_are_few(#[case] reference: &str, #[case] character: Option<char>) {
        assert_eq!(resolve(reference).ok(), character);
    }

    #[rstest]
    #[case("plain", Some("plain"))]
    #[case("a&amp;b&#10;c", Some("a&b\nc"))]
    #[case("a\tb\r\nc\rd\ne", Some("a b c d e"))]
    #[case("a & b", None)]
    #[case("a&lt", None)]
    #[case("a<b", None)]
    #[case("&own;", None)]
    fn attribute_values(#[case] raw: &str, #[case] value: Option<&str>) {
        assert_eq!(attribute_value(raw.into()).ok().as_deref(), value);
    }

    #[rstest]
    #[case(&["a", "a-b.c_1", "é", "_", "job"], Some(Name::Plain))]
    #[case(&["w:job", "xmlns:w", ":a", "a:b:c"], Some(Name::Prefixed))]
    #[case(&["", "1a", "-a", ".a", "a b", "a<b", "a\"", "a/", "a\u{7f}"], None)]
    fn names(#[case] texts: &[&str], #[case] name: Option<Name>) {
        for text in texts {
            assert_eq!(Name::of(text), name, "{text}");
        }
    }
}
