//! What any entity may ask of another one on Jabber, and what it is told.

use std::collections::{BTreeMap, BTreeSet};

use xmpp_parsers::disco::{DiscoInfoQuery, DiscoInfoResult, DiscoItemsResult, Identity};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::minidom::Element;
use xmpp_parsers::ns;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};
use xmpp_parsers::version::VersionResult;

use crate::windmill;

/// The answer to a ping, or to a question who and what we are; `None` for all else.
pub(super) fn answer(iq: &Iq) -> Option<Iq> {
    let Iq::Get { payload, .. } = iq else {
        return None;
    };
    if payload.is("ping", ns::PING) {
        Some(result(iq, None))
    } else if payload.is("query", ns::DISCO_INFO) {
        Some(answer_info(iq, payload))
    } else if payload.is("query", ns::DISCO_ITEMS) {
        Some(result(iq, Some(no_items().into())))
    } else if payload.is("query", ns::VERSION) {
        Some(result(iq, Some(version().into())))
    } else {
        None
    }
}

/// Nobody here answers that: also what strangers are told, whatever they ask.
pub(super) fn unavailable(iq: &Iq) -> Iq {
    refusal(iq, ErrorType::Cancel, DefinedCondition::ServiceUnavailable)
}

/// An error without words; nothing of what was asked is in it.
pub(super) fn refusal(iq: &Iq, kind: ErrorType, condition: DefinedCondition) -> Iq {
    error(
        iq,
        StanzaError {
            type_: kind,
            by: None,
            defined_condition: condition,
            texts: BTreeMap::new(),
            other: None,
        },
    )
}

fn error(iq: &Iq, error: StanzaError) -> Iq {
    Iq::Error {
        from: None,
        to: iq.from().cloned(),
        id: iq.id().to_owned(),
        error,
        payload: None,
    }
}

fn result(iq: &Iq, payload: Option<Element>) -> Iq {
    Iq::Result {
        from: None,
        to: iq.from().cloned(),
        id: iq.id().to_owned(),
        payload,
    }
}

fn answer_info(iq: &Iq, payload: &Element) -> Iq {
    match DiscoInfoQuery::try_from(payload.clone()) {
        Ok(DiscoInfoQuery { node: None }) => result(iq, Some(info().into())),
        Ok(_) => refusal(iq, ErrorType::Cancel, DefinedCondition::ItemNotFound),
        Err(_) => refusal(iq, ErrorType::Modify, DefinedCondition::BadRequest),
    }
}

fn info() -> DiscoInfoResult {
    let features = [
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::PING,
        ns::VERSION,
        windmill::NAMESPACE,
    ];
    DiscoInfoResult {
        node: None,
        identities: vec![Identity::new("client", "bot", "en", "gristmill")],
        features: BTreeSet::from(features.map(str::to_owned)),
        extensions: Vec::new(),
    }
}

fn no_items() -> DiscoItemsResult {
    DiscoItemsResult {
        node: None,
        items: Vec::new(),
        rsm: None,
    }
}

/// The operating system is nobody's business.
fn version() -> VersionResult {
    VersionResult {
        name: "gristmill".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        os: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iq(kind: &str, payload: &str) -> Iq {
        let text =
            format!("<iq xmlns='jabber:client' type='{kind}' from='a@b/c' id='7'>{payload}</iq>");
        Iq::try_from(text.parse::<Element>().unwrap()).unwrap()
    }

    fn answered(payload: &str) -> Option<Iq> {
        answer(&iq("get", payload))
    }

    #[test]
    fn a_ping_is_answered_by_its_id() {
        let Some(Iq::Result {
            to, id, payload, ..
        }) = answered("<ping xmlns='urn:xmpp:ping'/>")
        else {
            panic!("no result");
        };
        assert_eq!((to.unwrap().as_str(), id.as_str()), ("a@b/c", "7"));
        assert_eq!(payload, None);
    }

    #[test]
    fn our_language_is_a_feature() {
        let Some(Iq::Result { payload, .. }) =
            answered("<query xmlns='http://jabber.org/protocol/disco#info'/>")
        else {
            panic!("no result");
        };
        let info = DiscoInfoResult::try_from(payload.unwrap()).unwrap();
        assert!(info.features.contains("urn:windmill:executor:1"));
        assert_eq!(info.identities[0].category, "client");
    }

    #[test]
    fn we_have_no_nodes() {
        let query = "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>";
        let Some(Iq::Error { error, .. }) = answered(query) else {
            panic!("no error");
        };
        assert_eq!(error.defined_condition, DefinedCondition::ItemNotFound);
    }

    #[test]
    fn the_version_names_no_system() {
        let Some(Iq::Result { payload, .. }) = answered("<query xmlns='jabber:iq:version'/>")
        else {
            panic!("no result");
        };
        let version = VersionResult::try_from(payload.unwrap()).unwrap();
        assert_eq!((version.name.as_str(), version.os), ("gristmill", None));
    }

    #[test]
    fn all_else_is_for_others_to_answer() {
        assert_eq!(answered("<query xmlns='jabber:iq:roster'/>"), None);
        assert_eq!(answer(&iq("set", "<ping xmlns='urn:xmpp:ping'/>")), None);
        let refused = unavailable(&iq("set", "<x xmlns='y'>secret</x>"));
        let text = tokio_xmpp::PrintRawXml(&refused).to_string();
        assert!(text.contains("service-unavailable") && !text.contains("secret"));
        assert!(text.contains("a@b/c"));
    }
}
