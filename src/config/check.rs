//! Checks that need more than one value, and explanations of what serde found.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::error::Code;
use crate::job::Owner;
use crate::xmpp::{Security, Server};

use super::{Capture, Config, Supervisor, keep_keys, running};

/// What is wrong with a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: Code,
    /// Dotted path.
    pub(super) key: String,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

/// The least that `xmpp.max_stanza` can be, in bytes: RFC 6120 lets no server go below it.
const MIN_STANZA: usize = 10_000;
/// The most that one request or stanza can be, in bytes: it is held in memory.
const MAX_BYTES: usize = 1 << 30;
/// The most jobs of one request.
const MAX_JOBS: usize = 1_000_000;
/// The most requests of one owner that wait.
const MAX_QUEUE: usize = 65_536;
/// The most connections to a store: each is a thread or a session there.
const MAX_CONNECTIONS: usize = 1024;
/// The most that a name may differ from a known one to be taken for a slip of the pen.
const NEAR_NAME: f64 = 0.75;

pub(super) fn cross_check(config: &Config) -> Result<(), Fault> {
    let xmpp = &config.xmpp;
    if xmpp.max_stanza < MIN_STANZA {
        let what = format!("a server lets through stanzas of {MIN_STANZA} bytes at least");
        return fault(
            "xmpp.max_stanza",
            what,
            "\"256 KiB\" is what Prosody and ejabberd allow",
        );
    }
    if xmpp.security == Security::Plaintext && !may_be_loopback(xmpp.server.as_ref()) {
        let what = "plaintext needs xmpp.server with a loopback address";
        return fault("xmpp.security", what, "use \"starttls\"");
    }
    let bridge = &config.bridge;
    let numbers = [
        (
            "bridge.max_jobs_per_request",
            bridge.max_jobs_per_request,
            MAX_JOBS,
        ),
        ("bridge.queue", bridge.queue, MAX_QUEUE),
        ("bridge.max_request", bridge.max_request, MAX_BYTES),
        ("xmpp.max_stanza", xmpp.max_stanza, MAX_BYTES),
        ("buffer.pool", config.buffer.pool, MAX_CONNECTIONS),
    ];
    for (key, number, most) in numbers {
        if number == 0 || number > most {
            let what = format!("must be 1 or more, and at most {most}");
            return fault(key, what, "leave it out for the default");
        }
    }
    keep_keys::check(&config.buffer, &config.bridge)?;
    check_capture(&config.capture)?;
    running::check(config)?;
    check_supervisors(config)
}

/// A name is looked up when it is used.
fn may_be_loopback(server: Option<&Server>) -> bool {
    server.is_some_and(|server| {
        let address: Result<IpAddr, _> = server.host.parse();
        address.map_or(true, |address| address.is_loopback())
    })
}

fn check_capture(capture: &Capture) -> Result<(), Fault> {
    if !capture.control.is_absolute() {
        let what = "must begin with /";
        let hint = "a file in a folder that the daemon's user may write to";
        return fault("capture.control", what, hint);
    }
    if capture.max_exchanges == 0 {
        let hint = "`gristmill capture off` captures nothing";
        return fault("capture.max_exchanges", "must be 1 or more", hint);
    }
    Ok(())
}

fn check_supervisors(config: &Config) -> Result<(), Fault> {
    if config.supervisor.is_empty() {
        let hint = "add a section [[supervisor]] with its jid";
        return fault("supervisor", "nobody is configured to hand out jobs", hint);
    }
    let mut seen = HashSet::new();
    for (index, supervisor) in config.supervisor.iter().enumerate() {
        let key = |name: &str| format!("supervisor.{index}.{name}");
        let jid = &supervisor.jid;
        if !seen.insert(jid) {
            let what = format!("{jid} stands here a second time");
            return fault(key("jid"), what, "one section for each supervisor");
        }
        if jid.to_bare() == config.xmpp.jid.to_bare() {
            let what = format!("{jid} is the daemon's own account");
            return fault(
                key("jid"),
                what,
                "give the supervisor an account of its own",
            );
        }
        if let Err(error) = supervisor.owner() {
            return Err(Fault {
                code: Code::OwnerInvalid,
                key: key("owner"),
                what: error.to_string(),
                hint: Some("for instance \"prodsys\"".to_owned()),
            });
        }
    }
    Ok(())
}

impl Supervisor {
    /// The name under which its jobs are stored.
    pub fn owner(&self) -> Result<Owner, crate::job::InvalidId> {
        match &self.owner {
            Some(owner) => Owner::new(owner),
            None => Owner::new(self.jid.to_bare().to_string()),
        }
    }
}

pub(super) fn fault(
    key: impl Into<String>,
    what: impl Into<String>,
    hint: impl Into<String>,
) -> Result<(), Fault> {
    Err(Fault {
        code: Code::Contradiction,
        key: key.into(),
        what: what.into(),
        hint: Some(hint.into()),
    })
}

/// Turns serde's words for a wrong value at a path into ours.
pub(super) fn explain(path: &str, message: &str) -> Fault {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let ([name, known @ ..], true) = (&*quoted, message.starts_with("unknown field")) {
        let section = path
            .strip_suffix(*name)
            .unwrap_or(path)
            .trim_end_matches('.');
        return Fault {
            code: Code::UnknownKey,
            key: join(section, name),
            what: "there is no such key".to_owned(),
            hint: did_you_mean(name, known),
        };
    }
    if let ([name], true) = (&*quoted, message.starts_with("missing field")) {
        return Fault {
            code: Code::MissingKey,
            key: join(path, name),
            what: "is missing, and has no default".to_owned(),
            hint: None,
        };
    }
    Fault {
        code: Code::WrongValue,
        key: path.to_owned(),
        what: message.trim_end().to_owned(),
        hint: None,
    }
}

fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}

fn did_you_mean(name: &str, known: &[&str]) -> Option<String> {
    let nearness = |candidate: &&str| strsim::jaro_winkler(name, candidate);
    let nearest = known
        .iter()
        .max_by(|a, b| nearness(a).total_cmp(&nearness(b)))?;
    if nearness(nearest) < NEAR_NAME {
        return Some(format!("known here: {}", known.join(", ")));
    }
    Some(format!("did you mean {nearest:?}?"))
}
