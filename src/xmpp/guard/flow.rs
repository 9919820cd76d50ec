//! What the guard does with each token: pass it on, cut the stanza, swallow what is left of it.

use super::lexer::{Event, State, Tag, is_space};
use super::{
    Due, ERROR_TEXT_BYTES, Flow, Guard, KEPT_BYTES, Kind, LastWords, Limit, MAX_HEADERS, NAMESPACE,
    Path, STREAM_MANAGEMENT, StreamError, VITAL, tag,
};

impl Guard {
    pub(super) fn handle(&mut self, event: Event, taken: &[u8], out: &mut Vec<u8>) {
        self.hold(event, taken, out);
        if let Some(limit) = self.violation() {
            self.cut(limit, out);
        }
        match event {
            Event::Text if self.is_between_stanzas() => {
                out.extend(taken.iter().filter(|byte| is_space(**byte)));
            }
            Event::Reference | Event::Cdata | Event::Markup | Event::MarkupPart
                if self.is_between_stanzas() =>
            {
                self.held.clear();
            }
            Event::Text if self.flow == Flow::Pass => {
                self.note_text(taken);
                out.extend_from_slice(taken);
            }
            Event::Markup if self.level > 0 && self.flow == Flow::Pass => {
                self.cut(Limit::Markup, out);
            }
            Event::Reference | Event::Cdata | Event::Markup => self.release(out),
            Event::MarkupPart if self.flow == Flow::Pass => out.extend_from_slice(taken),
            Event::Name(tag) => self.named(tag, out),
            Event::Attribute => self.begin_attribute(),
            Event::AttributeEnd => self.end_attribute(),
            Event::TagEnd { tag, empty } => self.end_tag(tag, empty, out),
            Event::Text | Event::MarkupPart | Event::Part => {}
        }
    }

    /// Keeps what is not character data until its token is complete.
    fn hold(&mut self, event: Event, taken: &[u8], out: &mut Vec<u8>) {
        match (self.flow, event) {
            (_, Event::Text | Event::MarkupPart) | (Flow::Swallow, _) => {}
            (Flow::Pass, _) if self.element == Kind::Stream => out.extend_from_slice(taken),
            (Flow::Pass, _) => self.held.extend_from_slice(taken),
            (Flow::Trim(_), _) => self.hold_vital(taken),
        }
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        if self.flow == Flow::Pass {
            let held = std::mem::take(&mut self.held);
            self.note_text(&held);
            out.extend_from_slice(&held);
        }
    }

    fn named(&mut self, tag: Tag, out: &mut Vec<u8>) {
        if self.flow != Flow::Pass {
            return;
        }
        let local = tag::local(tag::name(&self.held));
        let is_header = local == b"stream" && self.headers < MAX_HEADERS;
        match tag {
            Tag::Start if self.level == 0 && !is_header => {
                self.error = (local == b"error").then(LastWords::default);
                self.element = Kind::Stanza;
                self.elements = 1;
            }
            Tag::Start if self.level == 0 => {
                self.headers += 1;
                self.element = Kind::Stream;
                self.proof.begin();
                out.append(&mut self.held);
            }
            Tag::Start => {
                self.element = Kind::Nested;
                self.elements += 1;
                if self.level >= self.limits.depth {
                    self.cut(Limit::Depth, out);
                } else if self.elements > self.limits.elements {
                    self.cut(Limit::Elements, out);
                }
            }
            Tag::End => self.element = Kind::Nested,
        }
    }

    fn end_tag(&mut self, tag: Tag, empty: bool, out: &mut Vec<u8>) {
        let opens = tag == Tag::Start && !empty;
        let closes = tag == Tag::End;
        match (self.flow, self.element) {
            (Flow::Pass, Kind::Stream) => {
                self.element = Kind::Unknown;
                self.due = Some(Due::Header);
                return;
            }
            (Flow::Pass, _) => self.pass_tag(tag, opens, out),
            (Flow::Trim(limit), _) => self.finish_trimmed(limit, out),
            (Flow::Swallow, _) => {}
        }
        self.held.clear();
        self.attribute = None;
        self.element = Kind::Unknown;
        if opens {
            self.level += 1;
        } else if closes {
            self.level = self.level.saturating_sub(1);
        }
        if self.level == 0 {
            self.end_stanza();
        }
    }

    fn pass_tag(&mut self, tag: Tag, opens: bool, out: &mut Vec<u8>) {
        if tag == Tag::Start {
            self.note_condition();
            if self.element == Kind::Stanza && lacks_h(&self.held) {
                let name = tag::name(&self.held).len() + 1;
                self.held.splice(name..name, *b" h='0'");
            }
        }
        if opens {
            self.path.push(tag::name(&self.held));
        } else if tag == Tag::End {
            self.path.pop();
        }
        out.append(&mut self.held);
    }

    fn end_stanza(&mut self) {
        if self.flow == Flow::Pass {
            self.due = Some(Due::Stanza);
        }
        self.flow = Flow::Pass;
        self.path.clear();
        self.spill = 0;
        if let Some(error) = self.error.take() {
            let text = String::from_utf8_lossy(&error.text);
            self.report.stream_error(StreamError {
                condition: String::from_utf8_lossy(&error.condition).into_owned(),
                text: match quick_xml::escape::unescape(&text) {
                    Ok(unescaped) => unescaped.into_owned(),
                    Err(_) => text.into_owned(),
                },
            });
        }
    }

    /// In the stream after the log-in, and in no stanza of it: there is nothing but white space.
    fn is_between_stanzas(&self) -> bool {
        self.level == 0 && self.headers == MAX_HEADERS
    }

    /// Cuts the stanza here. In its own tag, only what follows its name is trimmed.
    pub(super) fn cut(&mut self, limit: Limit, out: &mut Vec<u8>) {
        if self.level > 0 {
            self.close_stanza(limit, out);
        } else if self.element == Kind::Stanza {
            self.begin_trimming(limit);
            return;
        }
        self.report.cut(limit);
        self.swallow();
    }

    fn swallow(&mut self) {
        self.flow = Flow::Swallow;
        self.due = Some(Due::Stanza);
        self.held.clear();
        self.path.clear();
    }

    /// Puts the marker where the parser accepts it: in an IQ that is its payload, for it may have
    /// no second one; else directly in the stanza, for a message's body may have no elements.
    fn close_stanza(&mut self, limit: Limit, out: &mut Vec<u8>) {
        // An opening that is still held never went out.
        if matches!(self.lexer, State::Cdata(_)) && self.held.is_empty() {
            out.extend_from_slice(b"]]>");
        }
        let is_iq = tag::local(self.path.first()) == b"iq";
        let parent = if is_iq { 2 } else { 1 };
        while self.path.len() > parent {
            self.close_element(out);
        }
        put_marker(limit, out);
        while self.path.len() > 0 {
            self.close_element(out);
        }
    }

    fn close_element(&mut self, out: &mut Vec<u8>) {
        put_end_tag(self.path.last(), out);
        self.path.pop();
    }

    /// Leaves of the stanza's own tag what its answer needs: type, id, addresses, namespace.
    fn begin_trimming(&mut self, limit: Limit) {
        self.flow = Flow::Trim(limit);
        self.orphan = false;
        let begun = self.attribute.take();
        let whole = std::mem::take(&mut self.held);
        let complete = begun.unwrap_or(whole.len());
        let (complete, rest) = whole.split_at_checked(complete).unwrap_or((&whole, b""));
        self.held.push(b'<');
        self.held.extend_from_slice(tag::name(complete));
        for attribute in tag::attributes(complete) {
            self.begin_attribute();
            self.hold_vital(complete.get(attribute.range).unwrap_or_default());
            self.end_attribute();
        }
        if begun.is_some() {
            self.begin_attribute();
            self.hold_vital(rest);
        }
    }

    fn begin_attribute(&mut self) {
        if let Flow::Trim(_) = self.flow {
            self.held.push(b' ');
        }
        if self.flow != Flow::Swallow {
            self.attribute = Some(self.held.len());
        }
    }

    fn hold_vital(&mut self, taken: &[u8]) {
        if let Some(start) = self.attribute {
            self.held.extend_from_slice(taken);
            if self.held.len() - start > KEPT_BYTES.min(self.limits.attribute_bytes) {
                self.drop_attribute(start);
            }
        }
    }

    fn end_attribute(&mut self) {
        let Some(start) = self.attribute.take() else {
            return;
        };
        if let Flow::Trim(_) = self.flow {
            let (kept, attribute) = self.held.split_at_checked(start).unwrap_or_default();
            let name = tag::attribute_name(attribute);
            let (prefix, _) = tag::split(tag::name(kept));
            let vital = VITAL.contains(&name) || tag::declares(name, prefix);
            if !vital || tag::attributes(kept).any(|other| other.name == name) {
                self.drop_attribute(start);
            }
        }
    }

    fn drop_attribute(&mut self, start: usize) {
        let attribute = self.held.split_off(start.saturating_sub(1));
        self.attribute = None;
        self.note_orphan(tag::attribute_name(attribute.trim_ascii_start()));
    }

    /// Remembers that the stanza lost the declaration of its own namespace.
    fn note_orphan(&mut self, attribute: &[u8]) {
        let (prefix, _) = tag::split(tag::name(&self.held));
        self.orphan |= tag::declares(attribute, prefix);
    }

    /// Without its namespace it would be no stanza, and is swallowed whole.
    fn finish_trimmed(&mut self, limit: Limit, out: &mut Vec<u8>) {
        if let Some(start) = self.attribute {
            self.drop_attribute(start);
        }
        if !self.orphan {
            out.extend_from_slice(&self.held);
            out.push(b'>');
            put_marker(limit, out);
            put_end_tag(tag::name(&self.held), out);
        }
        self.report.cut(limit);
        self.swallow();
    }

    fn note_condition(&mut self) {
        let name = tag::local(tag::name(&self.held));
        if let Some(error) = &mut self.error
            && self.path.len() == 1
            && error.condition.is_empty()
            && name != b"text"
        {
            error.condition = name.to_vec();
        }
    }

    fn note_text(&mut self, text: &[u8]) {
        if let Some(error) = &mut self.error
            && self.path.len() == 2
            && tag::local(self.path.last()) == b"text"
        {
            let room = ERROR_TEXT_BYTES.saturating_sub(error.text.len());
            error.text.extend(text.iter().take(room));
        }
    }
}

impl Path {
    fn push(&mut self, name: &[u8]) {
        self.starts.push(self.names.len());
        self.names.extend_from_slice(name);
    }

    fn pop(&mut self) {
        if let Some(start) = self.starts.pop() {
            self.names.truncate(start);
        }
    }

    fn clear(&mut self) {
        self.starts.clear();
        self.names.clear();
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    /// Empty where nothing is open.
    fn first(&self) -> &[u8] {
        match self.starts.get(1) {
            Some(end) => self.names.get(..*end).unwrap_or_default(),
            None => &self.names,
        }
    }

    /// Empty where nothing is open.
    fn last(&self) -> &[u8] {
        let start = self.starts.last().unwrap_or(&0);
        self.names.get(*start..).unwrap_or_default()
    }
}

pub(super) fn put_marker(limit: Limit, out: &mut Vec<u8>) {
    let marker = format!("<cut xmlns='{NAMESPACE}' limit='{}'/>", limit.name());
    out.extend_from_slice(marker.as_bytes());
}

pub(super) fn put_end_tag(name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"</");
    out.extend_from_slice(name);
    out.push(b'>');
}

/// Whether this is XEP-0198's `<failed/>` without the attribute that the parser demands.
fn lacks_h(start_tag: &[u8]) -> bool {
    let (prefix, local) = tag::split(tag::name(start_tag));
    local == b"failed"
        && tag::attributes(start_tag).all(|attribute| {
            let declares = tag::declares(attribute.name, prefix);
            attribute.name != b"h" && (!declares || attribute.value == STREAM_MANAGEMENT)
        })
}
