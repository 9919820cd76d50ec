//! Stores of an earlier version of the program are brought up to date.

use gristmill::buffer::{self, Lookup};
use gristmill::job::State;
use refinery::{Runner, Target, load_sql_migrations};

use super::place::Place;
use super::suite::Subject;
use super::write::{job, job_id, owner, request, store_new};

/// The schema of version 0.1 and one job in it.
async fn first_version(place: &Place) {
    let steps = |store| {
        let folder = format!("{}/schema/{store}", env!("CARGO_MANIFEST_DIR"));
        Runner::new(&load_sql_migrations(folder).unwrap())
    };
    let insert = "INSERT INTO jobs (owner, job_id, attempt, state, priority_neg, content_hash,
        accepted_at, since";
    let values = "VALUES ('o', 'old', 1, 'ready', -5,
        x'0000000000000000000000000000000000000000000000000000000000000000', 1000000, 1000000";
    match place {
        Place::Sqlite(_) => {
            let steps = steps("sqlite").set_target(Target::Version(1));
            steps.run(&mut place.sqlite_connection()).unwrap();
            place.sql(&format!("{insert}) {values})"));
        }
        Place::Mysql { server, database } => {
            let mut pool = mysql_async::Pool::new(&*server.url_with_password(database));
            let steps = steps("mysql").set_target(Target::Version(5));
            steps.run_async(&mut pool).await.unwrap();
            pool.disconnect().await.unwrap();
            place.sql(&format!("{insert}, batch) {values}, 1)"));
        }
    }
}

pub async fn an_older_store_keeps_its_records(subject: &Subject) {
    let place = subject.place.another();
    first_version(&place).await;
    let (url, options) = (place.url(), place.options());
    assert!(!buffer::plan(&url, &options).await.unwrap().is_empty());
    let buffer = buffer::open(&url, &options).await.unwrap();
    let records = buffer.list(&super::operators::ALL).await.unwrap();
    let [record] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!((record.state, record.priority), (State::Ready, 5));
    assert_eq!((record.token.0, record.runs, record.told), (0, 0, false));
    let pair = [(job_id("old"), record.id)];
    let killed = buffer.kill(&owner("o"), &pair, record.since).await.unwrap();
    assert!(matches!(killed[..], [Lookup::Found(_)]), "{killed:?}");
    store_new(&*buffer, "o", vec![job("new")]).await;
    let name = buffer.store_id().await.unwrap();
    drop(buffer);
    let again = buffer::open(&url, &options).await.unwrap();
    assert_eq!(again.store_id().await.unwrap(), name);
}

/// A server commits each change of a table by itself: a daemon that was killed in between finds
/// a step done that nobody wrote down.
#[tokio::test]
async fn a_step_that_was_cut_off_is_taken_again() {
    let (_server, place) = super::mysql::place();
    let (url, options) = (place.url(), place.options());
    buffer::migrate(&url, &options).await.unwrap();
    let before = buffer::open(&url, &options).await.unwrap().store_id().await;
    place.sql("DELETE FROM refinery_schema_history WHERE version > 5");
    assert!(buffer::migrate(&url, &options).await.unwrap().len() >= 3);
    let buffer = buffer::open(&url, &options).await.unwrap();
    assert_eq!(buffer.store_id().await.unwrap(), before.unwrap());
    buffer.store(request("o", vec![job("1")])).await.unwrap();
}
