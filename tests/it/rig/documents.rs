//! Documents that a supervisor sends, written without our own writer.

use std::fmt::Write as _;

use super::slixmpp::NAMESPACE;

/// A job of production size, about 3.6 KB with `files` = 20.
pub fn job(job_id: &str, files: usize) -> String {
    let mut text = format!(
        "<job jobID='{job_id}' attempt='1'><jobName>dc2.003002.simul.A1_z_ee._{job_id}.job</jobName>\
         <jobExecutionID>77{job_id}</jobExecutionID><taskID>3002</taskID><priority>500</priority>\
         <transformation><transUses>Atlas-8.0.5</transUses>\
         <transHome>JobTransforms-08-00-05-01</transHome>\
         <transPath>share/dc2.g4sim.trf</transPath>\
         <transPars>inputEvgen,outputHits,skip,nEvents,seed</transPars></transformation>\
         <jobPars>dc2.evgen._00042.pool.root dc2.simul._{job_id}.pool.root 0 50 417</jobPars>\
         <requirements><transUses>Atlas-8.0.5</transUses>\
         <cpuCount unit='kSI2kseconds'>60000</cpuCount></requirements><inputs>"
    );
    for file in 0..files {
        let _ = write!(
            text,
            "<file logicalFileName='dc2.003002.evgen.A1_z_ee._{file:05}.pool.root' \
             dataset='dc2.003002.evgen.A1_z_ee' note='long enough for what was used'/>"
        );
    }
    let _ = write!(
        text,
        "</inputs><outputs><file logicalFileName='dc2.003002.simul._{job_id}.pool.root' \
         dataset='dc2.003002.simul' destinationSE='BNL_ATLAS'/></outputs>\
         <stdout logicalFileName='dc2.simul._{job_id}.log'/>\
         <stderr logicalFileName='dc2.simul._{job_id}.err'/></job>"
    );
    text
}

/// A job without a transformation's path: bad by itself.
pub fn bad_job(job_id: &str) -> String {
    job(job_id, 0).replace("share/dc2.g4sim.trf", "")
}

/// A document of a call, around its entries.
pub fn document(call: &str, id: &str, entries: &str) -> String {
    format!("<{call} xmlns='{NAMESPACE}' id='{id}'>{entries}</{call}>")
}

/// A numJobsWanted.
pub fn num_jobs_wanted(id: &str) -> String {
    let requirements = "<requirements><ramCount unit='MB'>512</ramCount></requirements>";
    document("numJobsWanted", id, requirements)
}

/// An executeJobs of small jobs.
pub fn execute_jobs(id: &str, job_ids: &[&str]) -> String {
    let jobs = job_ids.iter().map(|job_id| job(job_id, 1));
    document("executeJobs", id, &jobs.collect::<String>())
}

/// A getExecutorData.
pub fn get_executor_data(id: &str, job_ids: &[&str]) -> String {
    let jobs = job_ids
        .iter()
        .map(|job_id| format!("<job jobID='{job_id}'/>"));
    document("getExecutorData", id, &jobs.collect::<String>())
}

/// A getStatus, killJobs or fixJobs.
pub fn about_records(call: &str, id: &str, records: &[(&str, &str)]) -> String {
    let jobs = records
        .iter()
        .map(|(job_id, record)| format!("<job jobID='{job_id}' taskBufferRecordID='{record}'/>"));
    document(call, id, &jobs.collect::<String>())
}
