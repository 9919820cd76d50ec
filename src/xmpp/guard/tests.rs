use xmpp_parsers::minidom::rxml::error::EndOrError;
use xmpp_parsers::minidom::rxml::{Parse, Parser};

use super::*;

pub(super) const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

const SMALL: GuardLimits = GuardLimits {
    depth: 4,
    attribute_bytes: 20,
    name_bytes: 16,
    tag_bytes: 100,
    elements: 8,
    stanza_bytes: 200,
};

pub(super) fn filtered(limits: GuardLimits, input: &[u8], chunk: usize) -> (Vec<u8>, GuardReport) {
    let report = GuardReport::default();
    let mut guard = Guard::new(limits, report.clone());
    let mut out = Vec::new();
    for bytes in input.chunks(chunk) {
        guard.feed(bytes, &mut out);
    }
    (out, report)
}

/// Whether the client's parser reads all of a stream so far, of one stream after the log-in.
pub(super) fn is_readable(stream: &[u8]) -> Result<(), String> {
    let mut parser = Parser::default();
    let mut rest = stream;
    loop {
        match parser.parse(&mut rest, false) {
            Ok(Some(_)) => {}
            Ok(None) | Err(EndOrError::NeedMoreData) => return Ok(()),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
}

/// What goes out for `stanza`, fed whole and byte by byte, between two others that must not change.
fn after(limits: GuardLimits, stanza: &str) -> String {
    let before = format!("{HEADER}<r xmlns='urn:xmpp:sm:3'/> \n");
    let input = format!("{before}{stanza}<presence/>");
    let (whole, _) = filtered(limits, input.as_bytes(), usize::MAX);
    let (bytewise, _) = filtered(limits, input.as_bytes(), 1);
    let whole = String::from_utf8(whole).unwrap();
    assert_eq!(whole.as_bytes(), bytewise, "{whole}");
    let middle = whole.strip_prefix(&before).unwrap();
    middle.strip_suffix("<presence/>").unwrap().to_owned()
}

fn cut(limit: &str) -> String {
    format!("<cut xmlns='urn:gristmill:guard:0' limit='{limit}'/>")
}

#[test]
fn what_is_within_the_limits_is_not_touched() {
    for stanza in [
        "<message from='a@b/c' to=\"d@e\"><body>x</body></message>",
        "<message ><body/></message >",
        "<iq id='a>b'><q c='/>'/></iq>",
        "<iq id='1'><q c=\"it's\" d='&quot;' /></iq>",
        "<message><body>a &amp; b ]] &#x10ffff;</body></message>",
        "<message><body><![CDATA[</body> ]] ]>]]]]><![CDATA[]]></body></message>",
        "<a:message xmlns:a='jabber:x'><a:b/></a:message>",
        "<message><b><c><d/></c></b></message>",
        "<message><body>\u{10ffff}é</body></message>",
        "<stream:features><mechanisms xmlns='a'/></stream:features>",
        "<success xmlns='urn:ietf:params'>dj1h</success>",
        "<message/>  <iq/>",
    ] {
        assert_eq!(after(SMALL, stanza), stanza);
    }
}

#[test]
fn a_stanza_over_a_limit_stays_one_stanza() {
    for (stanza, wanted) in [
        (
            "<message><b><c><d><e/></d></c></b>x</message>",
            format!("<message><b><c><d></d></c></b>{}</message>", cut("depth")),
        ),
        (
            "<iq type='get'><b><c><d><e/><f></f></d></c></b></iq>",
            format!("<iq type='get'><b><c><d></d></c>{}</b></iq>", cut("depth")),
        ),
        (
            "<iq><b c='123456789012345678901'/></iq>",
            format!("<iq>{}</iq>", cut("attribute")),
        ),
        (
            "<message><b c='12345678901234567890' d='1'/><e f='123456789012345678901'>g</e><h/></message>",
            format!(
                "<message><b c='12345678901234567890' d='1'/>{}</message>",
                cut("attribute")
            ),
        ),
        (
            "<message><abcdefghijklmnopq/></message>",
            format!("<message>{}</message>", cut("name")),
        ),
        (
            "<message><a abcdefghijklmnopq='1'/></message>",
            format!("<message>{}</message>", cut("name")),
        ),
        (
            "<message><a/><a/><a/><a/><a/><a/><a/><a/><a/></message>",
            format!(
                "<message><a/><a/><a/><a/><a/><a/><a/>{}</message>",
                cut("elements")
            ),
        ),
        (
            "<message><a>x<!-- > --></a><b/></message>",
            format!("<message><a>x</a>{}</message>", cut("markup")),
        ),
        (
            "<message><a>x<?p > ?></a><!DOCTYPE b></message>",
            format!("<message><a>x</a>{}</message>", cut("markup")),
        ),
    ] {
        assert_eq!(after(SMALL, stanza), wanted);
    }
}

#[test]
fn what_the_parser_cannot_read_is_replaced() {
    let unreadable = cut("unreadable");
    for (stanza, wanted) in [
        (
            "<message id='1' to='a'><c a='1\r2'/><body>x</body></message>",
            format!("<message id='1' to='a'>{unreadable}</message>"),
        ),
        (
            "<iq type='set' id='1\r2' x='3\r4'><q/></iq>",
            format!("<iq type='set' id='1&#13;2'>{unreadable}</iq>"),
        ),
        (
            "<iq type='set' id='7'><q><a xmlns='http://www.w3.org/XML/1998/namespace'/></q></iq>",
            format!("<iq type='set' id='7'>{unreadable}</iq>"),
        ),
        (
            "<presence from='a'><x:b/></presence>",
            format!("<presence from='a'>{unreadable}</presence>"),
        ),
        (
            "<p:iq id='1' id='1' xmlns:p='x'/>",
            format!("<p:iq xmlns:p='x' id='1'>{unreadable}</p:iq>"),
        ),
        // What has no readable name is no stanza.
        ("<p:iq id='1'/>", String::new()),
        ("<iq xmlns='a\r2'/>", String::new()),
    ] {
        let input = format!("{HEADER}{stanza}<presence/>");
        for chunk in [1, 7, usize::MAX] {
            let (output, report) = filtered(GuardLimits::default(), input.as_bytes(), chunk);
            let output = String::from_utf8(output).unwrap();
            assert_eq!(output, format!("{HEADER}{wanted}<presence/>"));
            assert_eq!((is_readable(output.as_bytes()), report.cuts()), (Ok(()), 1));
        }
    }
}

/// A cut can be as unreadable as what was cut.
#[test]
fn a_cut_stanza_is_proved_as_well() {
    let stanza = "<message id='1'><a b='1\r2'/><b><c><d><e/></d></c></b></message>";
    let input = format!("{HEADER}{stanza}<presence/>");
    let (output, report) = filtered(SMALL, input.as_bytes(), usize::MAX);
    let wanted = format!(
        "{HEADER}<message id='1'>{}</message><presence/>",
        cut("unreadable")
    );
    assert_eq!(String::from_utf8(output).unwrap(), wanted);
    assert_eq!(report.cuts(), 1);
}

#[test]
fn one_parser_is_in_use() {
    let packages = include_str!("../../../Cargo.lock");
    assert_eq!(packages.matches("name = \"rxml\"\n").count(), 1);
}

#[test]
fn what_is_swallowed_is_understood() {
    for rest in [
        "<![CDATA[</message>]]>",
        "<!-- </message> -->",
        "<?p </message> ?>",
        "<x y='</message>' z=\"'/>\"/>",
        "<message></message>",
        "<message/>",
        "</b >",
    ] {
        let open = if rest == "</b >" { "<b>" } else { "" };
        let stanza = format!("<message>{open}<abcdefghijklmnopq/>{rest}</message>");
        let close = if open.is_empty() { "" } else { "</b>" };
        let wanted = format!("<message>{open}{close}{}</message>", cut("name"));
        assert_eq!(after(SMALL, &stanza), wanted);
    }
}

#[test]
fn an_over_long_tag_of_a_stanza_keeps_what_its_answer_needs() {
    let long = "x".repeat(21);
    let spaces = " ".repeat(100);
    for (stanza, wanted) in [
        (
            format!("<iq type='set' lang='{long}' id='7' from=\"a@b/c\" x='1' to='d'><q/></iq>"),
            format!(
                "<iq type='set' id='7' from=\"a@b/c\" to='d'>{}</iq>",
                cut("attribute")
            ),
        ),
        (
            format!("<iq id='{long}' type='get'/>"),
            format!("<iq type='get'>{}</iq>", cut("attribute")),
        ),
        (
            format!("<message {spaces} id = 'a>b' {spaces} type='chat' {spaces}>x</message>"),
            format!("<message id = 'a>b' type='chat'>{}</message>", cut("tag")),
        ),
        (
            "<iq a='1' abcdefghijklmnopq='1' id='1'/>".into(),
            format!("<iq id='1'>{}</iq>", cut("name")),
        ),
        (
            format!("<p:iq x='{long}' xmlns:q='b' xmlns:p='a' id='1'/>"),
            format!("<p:iq xmlns:p='a' id='1'>{}</p:iq>", cut("attribute")),
        ),
        // What has lost its namespace, or has no name, is no stanza: nobody counts it.
        (
            format!("<p:iq id='1' xmlns:p='{long}'><a/></p:iq>"),
            String::new(),
        ),
        (format!("<iq xmlns='{long}'><a/></iq>"), String::new()),
        (
            "<abcdefghijklmnopq id='1'><a/></abcdefghijklmnopq>".into(),
            String::new(),
        ),
    ] {
        assert_eq!(after(SMALL, &stanza), wanted);
    }
}

#[test]
fn an_endless_stanza_is_cut_between_characters() {
    let limits = GuardLimits {
        stanza_bytes: 34,
        ..SMALL
    };
    for (text, kept) in [
        ("1234567890123456789", "1234567890123456789"),
        ("12345678901234567890", "12345678901234567890"),
        ("123456789012345678901", "12345678901234567890"),
        ("1234567890123456789é1", "1234567890123456789é"),
        (
            "1234567890123456789\u{10ffff}1",
            "1234567890123456789\u{10ffff}",
        ),
        ("123456789012345678&amp;9", "123456789012345678"),
        ("12345678<![CDATA[901]]>", "12345678<![CDATA[901]]>"),
        ("12345678<![CDATA[9012345]]>", "12345678<![CDATA[901]]>"),
        ("12345678<![CDATA[90]]]]>", "12345678<![CDATA[90]]]>"),
        ("12345678901<![CDATA[2]]>", "12345678901<![CDATA[]]>"),
        ("123456789012<![CDATA[3]]>", "123456789012"),
        ("1234567890123456<![CDATA[90]]]]>", "1234567890123456"),
    ] {
        let stanza = format!("<message><b><c>{text}</c></b></message>");
        let limits = GuardLimits {
            stanza_bytes: limits.stanza_bytes + 1,
            ..limits
        };
        let cut = cut("stanza");
        let wanted = format!("<message><b><c>{kept}</c></b>{cut}</message>");
        assert_eq!(after(limits, &stanza), wanted, "{text}");
    }
}

#[test]
fn a_bare_failed_is_mended() {
    for (element, wanted) in [
        (
            "<failed xmlns='urn:xmpp:sm:3'/>",
            "<failed h='0' xmlns='urn:xmpp:sm:3'/>",
        ),
        (
            "<sm:failed\txmlns:sm = \"urn:xmpp:sm:3\"><item-not-found xmlns='x'/></sm:failed>",
            "<sm:failed h='0'\txmlns:sm = \"urn:xmpp:sm:3\"><item-not-found xmlns='x'/></sm:failed>",
        ),
        (
            "<failed h='3' xmlns='urn:xmpp:sm:3'/>",
            "<failed h='3' xmlns='urn:xmpp:sm:3'/>",
        ),
        ("<failed xmlns='other'/>", "<failed xmlns='other'/>"),
        (
            "<iq><failed xmlns='urn:xmpp:sm:3'/></iq>",
            "<iq><failed xmlns='urn:xmpp:sm:3'/></iq>",
        ),
    ] {
        assert_eq!(after(SMALL, element), wanted);
    }
}

#[test]
fn a_stream_error_is_reported() {
    let error = |condition: &str, text: &str| StreamError {
        condition: condition.into(),
        text: text.into(),
    };
    let ns = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";
    for (inside, wanted) in [
        (format!("<conflict {ns}/>"), error("conflict", "")),
        (
            format!("<text {ns}>Rep&lt;aced\u{e9} b&#121;</text><conflict {ns}/>"),
            error("conflict", "Rep<acedé by"),
        ),
        (String::new(), error("", "")),
    ] {
        let input = format!("{HEADER}<stream:error>{inside}</stream:error></stream:stream>");
        for chunk in [1, 7, usize::MAX] {
            let limits = GuardLimits::default();
            let (output, report) = filtered(limits, input.as_bytes(), chunk);
            assert_eq!(output, input.as_bytes());
            assert_eq!(report.take_stream_error(), Some(wanted.clone()));
            assert_eq!(report.take_stream_error(), None);
        }
    }
}

#[test]
fn a_stream_begins_anew_after_the_log_in() {
    let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    let input = format!("{HEADER}{success}{HEADER}<iq><a><b><c><d/></c></b></a></iq>");
    let limits = GuardLimits {
        depth: 4,
        ..GuardLimits::default()
    };
    let (output, report) = filtered(limits, input.as_bytes(), 1);
    let cut = cut("depth");
    let wanted = format!("{HEADER}{success}{HEADER}<iq><a><b><c></c></b>{cut}</a></iq>");
    assert_eq!(String::from_utf8(output).unwrap(), wanted);
    assert_eq!(report.cuts(), 1);
}

/// Counts steps and the bytes that they looked at, for what must take linear time.
#[test]
fn work_is_linear_in_size() {
    let many = |piece: &str, number: usize| piece.repeat(number);
    for (name, stanza) in [
        ("deep", many("<a>", 100_000)),
        ("wide", many("<a/>", 100_000)),
        ("one attribute", format!("<a b='{}", many("x", 400_000))),
        ("many attributes", format!("<a{}", many(" b='c'", 60_000))),
        ("vital attributes", many(" id='c'", 60_000)),
        ("spaces", many(" ", 400_000)),
        ("a name", format!("<{}", many("x", 400_000))),
        ("references", many("&amp;", 80_000)),
        ("openings", many("<![CDATA[]]>", 40_000)),
        ("brackets", format!("<![CDATA[{}", many("]", 400_000))),
        ("comments", many("<!-->-->", 50_000)),
        ("quotes", format!("<a {}", many("='\"'\"", 50_000))),
    ] {
        for start in ["<message>", "<message", "<iq id='1'><q>"] {
            let input = format!("{HEADER}{start}{stanza}");
            let mut guard = Guard::new(GuardLimits::default(), GuardReport::default());
            let mut out = Vec::new();
            for chunk in input.as_bytes().chunks(1000) {
                guard.feed(chunk, &mut out);
            }
            let allowed = 4 * input.len();
            assert!(guard.work <= allowed, "{name}: {} > {allowed}", guard.work);
            assert!(
                guard.held.len() <= 64 * 1024,
                "{name}: {}",
                guard.held.len()
            );
        }
    }
}
