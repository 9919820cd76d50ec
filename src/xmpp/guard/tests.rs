use super::*;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

const SMALL: GuardLimits = GuardLimits {
    depth: 4,
    attribute_bytes: 20,
    name_bytes: 16,
    tag_bytes: 100,
    elements: 8,
    stanza_bytes: 200,
};

fn filtered(limits: GuardLimits, input: &[u8], chunk: usize) -> (Vec<u8>, GuardReport) {
    let report = GuardReport::default();
    let mut guard = Guard::new(limits, report.clone());
    let mut out = Vec::new();
    for bytes in input.chunks(chunk) {
        guard.feed(bytes, &mut out);
    }
    (out, report)
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
