//! A supervisor that is not ours: Python's slixmpp, driven by lines of JSON.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::process::{command, spawn};
use super::{DOMAIN, XmppServer};

/// How long an answer may take where a test says nothing else.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An XML element, as Python read it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Element {
    /// Its local name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// The text before its first child.
    pub text: String,
    /// Its children.
    pub children: Vec<Element>,
    /// In a body: the document that its text is.
    pub document: Option<Box<Element>>,
}

impl Element {
    /// The first child of a name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The children of a name.
    pub fn all(&self, name: &str) -> Vec<&Self> {
        self.children
            .iter()
            .filter(|child| child.name == name)
            .collect()
    }

    /// An attribute; empty where there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// What a stanza says in the supervisor's language: a Response or an error.
    fn payload(&self) -> Option<&Self> {
        let ours = |child: &&Self| child.namespace == NAMESPACE;
        let of_error = || {
            self.child("error")
                .and_then(|e| e.children.iter().find(ours))
        };
        let of_body = || self.child("body").and_then(|body| body.document.as_deref());
        self.children
            .iter()
            .find(ours)
            .or_else(of_error)
            .or_else(of_body)
    }
}

/// Of the supervisor's language.
pub const NAMESPACE: &str = "urn:windmill:executor:1";

/// How a document is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// As an IQ's payload.
    Iq,
    /// As a message's child element.
    Child,
    /// As a message's body text.
    Body,
}

impl Carrier {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Iq, Self::Child, Self::Body];
}

/// An answer to a document.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The stanza that it came in.
    pub stanza: Element,
    /// The Response or error; empty where the server answered instead.
    pub document: Element,
}

impl Reply {
    /// The code of the error that it is; empty for content.
    pub fn error(&self) -> &str {
        match self.document.name.as_str() {
            "error" => self.document.attribute("code"),
            _ => self
                .document
                .child("error")
                .map_or("", |error| error.attribute("code")),
        }
    }

    /// Its entries for jobs.
    pub fn jobs(&self) -> Vec<&Element> {
        self.document.all("job")
    }

    /// One attribute of each entry.
    pub fn each(&self, attribute: &str) -> Vec<&str> {
        self.jobs()
            .iter()
            .map(|job| job.attribute(attribute))
            .collect()
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Online,
    Offline,
    Unsent,
    Refused { why: String },
    Answered { condition: String },
    Stanza { stanza: Element },
}

/// A running client; ended when dropped.
pub struct Supervisor {
    child: Child,
    stdin: ChildStdin,
    events: Receiver<Event>,
    /// Stanzas that nobody asked for yet.
    unread: VecDeque<Element>,
    /// Whom it speaks to.
    executor: String,
    sent: u64,
}

impl Supervisor {
    /// Logs in and sends presence; `executor` is the full JID that its calls go to.
    pub fn login(server: &dyn XmppServer, account: (&str, &str), executor: &str) -> Self {
        Self::login_as(server, account, "windmill", executor, true)
    }

    /// Logs in as `account/resource`, with or without presence.
    pub fn login_as(
        server: &dyn XmppServer,
        (user, password): (&str, &str),
        resource: &str,
        executor: &str,
        presence: bool,
    ) -> Self {
        let mut supervisor = Self::spawn(executor);
        supervisor.tell(&json!({
            "jid": format!("{user}@{DOMAIN}/{resource}"),
            "password": password,
            "host": server.address().ip().to_string(),
            "port": server.address().port(),
            "ca_file": server.ca_file(),
            "presence": presence,
        }));
        supervisor.wait_online();
        supervisor
    }

    fn spawn(executor: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join(".venv/bin/python");
        assert!(
            python.exists(),
            "slixmpp is missing: make install-test-deps"
        );
        let mut command = command(python);
        command.arg(root.join("tests/clients/supervisor.py"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(command);
        let (sender, events) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("stdout"));
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect(&line);
                let _ = sender.send(event);
            }
        });
        let stdin = child.stdin.take().expect("stdin");
        let (unread, executor) = (VecDeque::new(), executor.to_owned());
        Self {
            child,
            stdin,
            events,
            unread,
            executor,
            sent: 0,
        }
    }

    fn tell(&mut self, command: &Value) {
        writeln!(self.stdin, "{command}").expect("the client runs");
    }

    /// Sends an IQ as a program on slixmpp would.
    pub fn begin_to_ask(&mut self, to: &str, id: &str) {
        self.tell(&json!({ "ask": to, "id": id }));
    }

    /// The condition of the error that the program then sees.
    pub fn condition(&mut self) -> String {
        loop {
            match self.events.recv_timeout(PATIENCE).expect("an answer") {
                Event::Answered { condition } => return condition,
                Event::Stanza { stanza } => self.unread.push_back(stanza),
                _ => (),
            }
        }
    }

    /// Sends a document; gives the stanza's id.
    pub fn send(&mut self, carrier: Carrier, document: &str) -> String {
        self.sent += 1;
        let (id, to) = (format!("x-{}", self.sent), &self.executor);
        let stanza = match carrier {
            Carrier::Iq => format!("<iq type='set' id='{id}' to='{to}'>{document}</iq>"),
            Carrier::Child => {
                format!("<message id='{id}' to='{to}'><thread>t-{id}</thread>{document}</message>")
            }
            Carrier::Body => format!(
                "<message id='{id}' to='{to}' type='chat'><thread>t-{id}</thread><body>{}</body></message>",
                escape(document)
            ),
        };
        self.raw(&stanza);
        id
    }

    /// Sends a document that carries `id` and waits for its answer, which must come by the same
    /// carrier.
    pub fn ask(&mut self, carrier: Carrier, id: &str, document: &str) -> Reply {
        self.ask_within(PATIENCE, carrier, id, document)
    }

    /// The same, with a time limit.
    pub fn ask_within(
        &mut self,
        limit: Duration,
        carrier: Carrier,
        id: &str,
        document: &str,
    ) -> Reply {
        let stanza = self.send(carrier, document);
        self.reply(limit, carrier, &stanza, id)
            .unwrap_or_else(|| panic!("no answer to {id} by {carrier:?} within {limit:?}"))
    }

    /// Waits for the answer to what [`send`](Self::send) sent.
    pub fn reply(
        &mut self,
        limit: Duration,
        carrier: Carrier,
        stanza: &str,
        id: &str,
    ) -> Option<Reply> {
        let answer = self.wait_for(limit, |candidate| match carrier {
            Carrier::Iq => candidate.name == "iq" && candidate.attribute("id") == stanza,
            Carrier::Child | Carrier::Body => {
                let payload = candidate.payload();
                candidate.name == "message"
                    && payload.is_some_and(|payload| payload.attribute("inReplyTo") == id)
            }
        })?;
        if carrier != Carrier::Iq {
            let in_body = answer
                .child("body")
                .is_some_and(|body| body.document.is_some());
            assert_eq!(in_body, carrier == Carrier::Body, "{answer:?}");
            let thread = answer.child("thread").map_or("", |thread| &thread.text);
            assert_eq!(thread, format!("t-{stanza}"), "{answer:?}");
            let kind = if carrier == Carrier::Body { "chat" } else { "" };
            assert_eq!(
                answer.attribute("type").replace("normal", ""),
                kind,
                "{answer:?}"
            );
        }
        let document = answer.payload().cloned().unwrap_or_default();
        Some(Reply {
            stanza: answer,
            document,
        })
    }

    /// Whom the documents go to from now on.
    pub fn speak_to(&mut self, executor: &str) {
        executor.clone_into(&mut self.executor);
    }

    /// Waits until the daemon answers out of its store.
    pub fn wait_until_served(&mut self) {
        let question = format!(
            "<getExecutorData xmlns='{NAMESPACE}' id='served'><job jobID='none'/></getExecutorData>"
        );
        self.wait_until("serves", &question, |reply| {
            reply.each("status") == ["rejected"]
        });
    }

    /// Waits until the daemon answers, with or without its store.
    pub fn wait_until_online(&mut self) {
        let question = format!("<numJobsWanted xmlns='{NAMESPACE}' id='served'/>");
        self.wait_until("answers", &question, |reply| {
            reply.document.child("numJobs").is_some()
        });
    }

    fn wait_until(&mut self, what: &str, question: &str, content: impl Fn(&Reply) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let stanza = self.send(Carrier::Iq, question);
            let answer = self.reply(Duration::from_secs(2), Carrier::Iq, &stanza, "served");
            if answer.is_some_and(|answer| content(&answer)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{} never {what} within {PATIENCE:?}", self.executor);
    }

    /// Sends text as it is.
    pub fn raw(&mut self, text: &str) {
        self.tell(&json!({ "raw": text }));
    }

    /// Ends the stream in order.
    pub fn disconnect(&mut self) {
        self.tell(&json!({ "disconnect": true }));
        self.wait_offline();
    }

    /// Waits until it has lost its stream.
    pub fn wait_offline(&mut self) {
        self.wait_event("offline", |event| matches!(event, Event::Offline));
    }

    /// Begins a new stream, after the one before has ended.
    pub fn connect(&mut self) {
        self.tell(&json!({ "connect": true }));
        self.wait_online();
    }

    fn wait_online(&mut self) {
        self.wait_event("online", |event| matches!(event, Event::Online));
    }

    fn wait_event(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left);
            match event.unwrap_or_else(|error| panic!("slixmpp is not {what}: {error}")) {
                event if wanted(&event) => return,
                Event::Stanza { stanza } => self.unread.push_back(stanza),
                Event::Refused { why } => panic!("slixmpp is not {what}: {why}"),
                Event::Online | Event::Offline | Event::Unsent | Event::Answered { .. } => (),
            }
        }
    }

    /// Takes the first stanza that is wanted; the others stay to be taken later.
    pub fn wait_for(
        &mut self,
        limit: Duration,
        wanted: impl Fn(&Element) -> bool,
    ) -> Option<Element> {
        if let Some(at) = self.unread.iter().position(&wanted) {
            return self.unread.remove(at);
        }
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::Stanza { stanza }) if wanted(&stanza) => return Some(stanza),
                Ok(Event::Stanza { stanza }) => self.unread.push_back(stanza),
                Ok(_) => (),
                Err(_) => return None,
            }
        }
    }

    /// Every answer that nobody waited for: those that came, and those that come until it has
    /// been silent for `silence`.
    pub fn drain(&mut self, silence: Duration) -> Vec<Element> {
        let mut stanzas: Vec<_> = self.unread.drain(..).collect();
        while let Some(stanza) = self.wait_for(silence, |_| true) {
            stanzas.push(stanza);
        }
        stanzas
            .iter()
            .filter_map(|stanza| stanza.payload().cloned())
            .collect()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A document as the text of an element.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
