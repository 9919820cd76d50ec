//! Log events for systemd's journal, with fields, in its native protocol: each is one datagram, and
//! goes by the log's queue, so that a journal that does not read holds up the log and nothing else.

use std::fmt::{Debug, Display};
use std::io::{ErrorKind, Result as IoResult, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::LogQueue;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The name of the program, as `journalctl --identifier` looks for it.
const IDENTIFIER: &str = "gristmill";

/// What begins the names of fields that are not the journal's own.
const PREFIX: &str = "F_";

/// The line to the journal: each write is one entry.
pub struct JournalSocket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl JournalSocket {
    /// The journal of this machine; an error where none listens.
    pub fn open() -> IoResult<Self> {
        Self::to(Path::new(SOCKET))
    }

    fn to(path: &Path) -> IoResult<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        // Nothing is no entry; a journal that is there may be busy.
        match socket.send_to(&[], path) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => socket.set_nonblocking(false)?,
        }
        let path = path.to_owned();
        Ok(Self { socket, path })
    }
}

impl Write for JournalSocket {
    fn write(&mut self, entry: &[u8]) -> IoResult<usize> {
        // By its path each time, so that a journal that was started again is found.
        self.socket.send_to(entry, &self.path)
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

/// Writes each event as an entry of the journal.
pub struct JournalLayer(LogQueue);

impl JournalLayer {
    /// One whose entries go into `queue`, which writes to a [`JournalSocket`].
    #[must_use]
    pub fn new(queue: LogQueue) -> Self {
        Self(queue)
    }
}

/// Fields in the journal's export format.
#[derive(Default)]
struct Entry(Vec<u8>);

impl Entry {
    fn put(&mut self, name: &str, value: impl Display) {
        let value = value.to_string();
        let letters = name.bytes().map(|letter| match letter {
            b'.' => b'_',
            letter => letter.to_ascii_uppercase(),
        });
        let is_allowed = |letter: &u8| letter.is_ascii_alphanumeric() || *letter == b'_';
        self.0.extend(letters.filter(is_allowed));
        self.0.push(b'\n');
        self.0.extend((value.len() as u64).to_le_bytes());
        self.0.extend(value.as_bytes());
        self.0.push(b'\n');
    }

    fn put_ours(&mut self, field: &Field, value: impl Display) {
        match field.name() {
            "message" => self.put("MESSAGE", value),
            name => self.put(&format!("{PREFIX}{name}"), value),
        }
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_ours(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put_ours(field, format_args!("{value:?}"));
    }
}

impl<S> Layer<S> for JournalLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Entry::default();
            fields.put("SPAN_NAME", span.name());
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Entry>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut entry = Entry::default();
        let spans = context.event_scope(event).into_iter();
        for span in spans.flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<Entry>() {
                entry.0.extend(&fields.0);
            }
        }
        let about = event.metadata();
        entry.put("PRIORITY", priority(*about.level()));
        entry.put("SYSLOG_IDENTIFIER", IDENTIFIER);
        entry.put("TARGET", about.target());
        if let Some((file, line)) = about.file().zip(about.line()) {
            entry.put("CODE_FILE", file);
            entry.put("CODE_LINE", line);
        }
        event.record(&mut entry);
        // The queue takes it, or drops and counts it.
        let _ = self.0.clone().write_all(&entry.0);
    }
}

/// The journal's word for a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 5,
        Level::DEBUG => 6,
        Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::time::Duration;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry;

    fn journal(folder: &Path) -> (UnixDatagram, LogQueue, impl Subscriber + use<>) {
        let path = folder.join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let queue = LogQueue::start(JournalSocket::to(&path).unwrap()).unwrap();
        let layer = JournalLayer::new(queue.clone());
        (journal, queue, registry().with(layer))
    }

    /// As the journal reads it.
    fn fields(mut entry: &[u8]) -> HashMap<String, String> {
        let mut fields = HashMap::new();
        while !entry.is_empty() {
            let end = entry.iter().position(|letter| *letter == b'\n').unwrap();
            let (name, rest) = (&entry[..end], &entry[end + 1..]);
            let (length, rest) = rest.split_first_chunk::<8>().unwrap();
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            fields.insert(text(name), text(&rest[..length]));
            assert_eq!(rest[length], b'\n');
            entry = &rest[length + 1..];
        }
        fields
    }

    #[test]
    fn an_event_is_an_entry_with_its_fields_and_those_of_its_spans() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _queue, subscriber) = journal(folder.path());
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", owner = "prodsys", answer = 0);
            span.record("answer", 7);
            span.in_scope(|| tracing::warn!(why = "two\nlines", http.code = 503, "it {}", "fails"));
        });
        let mut bytes = [0; 4096];
        let limit = Some(Duration::from_secs(20));
        journal.set_read_timeout(limit).unwrap();
        // The first is what asks whether it is there.
        assert_eq!(journal.recv(&mut bytes).unwrap(), 0);
        let length = journal.recv(&mut bytes).unwrap();
        let fields = fields(&bytes[..length]);
        for (name, value) in [
            ("PRIORITY", "4"),
            ("MESSAGE", "it fails"),
            ("SYSLOG_IDENTIFIER", "gristmill"),
            ("TARGET", module_path!()),
            ("SPAN_NAME", "request"),
            ("F_OWNER", "prodsys"),
            ("F_ANSWER", "7"),
            ("F_WHY", "two\nlines"),
            ("F_HTTP_CODE", "503"),
        ] {
            assert_eq!(fields[name], value, "{name}");
        }
        assert!(fields["CODE_FILE"].ends_with("journal.rs"));
    }

    /// It ends only if no event waits for the journal.
    #[test]
    fn a_journal_that_does_not_read_holds_up_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (_journal, queue, subscriber) = journal(folder.path());
        let dropped = queue.dropped();
        tracing::subscriber::with_default(subscriber, || {
            while dropped.get() == 0 {
                tracing::info!(filling = "x".repeat(1024), "not read");
            }
        });
    }

    #[test]
    fn without_a_journal_there_is_no_line_to_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(JournalSocket::to(&folder.path().join("none")).is_err());
    }
}
