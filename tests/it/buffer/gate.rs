//! The gate: in time, and never `absent` where a store is in flight or in doubt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gristmill::buffer::{
    self, BufferError, Gate, KnownJob, Lookup, OpenError, Store, Stored, TaskBuffer,
};
use gristmill::job::RecordId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::place::Place;
use super::write::{NOW, at, attempt, job, job_id, owner, request, store_new};
use crate::hooked_store::{Hook, HookedStore};

pub const LIMIT: Duration = Duration::from_millis(300);

/// A gate before the store at this place, with a short time limit.
pub fn gate(place: &Place) -> Arc<Gate> {
    let (url, options) = (place.url(), place.options());
    let open = move || {
        let (url, options) = (url.clone(), options.clone());
        async move { buffer::open(&url, &options).await }
    };
    Gate::start(open, LIMIT, CancellationToken::new())
}

pub async fn find(buffer: &dyn TaskBuffer, name: &str) -> Lookup<KnownJob> {
    let found = buffer.find_jobs(&owner("o"), &[(job_id(name), None)]).await;
    found.map_or(Lookup::Unreachable, |mut found| found.remove(0))
}

/// Asks until the answer is another than `Unreachable`.
pub async fn find_at_last(
    buffer: &dyn TaskBuffer,
    name: &str,
    patience: Duration,
) -> Lookup<KnownJob> {
    let started = Instant::now();
    loop {
        match find(buffer, name).await {
            Lookup::Unreachable if started.elapsed() < patience => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answer => return answer,
        }
    }
}

/// No way of asking says that this job is absent, and all of them answer in time.
pub async fn assert_in_doubt(buffer: &dyn TaskBuffer, name: &str) {
    let started = Instant::now();
    let asked = [(job_id(name), None), (job_id(name), Some(attempt(1)))];
    let found = buffer.find_jobs(&owner("o"), &asked).await.unwrap();
    assert_eq!(found, [Lookup::Unreachable, Lookup::Unreachable]);
    let pairs = [
        (job_id(name), RecordId::new(1).unwrap()),
        (job_id(name), RecordId::MAX),
    ];
    let found = buffer.find_records(&owner("o"), &pairs).await.unwrap();
    assert_eq!(found, [Lookup::Unreachable, Lookup::Unreachable]);
    assert!(started.elapsed() < 3 * LIMIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_commit_is_unknown_until_it_is_known() {
    let place = Place::sqlite();
    let gate = gate(&place);
    gate.opened().await.unwrap();
    let other = place.sqlite_connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let started = Instant::now();
    let error = gate
        .store(request("o", vec![job("1"), job("2")]))
        .await
        .unwrap_err();
    assert!(matches!(error, BufferError::Unreachable(_)), "{error}");
    assert!(started.elapsed() < 2 * LIMIT, "{:?}", started.elapsed());
    for _ in 0..5 {
        assert_in_doubt(&*gate, "1").await;
        assert_in_doubt(&*gate, "2").await;
        assert_eq!(find(&*gate, "3").await, Lookup::Absent);
    }
    let again = gate.store(request("o", vec![job("1")])).await;
    assert!(
        matches!(again, Err(BufferError::Unreachable(_))),
        "{again:?}"
    );

    other.execute_batch("ROLLBACK").unwrap();
    let found = find_at_last(&*gate, "1", Duration::from_secs(5)).await;
    let Lookup::Found(KnownJob::Accepted { id, .. }) = found else {
        panic!("{found:?}");
    };
    let stored = gate.store(request("o", vec![job("1")])).await.unwrap();
    assert_eq!(stored, [Stored::Duplicate(id)]);
    assert!(matches!(find(&*gate, "2").await, Lookup::Found(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_sees_a_store_in_flight() {
    let place = Place::sqlite();
    let gate = gate(&place);
    gate.opened().await.unwrap();
    let other = place.sqlite_connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = gate.clone();
    let storing = tokio::spawn(async move { store.store(request("o", vec![job("1")])).await });
    while find(&*gate, "1").await == Lookup::Absent {
        tokio::task::yield_now().await;
    }
    let remember = gate.clone();
    let remembering = tokio::spawn(async move {
        let jobs = [(job_id("1"), None), (job_id("2"), None)];
        remember
            .remember_rejected(&owner("o"), &jobs, at(NOW), at(0))
            .await
    });
    tokio::time::sleep(LIMIT / 10).await;
    other.execute_batch("ROLLBACK").unwrap();
    assert!(storing.await.unwrap().is_ok());
    assert_eq!(remembering.await.unwrap().unwrap(), [false, true]);
}

/// Look-ups by name wait between reading and answering.
#[derive(Default)]
struct Pause {
    has_read: Notify,
    go_on: Notify,
}

impl Hook for Pause {
    async fn around<T: Send>(
        &self,
        question: &'static str,
        answer: impl Future<Output = Result<T, BufferError>> + Send,
    ) -> Result<T, BufferError> {
        let answer = answer.await;
        if question == "find_jobs" {
            self.has_read.notify_one();
            self.go_on.notified().await;
        }
        answer
    }
}

/// A job is stored, from beginning to end, between a look-up's reading and its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_does_not_miss_what_was_stored_meanwhile() {
    let place = Place::sqlite();
    let paused = Arc::new(HookedStore {
        real: place.open().await,
        hook: Pause::default(),
    });
    let store: Arc<dyn Store> = paused.clone();
    let open = move || std::future::ready(Ok(store.clone()));
    let gate = Gate::start(open, 10 * LIMIT, CancellationToken::new());
    gate.opened().await.unwrap();
    let asking = gate.clone();
    let look_up = tokio::spawn(async move {
        let asked = [(job_id("1"), None), (job_id("2"), None)];
        asking.find_jobs(&owner("o"), &asked).await.unwrap()
    });
    paused.hook.has_read.notified().await;
    store_new(&*gate, "o", vec![job("1")]).await;
    paused.hook.go_on.notify_one();
    assert_eq!(
        look_up.await.unwrap(),
        [Lookup::Unreachable, Lookup::Absent]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_does_not_stop_the_store() {
    let place = Place::sqlite();
    let gate = gate(&place);
    gate.opened().await.unwrap();
    let other = place.sqlite_connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let storing = gate.store(request("o", vec![job("1")]));
    assert!(
        tokio::time::timeout(Duration::from_millis(30), storing)
            .await
            .is_err()
    );
    assert_in_doubt(&*gate, "1").await;
    other.execute_batch("ROLLBACK").unwrap();
    let found = find_at_last(&*gate, "1", Duration::from_secs(5)).await;
    assert!(matches!(found, Lookup::Found(_)), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_begins_without_a_store() {
    let place = Place::sqlite();
    let (url, options) = (place.url(), place.options());
    let tries = Arc::new(AtomicUsize::new(0));
    let seen = tries.clone();
    let open = move || {
        let (url, options, tries) = (url.clone(), options.clone(), tries.clone());
        async move {
            if tries.fetch_add(1, Ordering::SeqCst) < 2 {
                return Err(OpenError::Unreachable("not yet".to_owned()));
            }
            buffer::open(&url, &options).await
        }
    };
    let gate = Gate::start(open, LIMIT, CancellationToken::new());
    let started = Instant::now();
    assert!(matches!(
        gate.ping().await,
        Err(BufferError::Unreachable(_))
    ));
    assert!(gate.store(request("o", vec![job("1")])).await.is_err());
    assert_eq!(find(&*gate, "1").await, Lookup::Unreachable);
    assert!(started.elapsed() < LIMIT);
    gate.opened().await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    store_new(&*gate, "o", vec![job("1")]).await;
}

#[tokio::test]
async fn what_time_does_not_heal_is_said() {
    let place = Place::sqlite();
    buffer::migrate(&place.url(), &place.options())
        .await
        .unwrap();
    place.sql("UPDATE refinery_schema_history SET version = 9999 WHERE version = 1");
    let gate = gate(&place);
    let error = gate.opened().await.unwrap_err();
    assert!(matches!(error, OpenError::SchemaTooNew { .. }), "{error}");
    let error = gate.ping().await.unwrap_err();
    assert!(error.to_string().contains("9999"), "{error}");
}
