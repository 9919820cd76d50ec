//! Escapes characters without a shape of their own in what is shown: they steer a terminal, turn the
//! direction of writing, or hide.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Unicode's format characters (Cf) and the separators of lines and paragraphs (Zl, Zp).
const SHAPELESS: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
    ('\u{e0100}', '\u{e01ef}'),
];

/// Escapes in a text of several lines.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, |escaped, letter| {
        escaped.extend(letter.escape_unicode());
    })
}

/// Escapes in JSON, which keeps its content.
pub(super) fn shown_json(json: &str) -> Cow<'_, str> {
    // Outside of its texts JSON has none of these characters.
    escaped(json, |escaped, letter| {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    })
}

fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_hidden(letter) {
            escape(&mut escaped, letter);
        } else {
            escaped.push(letter);
        }
    }
    Cow::Owned(escaped)
}

fn is_hidden(letter: char) -> bool {
    let is_in = |(first, last): &(char, char)| (*first..=*last).contains(&letter);
    (letter.is_control() && !matches!(letter, '\n' | '\t')) || SHAPELESS.iter().any(is_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_shape_is_escaped() {
        assert_eq!(
            shown("a\x1b[31m\n\u{202e}b\u{9b}1m\u{200b}\u{2028}\u{e0041}"),
            "a\\u{1b}[31m\n\\u{202e}b\\u{9b}1m\\u{200b}\\u{2028}\\u{e0041}"
        );
        let plain = "Fußnote \"e\u{301}\"\t日本語\n";
        assert!(matches!(shown(plain), Cow::Borrowed(same) if same == plain));
    }

    #[test]
    fn json_keeps_its_content() {
        let text = "a\u{9b}\u{202e}\u{7f}\u{e0041}\u{2029}\n";
        let json = serde_json::to_string(text).unwrap();
        let shown = shown_json(&json);
        assert!(shown.is_ascii(), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
