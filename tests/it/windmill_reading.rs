//! Documents that are refused, in part or whole, and what is kept of the others.

use gristmill::job::{Attempt, ContentHash, JobId};
use gristmill::windmill::{
    Call, CallKind, FaultCode, JobQuery, Limits, ReadError, RecordRef, RefusedJob, Request,
    Submission, open_call, read_call, read_job,
};
use rstest::rstest;

const LIMITS: Limits = Limits {
    max_bytes: 1 << 20,
    max_jobs: 3,
};

fn read(document: &str) -> Result<Request, ReadError> {
    read_call(document.as_bytes(), &LIMITS)
}

fn calls(document: &str) -> Call {
    read(document)
        .unwrap_or_else(|error| panic!("{error}\n{document}"))
        .call
}

fn submissions(document: &str) -> Vec<Submission> {
    match calls(document) {
        Call::ExecuteJobs(submissions) => submissions,
        other => panic!("{other:?}"),
    }
}

/// Each kept `<job>` is what was sent, byte for byte, unless it would be read differently alone.
#[rstest]
#[case("", "<job jobID='1' >%</job>", "<job jobID='1' >%</job>")]
#[case(
    "xmlns='urn:windmill:executor:1' xmlns:x='urn:x'",
    "<job jobID='1'>%</job >",
    "<job jobID='1'>%</job >"
)]
#[case(
    "xmlns:x='u\"&amp;r'",
    "<job\njobID='1'><x:y/>%</job>",
    "<job xmlns:x=\"u&quot;&amp;r\"\njobID='1'><x:y/>%</job>"
)]
#[case(
    "xmlns:x='urn:x'",
    "<job jobID='1' x:a='b'>%</job>",
    "<job xmlns:x=\"urn:x\" jobID='1' x:a='b'>%</job>"
)]
#[case(
    "xmlns:x='urn:x'",
    "<job jobID='1' xmlns:x='urn:y'><x:z/>%</job>",
    "<job jobID='1' xmlns:x='urn:y'><x:z/>%</job>"
)]
#[case(
    "xmlns:x='urn:windmill:executor:1'",
    "<job jobID='1'><x:jobName>n</x:jobName>%</job>",
    "<job xmlns:x=\"urn:windmill:executor:1\" jobID='1'><x:jobName>n</x:jobName>%</job>"
)]
fn kept_jobs(#[case] bindings: &str, #[case] job: &str, #[case] kept: &str) {
    let content = "<transformation><transPath>p</transPath></transformation><jobPars/>";
    let job = job.replace('%', content);
    let jobs = submissions(&format!(
        "<executeJobs {bindings}><!-- -->{job} </executeJobs>"
    ));
    let Submission::Good(good) = &jobs[0] else {
        panic!("{jobs:?}");
    };
    assert_eq!(good.xml, kept.replace('%', content));
    assert_eq!(read_job(&good.xml).unwrap().content_hash(), good.content);
}

/// What is known is taken as it is where the XML is the very same, and only there.
#[test]
fn a_known_job_is_not_read_again() {
    let document = |bindings: &str, parameters: &str| {
        format!(
            "<executeJobs {bindings}><job jobID='1'><transformation><transPath>p</transPath>\
             </transformation><jobPars>{parameters}</jobPars><x:jobName>n</x:jobName></job>\
             <job jobID='2' attempt=' 3 '>{FINE}</job></executeJobs>"
        )
    };
    let foreign = "xmlns:x='urn:x'";
    let first = document(foreign, "a");
    let known = submissions(&first).into_iter().map(|submission| {
        let Submission::Good(mut job) = submission else {
            panic!("{submission:?}");
        };
        job.content = ContentHash([7; 32]);
        Some(*job)
    });
    let known: Vec<_> = known.collect();
    let is_taken = |document: &str, known| {
        let call = open_call(document.as_bytes(), &LIMITS).unwrap();
        let keys = call.job_keys();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[1].to_string(), "2#3");
        let Call::ExecuteJobs(jobs) = call.read(known).unwrap().call else {
            panic!("another call");
        };
        [0, 1].map(|place: usize| match &jobs[place] {
            Submission::Good(job) => job.content == ContentHash([7; 32]),
            Submission::Refused(_) => panic!("{jobs:?}"),
        })
    };
    assert_eq!(is_taken(&first, known.clone()), [true, true]);
    assert_eq!(
        is_taken(&document(foreign, "b"), known.clone()),
        [false, true]
    );
    // The same bytes, which mean something else here.
    let ours = "xmlns:x='urn:windmill:executor:1'";
    assert_eq!(is_taken(&document(ours, "a"), known.clone()), [false, true]);
    assert_eq!(is_taken(&first, vec![None]), [false, false]);
    let twice = first.replace("jobID='2' attempt=' 3 '", "jobID='1'");
    let call = open_call(twice.as_bytes(), &LIMITS).unwrap();
    let error = call.read(vec![known[0].clone(), None]).unwrap_err();
    assert_eq!(error.code, FaultCode::Invalid);
}

/// Where one has no name, or the call stores nothing, none is told.
#[test]
fn names_are_told_where_all_are_there() {
    let keys = |document: &str| open_call(document.as_bytes(), &LIMITS).unwrap().job_keys();
    assert!(keys("<executeJobs><job jobID='1'/><job/></executeJobs>").is_empty());
    assert!(keys("<executeJobs><job jobID='1' attempt='0'/></executeJobs>").is_empty());
    assert!(keys("<getExecutorData><job jobID='1'/></getExecutorData>").is_empty());
}

const FINE: &str = "<transformation><transPath>p</transPath></transformation><jobPars/>";

#[rstest]
#[case("<job>%</job>", "missing-field", "jobID is missing")]
#[case("<job jobID=' '>%</job>", "missing-field", "jobID is empty")]
#[case(
    "<job jobID='a&#9;b'>%</job>",
    "invalid-field",
    "jobID contains a control character"
)]
#[case(
    "<job jobID='1' jobid='2'>%</job>",
    "invalid-field",
    "jobID is given twice"
)]
#[case(
    "<job jobID='1' attempt='0'>%</job>",
    "invalid-field",
    "attempt is not a whole number from 1 to 4294967295"
)]
#[case("<job jobID='1'/>", "missing-field", "transPath is missing")]
#[case(
    "<job jobID='1'><transformation><transPath> </transPath></transformation><jobPars/></job>",
    "missing-field",
    "transPath is empty"
)]
#[case(
    "<job jobID='1'><transformation><transPath>p</transPath></transformation></job>",
    "missing-field",
    "jobPars is missing"
)]
#[case(
    "<job jobID='1'>%<jobPars/></job>",
    "invalid-field",
    "jobPars is given twice"
)]
#[case(
    "<job jobID='1'>%<jobName>a<b/>c</jobName></job>",
    "invalid-field",
    "jobName holds elements, where only text can be"
)]
#[case(
    "<job jobID='1'>%<priority>high</priority></job>",
    "invalid-field",
    "priority is not a whole number that fits"
)]
#[case(
    "<job jobID='1'>%<requirements><ramCount>-1</ramCount></requirements></job>",
    "invalid-field",
    "ramCount is not a whole number that fits"
)]
#[case(
    "<job jobID='1'>%<inputs><file/></inputs></job>",
    "missing-field",
    "file has no logicalFileName"
)]
#[case(
    "<job jobID='1'>%<stdout logicalFileName=''/></job>",
    "missing-field",
    "stdout has no logicalFileName"
)]
#[case(
    "<job jobID='1'><transformation><transPath>p</transPath></transformation>\
     <jobPars>a 'b</jobPars></job>",
    "invalid-field",
    "jobPars has a quote that is not closed, or ends in a backslash"
)]
#[case(
    "<job jobID='1'>%<outputs><file logicalFileName='../x'/></outputs></job>",
    "invalid-field",
    "\"../x\" cannot be the name of a file (output)"
)]
#[case(
    "<job jobID='1'>%<stdout logicalFileName='logs/x'/></job>",
    "invalid-field",
    "\"logs/x\" cannot be the name of a file (stdout)"
)]
#[case(
    "<job jobID='1'><transformation><transPath>/bin/sh</transPath></transformation><jobPars/></job>",
    "invalid-field",
    "\"/bin/sh\" leads out of the folders: a program's path is relative and has no `..`"
)]
fn a_bad_job_never_blocks_good_ones(#[case] bad: &str, #[case] code: &str, #[case] text: &str) {
    let bad = bad.replace('%', FINE);
    let document = format!(
        "<executeJobs><job jobID='0'>{FINE}</job>{bad}<job jobID='9'>{FINE}</job></executeJobs>"
    );
    let jobs = submissions(&document);
    let [
        Submission::Good(_),
        Submission::Refused(refused),
        Submission::Good(_),
    ] = jobs.as_slice()
    else {
        panic!("{jobs:?}");
    };
    assert_eq!(
        (refused.reason.code.as_str(), refused.reason.text.as_str()),
        (code, text)
    );
    assert_eq!(refused.index, 2);
}

#[test]
fn fields_have_limits() {
    let long = |field: &str| field.replace('~', &"é".repeat(1025));
    let file = "<inputs><file logicalFileName='~'/></inputs>";
    for field in ["<jobName>~</jobName>", file] {
        let document = format!(
            "<executeJobs><job jobID='1'>{FINE}{}</job></executeJobs>",
            long(field)
        );
        let jobs = submissions(&document);
        let Submission::Refused(RefusedJob { reason, .. }) = &jobs[0] else {
            panic!("{field}");
        };
        assert_eq!(reason.code, "invalid-field");
        let fits = document.replacen('é', "", 1);
        assert!(
            matches!(submissions(&fits)[0], Submission::Good(_)),
            "{field}"
        );
    }
}

#[test]
fn a_refused_job_keeps_the_names_that_can_be_read() {
    let long = "x".repeat(65);
    let jobs = submissions(&format!(
        "<executeJobs><job jobID='1' attempt='3'/><job jobID='1' attempt='x'/><job jobID='{long}' attempt='0'/></executeJobs>"
    ));
    let names = jobs.iter().map(|job| match job {
        Submission::Refused(refused) => (refused.job_id.clone(), refused.attempt.to_string()),
        Submission::Good(_) => panic!("{job:?}"),
    });
    let one = JobId::new("1").unwrap();
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            (Some(one.clone()), "3".to_owned()),
            (Some(one), "x".to_owned()),
            (None, "0".to_owned())
        ]
    );
}

#[test]
fn entries_of_queries() {
    let Call::GetExecutorData(jobs) =
        calls("<getExecutorData><job jobID='1'/><job jobID='1' attempt='2'/></getExecutorData>")
    else {
        panic!();
    };
    let job_id = JobId::new("1").unwrap();
    let attempts = [None, Attempt::new(2)];
    assert_eq!(
        jobs,
        attempts.map(|attempt| JobQuery {
            job_id: job_id.clone(),
            attempt
        })
    );

    for text in ["", "-1", "0", "9223372036854775808", "1.5", "x"] {
        let Call::KillJobs(jobs) = calls(&format!(
            "<killJobs><job jobID='1' recordID='{text}'/></killJobs>"
        )) else {
            panic!();
        };
        assert_eq!(jobs[0].record, RecordRef::Unreadable(text.into()));
    }
    let Call::FixJobs(jobs) = calls(&format!(
        "<fixJobs><job jobID='1' recordID='{}'/></fixJobs>",
        "é".repeat(99)
    )) else {
        panic!();
    };
    assert_eq!(jobs[0].record, RecordRef::Unreadable("é".repeat(64)));
}

#[rstest]
#[case(
    "<executeJobs>\n <job jobID='1'/><job/><job/>\n <job/></executeJobs>",
    FaultCode::TooLarge,
    3,
    2,
    "job"
)]
#[case("<executeJobs/>", FaultCode::Invalid, 1, 1, "executeJobs")]
#[case("<killJobs>\n<kill/></killJobs>", FaultCode::Invalid, 1, 1, "killJobs")]
#[case(
    "<executeJobs><job jobID='1'/>\n  <job jobID=' 1' attempt='1'/></executeJobs>",
    FaultCode::Invalid,
    2,
    3,
    "job"
)]
#[case(
    "<getStatus><job taskBufferRecordID='1'/></getStatus>",
    FaultCode::Invalid,
    1,
    12,
    "job"
)]
#[case(
    "<getStatus><job jobID='1'/></getStatus>",
    FaultCode::Invalid,
    1,
    12,
    "job"
)]
#[case(
    "<getExecutorData><job jobID='1' attempt='-1'/></getExecutorData>",
    FaultCode::Invalid,
    1,
    18,
    "job"
)]
#[case(
    "<getExecutorData><job jobID='1' jobId='2'/></getExecutorData>",
    FaultCode::Invalid,
    1,
    18,
    "job"
)]
#[case(
    "<numJobsWanted><requirements><cpuCount>x</cpuCount></requirements></numJobsWanted>",
    FaultCode::Invalid,
    1,
    30,
    "cpuCount"
)]
#[case(
    "<numJobsWanted><requirements/><requirements/></numJobsWanted>",
    FaultCode::Invalid,
    1,
    31,
    "requirements"
)]
#[case("<getstatus/>", FaultCode::UnsupportedCall, 1, 1, "getstatus")]
#[case(
    "<x:getStatus xmlns:x='urn:x'/>",
    FaultCode::UnsupportedCall,
    1,
    1,
    "x:getStatus"
)]
#[case(
    "<getStatusResponse/>",
    FaultCode::UnsupportedCall,
    1,
    1,
    "getStatusResponse"
)]
#[case(
    "<executeJobs><job jobID='1'>&own;</job></executeJobs>",
    FaultCode::Malformed,
    1,
    29,
    "job"
)]
#[case(
    "<executeJobs><job jobID='&own;'/></executeJobs>",
    FaultCode::Malformed,
    1,
    14,
    "job"
)]
#[case(
    "<executeJobs><job jobID='1'>\n&#1;</job></executeJobs>",
    FaultCode::Malformed,
    2,
    1,
    "job"
)]
#[case(
    "<executeJobs><job jobID='1'><b a='<'/></job></executeJobs>",
    FaultCode::Malformed,
    1,
    29,
    "b"
)]
#[case(
    "<executeJobs><job jobID='1'><b a='1' a='1'/></job></executeJobs>",
    FaultCode::Malformed,
    1,
    29,
    "b"
)]
#[case(
    "<executeJobs><job jobID='1'><b a=1/></job></executeJobs>",
    FaultCode::Malformed,
    1,
    29,
    "b"
)]
#[case(
    "<executeJobs><job jobID='1'><1/></job></executeJobs>",
    FaultCode::Malformed,
    1,
    29,
    "1"
)]
#[case(
    "<executeJobs><job jobID='1'><x:y/></job></executeJobs>",
    FaultCode::Malformed,
    1,
    29,
    "x:y"
)]
#[case(
    "<executeJobs><job jobID='1'><y x:a='1'/></job></executeJobs>",
    FaultCode::Malformed,
    1,
    29,
    "y"
)]
#[case(
    "<executeJobs><job jobID='1'>]]></job></executeJobs>",
    FaultCode::Malformed,
    1,
    29,
    "job"
)]
#[case(
    "<executeJobs><job jobID='1'><!-- -- --></job></executeJobs>",
    FaultCode::Malformed,
    1,
    34,
    "job"
)]
#[case(
    "<executeJobs><job jobID='1'><?xml version='1.0'?></job></executeJobs>",
    FaultCode::Malformed,
    1,
    29,
    "job"
)]
#[case(
    "<executeJobs><job jobID='1'><jobPars></job></executeJobs>",
    FaultCode::Malformed,
    1,
    38,
    "jobPars"
)]
#[case(
    "<executeJobs><job jobID='1'/>",
    FaultCode::Malformed,
    1,
    30,
    "executeJobs"
)]
fn whole_requests_are_refused(
    #[case] document: &str,
    #[case] code: FaultCode,
    #[case] line: u32,
    #[case] column: u32,
    #[case] element: &str,
) {
    let error = read(document).unwrap_err();
    assert_eq!(
        (
            error.code,
            error.line,
            error.column,
            error.element.as_deref()
        ),
        (code, line, column, Some(element)),
        "{error}"
    );
}

#[rstest]
#[case("", 1, 1)]
#[case(" \n ", 2, 2)]
#[case("text", 1, 1)]
#[case("<getStatus><job jobID='1' recordID='1'/></getStatus>\n<x/>", 2, 1)]
#[case("<getStatus><job jobID='1' recordID='1'/></getStatus>x", 1, 53)]
#[case("<getStatus><job jobID='1' recordID='1'/></getStatus>&#32;", 1, 53)]
#[case(
    "<!DOCTYPE getStatus><getStatus><job jobID='1' recordID='1'/></getStatus>",
    1,
    1
)]
#[case(
    "<!-- --><?xml version='1.0'?><getStatus><job jobID='1' recordID='1'/></getStatus>",
    1,
    9
)]
#[case(
    "\u{FEFF}\u{FEFF}<getStatus><job jobID='1' recordID='1'/></getStatus>",
    1,
    2
)]
#[case("<getStatus><job jobID='1' recordID='\u{1}'/></getStatus>", 1, 37)]
fn malformed_documents(#[case] document: &str, #[case] line: u32, #[case] column: u32) {
    let error = read(document).unwrap_err();
    assert_eq!(
        (error.code, error.line, error.column),
        (FaultCode::Malformed, line, column),
        "{error}"
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        let (open, close) = ("<d>".repeat(depth - 2), "</d>".repeat(depth - 2));
        format!("<killJobs><job jobID='1' recordID='1'>{open}{close}</job></killJobs>")
    };
    assert!(read(&nested(32)).is_ok());
    let error = read(&nested(33)).unwrap_err();
    assert_eq!(
        (error.code, error.call),
        (FaultCode::Malformed, Some(CallKind::KillJobs))
    );
}

#[test]
fn an_error_keeps_what_was_read_before_it() {
    let broken = [
        "<executeJobs id='s-1'><job></executeJobs>",
        "<executeJobs id='s-1'>\0",
        "<executeJobs id='s-1'><job/>&own;",
        "<executeJobs id='s-1'/>",
    ];
    let large = format!(
        "<executeJobs id='s-1'>{}</executeJobs>",
        " ".repeat(LIMITS.max_bytes)
    );
    for document in broken.into_iter().chain([large.as_str()]) {
        let error = read(document).unwrap_err();
        assert_eq!(
            (error.call, error.id.as_deref()),
            (Some(CallKind::ExecuteJobs), Some("s-1")),
            "{error}"
        );
    }
    let error = read_call(b"<executeJobs id='s-1'>\xff", &LIMITS).unwrap_err();
    assert_eq!(
        (error.call, error.id.as_deref()),
        (Some(CallKind::ExecuteJobs), Some("s-1"))
    );
    let error = read("<other id='s-1'/>").unwrap_err();
    assert_eq!((error.call, error.id.as_deref()), (None, Some("s-1")));
    let error = read(&format!("<getStatus id='{}'/>", "x".repeat(129))).unwrap_err();
    assert_eq!(
        (error.code, error.call, error.id),
        (FaultCode::Invalid, Some(CallKind::GetStatus), None)
    );
}

#[test]
fn sizes_are_bounded() {
    let document = "<getExecutorData><job jobID='1'/></getExecutorData>";
    let limit = |max_bytes| Limits {
        max_bytes,
        max_jobs: 1,
    };
    assert!(read_call(document.as_bytes(), &limit(document.len())).is_ok());
    let error = read_call(document.as_bytes(), &limit(document.len() - 1)).unwrap_err();
    assert_eq!(
        (error.code, error.call),
        (FaultCode::TooLarge, Some(CallKind::GetExecutorData))
    );
}
