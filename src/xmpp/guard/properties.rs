//! What must hold for every stream, whatever the chunks in which it comes.

use proptest::prelude::*;
use xmpp_parsers::minidom::rxml::{Parse, Parser, RawEvent, RawParser};

use super::tests::{HEADER, filtered, is_readable};
use super::*;

/// What one stream-level element looks like from outside.
type Outline = (String, Option<String>);

/// Elements, attributes and text in every spelling that XML has for them.
fn elements() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => "[a-z ]{0,12}",
        2 => "[ é€𐍈'\"\\]]{0,10}",
        2 => prop::sample::select(vec![
            "&amp;", "&lt;", "&#xe9;", "&#8364;", "&quot;", "<![CDATA[]]>", "<![CDATA[ </a> ]] ]>]]]]>",
            "<![CDATA[é<b>&]]>", "<e/>", "<e />", "<e></e >", "<e a=\"/>\"/>", "<e a='>' b=\"'\"/>",
            "<p:e xmlns:p='x' p:a='1'/>", "<e a='&gt;&#10;'/>", "<e a = 'x'\n b='y'\t/>",
        ]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["<!-- > -- x -->".replace("-- x", "x"), "<?p > ?>".into(), "<!---->".into()]),
        1 => odd(),
        1 => (20..60_usize).prop_map(|length| format!("<e a='{}'/>", "é".repeat(length))),
        1 => (10..40_usize).prop_map(|length| format!("<e{}/>", "e".repeat(length))),
        1 => (10..60_usize).prop_map(|length| "é".repeat(length)),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        ("[a-z]{1,8}", prop::collection::vec(inner, 0..5))
            .prop_map(|(name, content)| format!("<{name}>{}</{name}>", content.concat()))
    })
}

/// What one parser takes for XML and another may not.
fn odd() -> impl Strategy<Value = String> {
    let odd = vec![
        "<e a='1\r2'/>",
        "<e a='1\n2\t3'/>",
        "\r",
        "a\r]",
        "<xml:e/>",
        "<e xml:a=''/>",
        "<e xml:lang=''/>",
        "<e xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<e xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<e xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        "<e xmlns:xml='x'/>",
        "<e xmlns:xmlns='x'/>",
        "<e xmlns:p='http://www.w3.org/XML/1998/namespace' p:lang='en'/>",
        "<xmlns:e/>",
        "<q:e/>",
        "<e q:a=''/>",
        "<e a='' a=''/>",
        "<e xmlns:p='x' xmlns:q='x' p:a='' q:a=''/>",
        "<e xmlns:p=''/>",
        "<e xmlns=''/>",
        "<e xmlns='' a='' xmlns=''/>",
        "<e xmlns:p='x' xmlns:p='x'/>",
        "&nbsp;",
        "&#0;",
        "&#11;",
        "&#xfffe;",
        "&#xd800;",
        "\u{fffe}",
        "\u{b}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "]]>",
        "<e a='<'/>",
        "<e a='&x;'/>",
        "<:e/>",
        "<e:/>",
        "<e:f:g xmlns:e='x'/>",
        "<1/>",
        "<e 1=''/>",
        "<é/>",
        "<·/>",
        "<e a=''b=''/>",
        "<e\u{85}/>",
        "&;",
        "<stream:stream/>",
        "<stream:e stream:a=''/>",
    ];
    prop::sample::select(odd).prop_map(str::to_owned)
}

fn stanzas() -> impl Strategy<Value = (Outline, String)> {
    let attributes = prop::collection::vec(
        prop_oneof![
            Just(" type='set'".to_owned()),
            Just(" from=\"a@b/c>d\"".to_owned()),
            Just(" to='é'".to_owned()),
            (0..80_usize).prop_map(|length| format!(" long{length}='{}'", "€".repeat(length))),
            (0..80_usize).prop_map(|length| format!("{}xml:lang='de'", " ".repeat(length + 1))),
        ],
        0..4,
    );
    let name = prop::sample::select(vec!["iq", "message", "presence", "stream:features", "p:q"]);
    (
        name,
        "[a-z0-9]{0,9}",
        attributes,
        prop::collection::vec(elements(), 0..4),
        any::<bool>(),
    )
        .prop_map(|(name, id, mut attributes, content, id_last)| {
            let at = if id_last { attributes.len() } else { 0 };
            attributes.insert(at, format!(" id='{id}'"));
            if name == "p:q" {
                attributes.insert(0, " xmlns:p='x'".to_owned());
            }
            let mut seen = Vec::new();
            attributes.retain(|attribute| {
                let name = attribute.trim_start().split('=').next().unwrap().to_owned();
                let new = !seen.contains(&name);
                seen.push(name);
                new
            });
            let (attributes, content) = (attributes.concat(), content.concat());
            let stanza = if content.is_empty() {
                format!("<{name}{attributes}/>")
            } else {
                format!("<{name}{attributes}>{content}</{name}>")
            };
            ((name.to_owned(), Some(id)), stanza)
        })
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec!["<a>", "<b c='d'>", "</a>", "</b>", "<c/>", "<iq id='1'>", "</iq>"]),
        2 => prop::sample::select(vec![
            "<a", "<", ">", "/", "</", "/>", "'", "\"", "=", " ", " a='", " b=\"/>\"", "&", ";", "&amp;",
            "<!", "<![CDATA[", "]]>", "]", "<!--", "-->", "-", "<!-->", "<!--->", "<![", "<!-", "<?", "?>",
            "<?xml version='1.0'?>", "<!DOCTYPE a [<!ENTITY b '>'>]>", "<stream:stream>", "<stream:error>",
            "</stream:stream>", "<text>", ":", "\0", "\u{feff}", "\u{ffff}", "é",
        ]),
    ];
    let noise = prop::collection::vec(any::<u8>(), 0..4);
    prop_oneof![
        20 => piece.prop_map(|piece| piece.as_bytes().to_vec()),
        1 => noise,
    ]
}

fn limits() -> impl Strategy<Value = GuardLimits> {
    (
        2..9_usize,
        16..200_usize,
        16..60_usize,
        40..300_usize,
        2..30_usize,
        60..2000_usize,
    )
        .prop_map(
            |(depth, attribute_bytes, name_bytes, tag_bytes, elements, stanza_bytes)| GuardLimits {
                depth,
                attribute_bytes,
                name_bytes,
                tag_bytes,
                elements,
                stanza_bytes,
            },
        )
}

fn in_chunks(limits: GuardLimits, input: &[u8], cuts: &[prop::sample::Index]) -> Vec<u8> {
    let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    at.extend([0, input.len()]);
    at.sort_unstable();
    let mut guard = Guard::new(limits, GuardReport::default());
    let mut out = Vec::new();
    for bounds in at.windows(2) {
        guard.feed(&input[bounds[0]..bounds[1]], &mut out);
    }
    out
}

/// What the client's parser makes of a stream, as far as it gets.
#[derive(Debug, Default)]
struct Reading {
    outlines: Vec<Outline>,
    deepest: usize,
    error: Option<String>,
}

fn read(stream: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut level = 0;
    let mut parser = RawParser::default();
    let mut rest = stream;
    let end = loop {
        match parser.parse(&mut rest, true) {
            Ok(Some(RawEvent::ElementHeadOpen(_, (prefix, name)))) => {
                if level == 1 {
                    let prefix = prefix.map(|prefix| format!("{prefix}:"));
                    let name = format!("{}{name}", prefix.unwrap_or_default());
                    reading.outlines.push((name, None));
                }
                reading.deepest = reading.deepest.max(level);
                level += 1;
            }
            Ok(Some(RawEvent::Attribute(_, (None, name), value))) if level == 2 && name == "id" => {
                reading.outlines.last_mut().unwrap().1 = Some(value);
            }
            Ok(Some(RawEvent::ElementFoot(_))) => level -= 1,
            Ok(Some(_)) => {}
            Ok(None) => break namespaces_of(stream),
            Err(error) => break Err(format!("{error:?}")),
        }
    };
    reading.error = end.err();
    reading
}

/// The raw parser leaves prefixes as they are; this one does not.
fn namespaces_of(stream: &[u8]) -> Result<(), String> {
    let mut parser = Parser::default();
    let mut rest = stream;
    let mut next = || parser.parse(&mut rest, true).map_err(|e| format!("{e:?}"));
    while next()?.is_some() {}
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_stream_stays_well_formed_and_keeps_its_stanzas(
        stanzas in prop::collection::vec(stanzas(), 1..6),
        limits in limits(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let (outlines, text): (Vec<_>, Vec<_>) = stanzas.into_iter().unzip();
        let input = format!("{HEADER}{}</stream:stream>", text.join(" "));
        let (output, report) = filtered(limits, input.as_bytes(), usize::MAX);
        let shown = String::from_utf8_lossy(&output).into_owned();
        if report.cuts() == 0 {
            prop_assert_eq!(&shown, &input);
        }
        let reading = read(&output);
        prop_assert_eq!(reading.error, None, "{}", shown);
        prop_assert_eq!(reading.outlines, outlines, "{}", shown);
        prop_assert!(reading.deepest <= limits.depth + 1, "{}", shown);
        prop_assert_eq!(in_chunks(limits, input.as_bytes(), &cuts), output);
    }

    /// Whatever is not well-formed, after the log-in: the parser reads what passes.
    #[test]
    fn the_parser_reads_whatever_passes(
        pieces in prop::collection::vec(prop_oneof![piece(), odd().prop_map(String::into_bytes)], 0..80),
        limits in limits(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let start = HEADER.repeat(2).into_bytes();
        let input = [start, pieces.concat()].concat();
        let (output, _) = filtered(limits, &input, usize::MAX);
        prop_assert_eq!(in_chunks(limits, &input, &cuts), &output[..]);
        let shown = String::from_utf8_lossy(&output[HEADER.len()..]);
        prop_assert_eq!(is_readable(&output[HEADER.len()..]), Ok(()), "{}", shown);
    }

    /// The same, before the log-in: nothing harms the parser.
    #[test]
    fn garbage_does_no_harm(
        in_stream: bool,
        pieces in prop::collection::vec(piece(), 0..80),
        limits in limits(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let start = if in_stream { HEADER.as_bytes() } else { b"" };
        let input = [start, &pieces.concat()].concat();
        let (output, report) = filtered(limits, &input, usize::MAX);
        prop_assert_eq!(in_chunks(limits, &input, &cuts), &output[..]);
        let reading = read(&output);
        // Without a parser that begins anew with it, each stream but the first is a level.
        let deepest = limits.depth + MAX_HEADERS;
        prop_assert!(reading.deepest <= deepest, "{:?}", String::from_utf8_lossy(&output));
        let marks = usize::try_from(report.cuts()).unwrap();
        let closed = limits.depth * (limits.name_bytes + 3);
        prop_assert!(output.len() <= input.len() + marks * (100 + closed));
    }
}
