//! From the first byte to a bound resource.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use futures::{SinkExt, StreamExt};
use secrecy::ExposeSecret;
use tokio_xmpp::Stanza;
use tokio_xmpp::xmlstream::{
    AcceptedStream, FallibleStreamElement, ReadError, StreamHeader, Timeouts, XmlStream,
    XmppStreamElement, accept_stream,
};
use xmpp_parsers::bind::{BindFeature, BindQuery, BindResponse};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::{BareJid, FullJid};
use xmpp_parsers::ns;
use xmpp_parsers::sasl::{DefinedCondition, Failure, Mechanism, Nonza, Success};
use xmpp_parsers::stream_features::StreamFeatures;

use super::{Accounts, Wire};

/// A client's stream.
pub(super) type Stream = XmlStream<Wire, FallibleStreamElement>;

/// Logs a client in and binds the resource that it asks for, or one of our choice.
pub(super) async fn admit(wire: Wire, accounts: &Accounts) -> io::Result<(Stream, FullJid)> {
    let accepted = accept_stream(wire, ns::JABBER_CLIENT, Timeouts::tight()).await?;
    let domain = asked_domain(&accepted)?;
    let features = StreamFeatures {
        sasl_mechanisms: BTreeSet::from(["PLAIN".to_owned()]),
        ..StreamFeatures::default()
    };
    let mut stream = open(accepted, &domain, &features).await?;
    let account = log_in(&mut stream, &domain, accounts).await?;
    let success = Nonza::Success(Success { data: Vec::new() });
    let accepted = stream.accept_reset(&success).await?;
    let features = StreamFeatures {
        bind: Some(BindFeature { required: true }),
        ..StreamFeatures::default()
    };
    let mut stream = open(accepted, &domain, &features).await?;
    let jid = bind(&mut stream, &account).await?;
    Ok((stream, jid))
}

/// What a client says next; its silence is for others to bound.
pub(super) async fn next_element(stream: &mut Stream) -> io::Result<FallibleStreamElement> {
    loop {
        match stream.next().await {
            Some(Ok(element)) => return Ok(element),
            Some(Err(ReadError::SoftTimeout)) => {}
            Some(Err(ReadError::HardError(error))) => return Err(error),
            Some(Err(error)) => return Err(refused(&error.to_string())),
            None => return Err(refused("the client is gone")),
        }
    }
}

async fn open(
    accepted: AcceptedStream<Wire>,
    domain: &str,
    features: &StreamFeatures,
) -> io::Result<Stream> {
    let header = StreamHeader {
        from: Some(Cow::Borrowed(domain)),
        to: None,
        id: Some(Cow::Owned(random_word())),
    };
    accepted
        .send_header(header)
        .await?
        .send_features(features)
        .await
}

fn asked_domain(accepted: &AcceptedStream<Wire>) -> io::Result<String> {
    let to = accepted.header().to.map(Cow::into_owned);
    to.ok_or_else(|| refused("the stream's header names no domain"))
}

async fn log_in(stream: &mut Stream, domain: &str, accounts: &Accounts) -> io::Result<BareJid> {
    let element = next_element(stream).await?;
    let account = match element {
        FallibleStreamElement::Ok(XmppStreamElement::Sasl(Nonza::Auth(auth)))
            if auth.mechanism == Mechanism::Plain =>
        {
            account_of(&auth.data, domain, accounts)
        }
        _ => None,
    };
    if account.is_none() {
        let failure = Nonza::Failure(Failure {
            defined_condition: DefinedCondition::NotAuthorized,
            texts: BTreeMap::new(),
        });
        stream.send(&failure).await?;
    }
    account.ok_or_else(|| refused("no such account, or not this password, or not by PLAIN"))
}

/// Reads RFC 4616's message: authorization identity, account, password.
fn account_of(message: &[u8], domain: &str, accounts: &Accounts) -> Option<BareJid> {
    let mut parts = std::str::from_utf8(message).ok()?.split('\0');
    let (_, name, password) = (parts.next()?, parts.next()?, parts.next()?);
    let account = BareJid::new(&format!("{name}@{domain}")).ok()?;
    let known = accounts.get(&account)?;
    (known.expose_secret() == password && parts.next().is_none()).then_some(account)
}

async fn bind(stream: &mut Stream, account: &BareJid) -> io::Result<FullJid> {
    let element = next_element(stream).await?;
    let FallibleStreamElement::Ok(XmppStreamElement::Stanza(Stanza::Iq(Iq::Set {
        id,
        payload,
        ..
    }))) = element
    else {
        return Err(refused("a client must bind a resource first"));
    };
    let query = BindQuery::try_from(payload).map_err(|e| refused(&e.to_string()))?;
    let resource = query.resource.unwrap_or_else(random_word);
    let jid = account.with_resource_str(&resource);
    let jid = jid.map_err(|e| refused(&e.to_string()))?;
    let response = BindResponse { jid: jid.clone() };
    let result = Iq::from_result(id, Some(response));
    stream.send(&Stanza::from(result)).await?;
    Ok(jid)
}

fn random_word() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
