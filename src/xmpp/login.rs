//! Logging in: which SASL mechanism, with which channel binding.
//!
//! SCRAM before all else. A `-PLUS` mechanism is taken only where the server lists `tls-exporter`
//! (XEP-0440), the one kind of channel binding that TLS 1.3 has and that we know. PLAIN shows the
//! password to the server, so it has to be allowed; ANONYMOUS is never used.

use std::collections::BTreeSet;

use futures::SinkExt;
use sasl::client::Mechanism;
use sasl::client::mechanisms::{Plain, Scram};
use sasl::common::scram::{Sha1, Sha256};
use sasl::common::{ChannelBinding, Credentials};
use secrecy::ExposeSecret;
use tokio_xmpp::stanzastream::XmppStream;
use tokio_xmpp::xmlstream::{InitiatingStream, XmppStreamElement};
use xmpp_parsers::sasl::{Auth, DefinedCondition, Failure, Mechanism as Name, Nonza, Response};
use xmpp_parsers::sasl_cb::Type;
use xmpp_parsers::stream_features::StreamFeatures;

use super::settings::{Settings, password_oddity};
use super::wire::{ConnectError, Wire, broken, next_element, unexpected};

/// The most rounds of hashing that a server can make us do.
const MAX_SCRAM_ITERATIONS: u32 = 1_000_000;

/// What we log in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Sha256(Binding),
    Sha1(Binding),
    Plain,
}

/// What SCRAM says of channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    /// "p": bound by `tls-exporter`.
    Exporter,
    /// "y": we could, and the server offers none. A server that did offer one thereby learns that
    /// somebody between us took the offer out.
    NotOffered,
    /// "n": we cannot, or do not know the kinds that the server has.
    Impossible,
}

/// Logs in on a stream whose features were just read; the stream has to be restarted after it.
pub async fn authenticate(
    mut stream: XmppStream,
    features: &StreamFeatures,
    settings: &Settings,
    exporter: Option<Vec<u8>>,
) -> Result<InitiatingStream<Wire>, ConnectError> {
    let offered = &features.sasl_mechanisms;
    let lists_exporter =
        (features.sasl_cb.as_ref()).is_some_and(|listed| listed.types.contains(&Type::TlsExporter));
    let binding = binding(offered, lists_exporter, exporter.is_some());
    let choice =
        choose(offered, binding, settings.allow_plain).ok_or_else(|| no_mechanism(offered))?;
    let (name, mut mechanism) = build(choice, settings, exporter)?;
    tracing::debug!(mechanism = mechanism.name(), "logging in");
    let said = mechanism.initial();
    let first = Nonza::Auth(Auth {
        mechanism: name,
        data: said.clone(),
    });
    say(&mut stream, first).await?;
    loop {
        match next_element(&mut stream).await? {
            XmppStreamElement::Sasl(Nonza::Challenge(challenge)) => {
                check_challenge(&said, &challenge.data)?;
                let data = mechanism
                    .response(&challenge.data)
                    .map_err(|e| untrusted(&e))?;
                say(&mut stream, Nonza::Response(Response { data })).await?;
            }
            XmppStreamElement::Sasl(Nonza::Success(success)) => {
                mechanism
                    .success(&success.data)
                    .map_err(|e| untrusted(&e))?;
                return Ok(stream.initiate_reset());
            }
            XmppStreamElement::Sasl(Nonza::Failure(failure)) => {
                return Err(refusal(&failure, settings));
            }
            other => return Err(unexpected(&other, "the log-in")),
        }
    }
}

async fn say(stream: &mut XmppStream, nonza: Nonza) -> Result<(), ConnectError> {
    stream
        .send(&XmppStreamElement::Sasl(nonza))
        .await
        .map_err(broken)
}

fn binding(offered: &BTreeSet<String>, lists_exporter: bool, have_exporter: bool) -> Binding {
    let offers_any = offered.iter().any(|name| name.ends_with("-PLUS"));
    match (have_exporter, offers_any) {
        (true, true) if lists_exporter => Binding::Exporter,
        (true, false) => Binding::NotOffered,
        _ => Binding::Impossible,
    }
}

fn choose(offered: &BTreeSet<String>, binding: Binding, allow_plain: bool) -> Option<Choice> {
    let suffix = if binding == Binding::Exporter {
        "-PLUS"
    } else {
        ""
    };
    let offers = |name: &str| offered.contains(&format!("{name}{suffix}"));
    if offers("SCRAM-SHA-256") {
        Some(Choice::Sha256(binding))
    } else if offers("SCRAM-SHA-1") {
        Some(Choice::Sha1(binding))
    } else if allow_plain && offered.contains("PLAIN") {
        Some(Choice::Plain)
    } else {
        None
    }
}

fn build(
    choice: Choice,
    settings: &Settings,
    exporter: Option<Vec<u8>>,
) -> Result<(Name, Box<dyn Mechanism + Send>), ConnectError> {
    let user = settings.jid.node().ok_or_else(|| {
        ConnectError::Refused(format!(
            "xmpp.jid {} has no user before the @",
            settings.jid
        ))
    })?;
    let password = settings.password.expose_secret();
    let unusable = |e| ConnectError::Refused(format!("the log-in cannot be prepared: {e}"));
    let scram = |binding| {
        Credentials::default()
            .with_username(user.as_str().replace('=', "=3D").replace(',', "=2C"))
            .with_password(password)
            .with_channel_binding(match (binding, exporter) {
                (Binding::Exporter, Some(data)) => ChannelBinding::TlsExporter(data),
                (Binding::NotOffered, _) => ChannelBinding::Unsupported,
                _ => ChannelBinding::None,
            })
    };
    Ok(match choice {
        Choice::Sha256(binding) => (
            if binding == Binding::Exporter {
                Name::ScramSha256Plus
            } else {
                Name::ScramSha256
            },
            Box::new(Scram::<Sha256>::from_credentials(scram(binding)).map_err(unusable)?),
        ),
        Choice::Sha1(binding) => (
            if binding == Binding::Exporter {
                Name::ScramSha1Plus
            } else {
                Name::ScramSha1
            },
            Box::new(Scram::<Sha1>::from_credentials(scram(binding)).map_err(unusable)?),
        ),
        Choice::Plain => (Name::Plain, Box::new(Plain::new(user.as_str(), password))),
    })
}

/// What the crate does not check of a SCRAM challenge: that it answers what we said (RFC 5802,
/// section 5.1), and that it does not keep us hashing. Other mechanisms have no challenges.
fn check_challenge(said: &[u8], challenge: &[u8]) -> Result<(), ConnectError> {
    let refuse = |why: String| Err(ConnectError::Refused(why));
    let ours = field(said, "r=").unwrap_or_default();
    let answers = field(challenge, "r=").and_then(|nonce| nonce.strip_prefix(ours));
    if answers.is_none_or(str::is_empty) {
        return refuse("the server's SCRAM challenge is not for our log-in".into());
    }
    match field(challenge, "i=").map(str::parse::<u32>) {
        Some(Ok(rounds)) if rounds <= MAX_SCRAM_ITERATIONS => Ok(()),
        _ => refuse(format!(
            "the server's SCRAM challenge asks for no sensible number of rounds of hashing; \
             at most {MAX_SCRAM_ITERATIONS} are done"
        )),
    }
}

/// A field of a SCRAM message.
fn field<'a>(message: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(message).ok()?;
    text.split(',').find_map(|part| part.strip_prefix(name))
}

fn untrusted(error: &sasl::client::MechanismError) -> ConnectError {
    ConnectError::Refused(format!(
        "the server did not prove that it knows the password: {error}"
    ))
}

fn no_mechanism(offered: &BTreeSet<String>) -> ConnectError {
    let names: Vec<_> = offered.iter().map(String::as_str).collect();
    ConnectError::Refused(format!(
        "the server offers no way to log in that we take (it has: {}; we take SCRAM-SHA-256 and SCRAM-SHA-1)",
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    ))
}

fn refusal(failure: &Failure, settings: &Settings) -> ConnectError {
    let said = failure
        .texts
        .values()
        .next()
        .map(|text| format!(" ({text})"))
        .unwrap_or_default();
    let jid = settings.jid.to_bare();
    match failure.defined_condition {
        DefinedCondition::TemporaryAuthFailure => {
            ConnectError::Unreachable(format!("the server cannot log anybody in right now{said}"))
        }
        DefinedCondition::NotAuthorized => {
            let odd = password_oddity(&settings.password);
            let odd = odd.map(|odd| format!("; the password {odd}"));
            ConnectError::Denied(format!(
                "the server refused the password of {jid}{said}; check xmpp.jid and \
                 xmpp.password_file{}",
                odd.unwrap_or_default()
            ))
        }
        ref other => ConnectError::Denied(format!(
            "the server refused the log-in of {jid}: {other:?}{said}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn set(names: &str) -> BTreeSet<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    #[rstest]
    #[case::prosody(
        "PLAIN SCRAM-SHA-1 SCRAM-SHA-256",
        false,
        Some(Choice::Sha256(Binding::NotOffered))
    )]
    #[case::ejabberd(
        "PLAIN SCRAM-SHA-1 SCRAM-SHA-1-PLUS X-OAUTH2",
        false,
        Some(Choice::Sha1(Binding::Impossible))
    )]
    #[case::newer(
        "SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS",
        true,
        Some(Choice::Sha256(Binding::Exporter))
    )]
    #[case::listed_but_not_offered("SCRAM-SHA-1", true, Some(Choice::Sha1(Binding::NotOffered)))]
    #[case::only_bound("SCRAM-SHA-1-PLUS", false, None)]
    #[case::plain("PLAIN ANONYMOUS", false, None)]
    #[case::nothing("", false, None)]
    fn the_strongest_that_works_is_chosen(
        #[case] offered: &str,
        #[case] lists_exporter: bool,
        #[case] choice: Option<Choice>,
    ) {
        let offered = set(offered);
        let binding = binding(&offered, lists_exporter, true);
        assert_eq!(choose(&offered, binding, false), choice);
    }

    #[test]
    fn without_tls_nothing_is_claimed_of_channel_binding() {
        assert_eq!(
            binding(&set("SCRAM-SHA-1"), false, false),
            Binding::Impossible
        );
    }

    #[test]
    fn plain_has_to_be_allowed_and_comes_last() {
        assert_eq!(
            choose(&set("PLAIN"), Binding::Impossible, true),
            Some(Choice::Plain)
        );
        let both = set("PLAIN SCRAM-SHA-1");
        assert_eq!(
            choose(&both, Binding::Impossible, true),
            Some(Choice::Sha1(Binding::Impossible))
        );
    }

    #[rstest]
    #[case::good("r=abcdef,s=y,i=10000", true)]
    #[case::most("r=abcdef,s=y,i=1000000", true)]
    #[case::too_many("r=abcdef,s=y,i=1000001", false)]
    #[case::beyond_numbers("r=abcdef,s=y,i=99999999999999", false)]
    #[case::none("r=abcdef,s=y", false)]
    #[case::nothing_added("r=abc,s=y,i=10000", false)]
    #[case::of_another("r=abxdef,s=y,i=10000", false)]
    #[case::no_nonce("s=y,i=10000", false)]
    #[case::empty("", false)]
    fn challenges_are_checked(#[case] challenge: &str, #[case] good: bool) {
        let checked = check_challenge(b"n,,n=user,r=abc", challenge.as_bytes());
        assert_eq!(checked.is_ok(), good, "{checked:?}");
    }
}
