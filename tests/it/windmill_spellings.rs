//! One document in many spellings is one call.

use gristmill::windmill::{
    Call, CallKind, Limits, ReadError, Request, Submission, peek_id, peek_kind, read_call, read_job,
};
use rstest::rstest;

fn read(document: &str) -> Result<Request, ReadError> {
    let limits = Limits {
        max_bytes: 1 << 20,
        max_jobs: 10,
    };
    read_call(document.as_bytes(), &limits)
}

fn call(document: &str) -> Call {
    let request = read(document);
    request
        .unwrap_or_else(|error| panic!("{error}\n{document}"))
        .call
}

const PLAIN: &str = r#"<executeJobs xmlns="urn:windmill:executor:1" id="s-18"><job jobID="a&amp;b" attempt="2"><jobName>n</jobName><priority>-5</priority><transformation><transUses>Atlas-8.0.5</transUses><transPath>share/x.trf</transPath></transformation><jobPars>1 &lt; 2  'x' "y"</jobPars><requirements><cpuCount unit="kSI2kseconds">60000</cpuCount></requirements><inputs><file logicalFileName="f" dataset="d"/></inputs><stdout logicalFileName="o"/></job></executeJobs>"#;

/// The same job under other names.
fn namespaces() -> Vec<(&'static str, String)> {
    let no_namespace = PLAIN.replace(r#" xmlns="urn:windmill:executor:1""#, "");
    let prefixed = no_namespace
        .replace("</", "</w:")
        .replace('<', "<w:")
        .replace("<w:/w:", "</w:")
        .replace(
            "<w:executeJobs",
            "<w:executeJobs xmlns:w='urn:windmill:executor:1'",
        );
    vec![
        ("no namespace", no_namespace.clone()),
        (
            "the stream's namespace",
            PLAIN.replace("urn:windmill:executor:1", "jabber:client"),
        ),
        ("a prefix", prefixed.clone()),
        (
            "a prefix, and a foreign default namespace",
            prefixed
                .replace("xmlns:w=", "xmlns='urn:other' xmlns:w=")
                .replace("<w:jobName>", "<jobName>foreign</jobName><w:jobName>"),
        ),
        (
            "qualified attributes",
            prefixed
                .replace(" jobID=", " w:jobID=")
                .replace(" attempt=", " w:attempt="),
        ),
    ]
}

/// The same job in other characters.
fn characters() -> Vec<(&'static str, String)> {
    let no_namespace = PLAIN.replace(r#" xmlns="urn:windmill:executor:1""#, "");
    let spaced = PLAIN.replace("><", ">\r\n\t <");
    vec![
        (
            "single quotes",
            no_namespace
                .replace("\"a&amp;b\"", "'a&amp;b'")
                .replace("\"2\"", "'2'"),
        ),
        ("a byte order mark", format!("\u{FEFF}{PLAIN}")),
        (
            "an XML declaration",
            format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n{PLAIN}"),
        ),
        ("white space around", format!(" \r\n\t{PLAIN}\n\n")),
        ("white space within", spaced),
        (
            "attributes in another order",
            PLAIN.replace(
                r#"jobID="a&amp;b" attempt="2""#,
                "\n attempt = \"2\"\n\tjobID\n=\n'a&amp;b'\n",
            ),
        ),
        ("jobId", PLAIN.replace("jobID=", "jobId=")),
        ("jobid", PLAIN.replace("jobID=", "jobid=")),
        (
            "other references",
            PLAIN
                .replace("a&amp;b", "&#97;&#x26;b")
                .replace("1 &lt; 2", "&#49; &#60; 2"),
        ),
        (
            "CDATA",
            PLAIN.replace("1 &lt; 2  'x' \"y\"", "<![CDATA[1 < 2  'x' \"y\"]]>"),
        ),
        (
            "mixed CDATA",
            PLAIN.replace("1 &lt; 2", "\n1 <![CDATA[<]]> 2"),
        ),
    ]
}

/// The same job among what is ignored.
fn ignored() -> Vec<(&'static str, String)> {
    vec![
        (
            "comments",
            PLAIN
                .replace("><", "><!-- <job jobID='7'/> &own; --><")
                .replace("Atlas", "At<!---->las"),
        ),
        (
            "instructions",
            format!("<?go on?>{}<?off?>", PLAIN.replace("><", "><?a b?><")),
        ),
        (
            "unknown elements",
            PLAIN.replace(
                "<jobPars>",
                "<new a='1'><jobPars>x</jobPars></new>text<jobPars>",
            ),
        ),
        (
            "unknown attributes",
            PLAIN.replace("<job ", "<job new='1' xml:lang='en' "),
        ),
        (
            "foreign elements and attributes",
            PLAIN
                .replace("<executeJobs ", "<executeJobs xmlns:x='urn:x' ")
                .replace("<job ", "<job x:jobID='9' ")
                .replace("<jobPars>", "<x:jobPars>x</x:jobPars><jobPars>")
                .replace(
                    "<file ",
                    "<y:file xmlns:y='urn:y' logicalFileName='z'/><file ",
                ),
        ),
        (
            "empty elements in two tags",
            PLAIN.replace("dataset=\"d\"/>", "dataset=\"d\"></file >"),
        ),
        (
            "defaults written out",
            PLAIN.replace("<inputs>", "<outputs/><inputs>"),
        ),
    ]
}

#[test]
fn a_job_in_many_spellings_is_one_job() {
    let Call::ExecuteJobs(jobs) = call(PLAIN) else {
        panic!("another call");
    };
    let [Submission::Good(plain)] = jobs.as_slice() else {
        panic!("refused");
    };
    let spec = read_job(&plain.xml).unwrap();
    assert_eq!(spec.parameters, "1 < 2  'x' \"y\"");
    assert_eq!(spec.key.to_string(), "a&b#2");
    assert_eq!(spec.requirements.cpu.as_ref().unwrap().value, 60000);
    assert_eq!(
        (&plain.key, plain.content),
        (&spec.key, spec.content_hash())
    );
    for (spelling, document) in namespaces()
        .into_iter()
        .chain(characters())
        .chain(ignored())
    {
        let request = read(&document).unwrap_or_else(|error| panic!("{spelling}: {error}"));
        assert_eq!(request.id.as_deref(), Some("s-18"), "{spelling}");
        let Call::ExecuteJobs(jobs) = request.call else {
            panic!("{spelling}");
        };
        let [Submission::Good(job)] = jobs.as_slice() else {
            panic!("{spelling}: {jobs:?}");
        };
        assert_eq!(
            (&job.key, job.priority, job.content),
            (&plain.key, plain.priority, plain.content),
            "{spelling}"
        );
        assert_eq!(
            read_job(&job.xml).as_ref(),
            Ok(&spec),
            "{spelling}: {}",
            job.xml
        );
        assert_eq!(
            peek_kind(&document),
            Some(CallKind::ExecuteJobs),
            "{spelling}"
        );
    }
}

#[rstest]
#[case("<getStatus><job jobID='1' taskBufferRecordID='2'/></getStatus>")]
#[case("<getStatus><job jobid=' 1 ' recordID=' 2 '/></getStatus>")]
#[case("<getStatus><ignored/>x<job recordID='2' jobId='1'><y/>x</job></getStatus>")]
#[case(
    "<g:getStatus xmlns:g='urn:windmill:executor:1'><g:job jobID='1' g:recordID='02'/></g:getStatus>"
)]
fn a_query_in_many_spellings(#[case] document: &str) {
    let plain =
        "<getStatus xmlns='urn:windmill:executor:1'><job jobID='1' recordID='2'/></getStatus>";
    assert_eq!(call(document), call(plain));
}

#[rstest]
#[case("numJobsWanted", CallKind::NumJobsWanted)]
#[case("numJobWanted", CallKind::NumJobsWanted)]
#[case("getExecutorData", CallKind::GetExecutorData)]
#[case("getStatus", CallKind::GetStatus)]
#[case("killJobs", CallKind::KillJobs)]
#[case("killJob", CallKind::KillJobs)]
#[case("fixJobs", CallKind::FixJobs)]
#[case("fixJob", CallKind::FixJobs)]
#[case("ack", CallKind::Ack)]
fn roots(#[case] root: &str, #[case] kind: CallKind) {
    let document = format!("<{root}><job jobID='1' recordID='2' change='3'/></{root}>");
    assert_eq!(call(&document).kind(), kind);
    assert_eq!(peek_kind(&document), Some(kind));
}

#[test]
fn peeking_looks_no_further_than_the_first_tag() {
    let start = "\u{FEFF}\n<?xml version='1.0'?><!-- x -->\n<executeJobs xmlns='jabber:client'>";
    assert_eq!(
        peek_kind(&format!("{start}</nonsense>&&&")),
        Some(CallKind::ExecuteJobs)
    );
    let named = peek_id("<w:getStatus xmlns:w='urn:windmill:executor:1' a='1' id='a&amp;b'><");
    assert_eq!(named.as_deref(), Some("a&b"));
    for other in [
        "",
        "<",
        "<executeJobs",
        "text",
        "<x/>",
        "<executeJobs xmlns='urn:x'/>",
        "<!DOCTYPE a><getStatus/>",
    ] {
        assert_eq!(peek_kind(other), None, "{other}");
        assert_eq!(peek_id(other), None, "{other}");
    }
}
