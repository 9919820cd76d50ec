//! Passes on what is complete and proved, and what takes the place of what cannot be read.

use super::flow::{put_end_tag, put_marker};
use super::{Due, Flow, Guard, Kind, Limit, VITAL, tag};

/// A stanza's buffer is kept for the next one up to this size, in bytes.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

impl Guard {
    /// Passes on what is complete.
    pub(super) fn pass(&mut self, whole: &mut Vec<u8>, out: &mut Vec<u8>) {
        match self.due.take() {
            Some(Due::Stanza) => self.pass_stanza(whole, out),
            due if due == Some(Due::Header) || self.element == Kind::Stream => {
                self.proof.header(whole);
                out.append(whole);
            }
            _ if self.level == 0 && self.element == Kind::Unknown => out.append(whole),
            _ => {}
        }
    }

    fn pass_stanza(&mut self, whole: &mut Vec<u8>, out: &mut Vec<u8>) {
        if whole.is_empty() {
            return;
        }
        let mut proved = self.proof.read(whole);
        if proved.is_ok() && self.report.doubts() && is_by_users(whole) {
            proved = self.proof.read_again(whole);
        }
        match proved {
            Ok(()) => out.extend_from_slice(whole),
            Err(why) => {
                // A stanza that was cut is counted.
                if self.flow != Flow::Swallow {
                    self.report.cut_because(Limit::Unreadable, &why);
                }
                out.extend(self.stand_in(whole));
            }
        }
        whole.clear();
        whole.shrink_to(KEPT_BUFFER_BYTES);
    }

    /// What is left of a stanza that cannot be read: its name and those of its vital attributes
    /// that can be read, and the marker. Nothing where not even that much is readable.
    fn stand_in(&mut self, whole: &[u8]) -> Vec<u8> {
        let tag = tag::first(whole);
        let name = tag::name(tag);
        let (prefix, _) = tag::split(name);
        let mut start = [b"<", name].concat();
        let is_declaration = |name: &[u8]| tag::declares(name, prefix);
        let (declarations, others): (Vec<_>, Vec<_>) =
            tag::attributes(tag).partition(|attribute| is_declaration(attribute.name));
        let vital = others.iter().filter(|other| VITAL.contains(&other.name));
        for attribute in declarations.iter().chain(vital) {
            let written = tag.get(attribute.range.clone()).unwrap_or_default();
            let written = if is_declaration(attribute.name) {
                written.to_vec()
            } else {
                with_references(written)
            };
            let longer = [&start, &b" "[..], &written].concat();
            let is_readable = self.proof.read(&[&longer, &b"/>"[..]].concat()).is_ok();
            if is_readable {
                start = longer;
            } else if is_declaration(attribute.name) {
                return Vec::new();
            }
        }
        start.push(b'>');
        put_marker(Limit::Unreadable, &mut start);
        put_end_tag(name, &mut start);
        let is_readable = !whole.starts_with(b"</") && self.proof.read(&start).is_ok();
        if is_readable { start } else { Vec::new() }
    }
}

/// Whether others than the server have a say in what is in it.
fn is_by_users(whole: &[u8]) -> bool {
    let name = tag::local(tag::name(tag::first(whole)));
    [&b"message"[..], b"presence", b"iq"].contains(&name)
}

/// An attribute in which a carriage return is written as a careful server would.
fn with_references(attribute: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(attribute.len());
    for byte in attribute {
        match byte {
            b'\r' => written.extend_from_slice(b"&#13;"),
            byte => written.push(*byte),
        }
    }
    written
}
