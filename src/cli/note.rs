//! Who gave an order, and why: kept with what it changed.

use crate::buffer::Note;
use crate::config;

/// The longest name of a user and a host that is kept, in characters.
const MAX_WHO_CHARS: usize = 120;

/// By who runs this process.
pub(super) fn note(reason: Option<String>) -> Note {
    let user = config::user().unwrap_or_else(|| {
        let user = rustix::process::getuid();
        format!("uid{}", user.as_raw())
    });
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    Note {
        who: named(&user, &host),
        reason: reason.filter(|reason| !reason.is_empty()),
    }
}

fn named(user: &str, host: &str) -> String {
    let name = format!("{user}@{host}");
    let printable = name.chars().filter(|letter| !letter.is_control());
    printable.take(MAX_WHO_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_did_it_somewhere() {
        let note = note(Some(String::new()));
        let (user, host) = note.who.split_once('@').unwrap();
        assert!(!user.is_empty() && !host.is_empty(), "{note:?}");
        assert_eq!(note.reason, None);
    }

    #[test]
    fn a_name_is_one_short_line() {
        assert_eq!(named("a\nb", "mill"), "ab@mill");
        assert_eq!(named(&"a".repeat(500), "mill").len(), MAX_WHO_CHARS);
    }
}
