//! Short ways to write requests.

use gristmill::buffer::{NewJob, StoreRequest, Stored, TaskBuffer};
use gristmill::job::{Attempt, ContentHash, JobId, JobKey, Owner, RecordId, Refusal, State};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub fn owner(name: &str) -> Owner {
    Owner::new(name).unwrap()
}

pub fn job_id(name: &str) -> JobId {
    JobId::new(name).unwrap()
}

pub fn attempt(number: u32) -> Attempt {
    Attempt::new(number).unwrap()
}

pub fn key(name: &str, number: u32) -> JobKey {
    JobKey {
        job_id: job_id(name),
        attempt: attempt(number),
    }
}

/// A time in seconds, with microseconds that must not get lost.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_microsecond(seconds * 1_000_000 + 123_456).unwrap()
}

/// When the requests of these tests are stored.
pub const NOW: i64 = 1_100_000_000;

/// The first attempt of a job, ready, with a payload of its own.
pub fn job(name: &str) -> NewJob {
    job_of(key(name, 1), &format!("<job jobID=\"{name}\"/>"))
}

pub fn job_of(key: JobKey, payload: &str) -> NewJob {
    NewJob {
        key,
        content: ContentHash(Sha256::digest(payload).into()),
        priority: 0,
        state: State::Ready,
        payload: payload.to_owned(),
    }
}

pub fn refusal(name: &str, number: u32, code: &str) -> Refusal {
    Refusal {
        job_id: job_id(name),
        attempt: attempt(number),
        code: code.to_owned(),
        text: format!("{code} of {name}"),
    }
}

pub fn request(owner_name: &str, jobs: Vec<NewJob>) -> StoreRequest {
    StoreRequest {
        owner: owner(owner_name),
        jobs,
        refusals: Vec::new(),
        sent_at: Timestamp::MAX,
        prompt_until: None,
        now: at(NOW),
    }
}

/// Stores new jobs; their record IDs, in order.
pub async fn store_new(
    buffer: &dyn TaskBuffer,
    owner_name: &str,
    jobs: Vec<NewJob>,
) -> Vec<RecordId> {
    let stored = buffer.store(request(owner_name, jobs)).await.unwrap();
    stored.into_iter().map(new).collect()
}

pub fn new(stored: Stored) -> RecordId {
    match stored {
        Stored::New(id) => id,
        other => panic!("{other:?} is not new"),
    }
}
