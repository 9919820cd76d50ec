//! Requests that look like production's: a job is about 3.6 KB.

use std::fmt::Write;

/// An executeJobs of this many jobs, numbered from `first`.
pub fn execute(first: usize, jobs: usize) -> String {
    let mut text = String::from(r#"<executeJobs xmlns="urn:windmill:executor:1" id="bench">"#);
    for number in first..first + jobs {
        job(&mut text, number);
    }
    text.push_str("</executeJobs>");
    text
}

fn job(text: &mut String, number: usize) {
    let files = |kind: &str| -> String {
        (0..11).fold(String::new(), |mut files, n| {
            write!(
                files,
                r#"<file logicalFileName="dc2.003002.{kind}.A1_z_ee._{number:08}._{n:05}.pool.root" dataset="dc2.003002.{kind}.A1_z_ee" destinationSE="castorgrid.cern.ch"/>"#
            )
            .unwrap();
            files
        })
    };
    write!(
        text,
        r#"<job jobID="{number}" attempt="1"><jobName>dc2.003002.simul.A1_z_ee._{number:08}.job</jobName><jobExecutionID>77{number}</jobExecutionID><taskID>3002</taskID><priority>500</priority><transformation><transUses>Atlas-8.0.5</transUses><transHome>JobTransforms-08-00-05-01</transHome><transPath>share/dc2.g4sim.trf</transPath><transPars>inputEvgen,outputHits,skip,nEvents,seed</transPars></transformation><jobPars>dc2.evgen._{number:08}.pool.root dc2.simul._{number:08}.pool.root 0 50 {number}</jobPars><requirements><cpuCount unit="kSI2kseconds">60000</cpuCount><diskCount unit="MB">1500</diskCount><ramCount unit="MB">512</ramCount><ipConnectivity>no</ipConnectivity></requirements><inputs>{}</inputs><outputs>{}</outputs><stdout logicalFileName="dc2.simul._{number:08}.log"/><stderr logicalFileName="dc2.simul._{number:08}.err"/></job>"#,
        files("evgen"),
        files("simul"),
    )
    .unwrap();
}

/// A getStatus of these records, of jobs numbered from `first`.
pub fn statuses(first: usize, ids: &[u64]) -> String {
    let mut text = String::from(r#"<getStatus xmlns="urn:windmill:executor:1" id="bench">"#);
    for (number, id) in (first..).zip(ids) {
        write!(text, r#"<job jobID="{number}" taskBufferRecordID="{id}"/>"#).unwrap();
    }
    text.push_str("</getStatus>");
    text
}
