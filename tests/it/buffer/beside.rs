//! Operators' processes beside a daemon that has the file open.

use std::sync::Arc;
use std::time::Duration;

use gristmill::buffer::{
    self, ClaimRequest, Claims, Holder, Lookup, NewJob, Note, Operation, Purge, SqliteBuffer,
    StoreUrl, Stored, TaskBuffer,
};
use gristmill::job::{Action, Effect, State};

use super::place::Place;
use super::write::{NOW, at, job, request, store_new};

async fn daemon(place: &Place) -> Arc<SqliteBuffer> {
    let StoreUrl::Sqlite(path) = place.url() else {
        unreachable!()
    };
    let opened = SqliteBuffer::open(&path, &place.options()).await;
    Arc::new(opened.unwrap())
}

fn claim_all() -> ClaimRequest {
    ClaimRequest {
        holder: Holder::new("mill-1".to_owned()).unwrap(),
        most: 1000,
        pass_over: None,
        now: at(NOW),
    }
}

/// Somebody holds the file for a while: the daemon's writer waits, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_waits_for_another_process() {
    let place = Place::sqlite();
    let daemon = daemon(&place).await;
    store_new(&*daemon, "o", vec![job("1")]).await;
    let other = place.sqlite_connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let claimer = daemon.clone();
    let claiming = tokio::spawn(async move { claimer.claim(claim_all()).await });
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!claiming.is_finished());
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(claiming.await.unwrap().unwrap().len(), 1);
}

/// An operator holds and purges while supervisors store and a conductor claims: everybody gets
/// what was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_operator_disturbs_nobody() {
    const OLD: i64 = 2000;
    let place = Place::sqlite();
    let daemon = daemon(&place).await;
    let old = (0..OLD).map(|n| NewJob {
        state: State::Succeeded,
        ..job(&format!("old {n}"))
    });
    store_new(&*daemon, "o", old.collect()).await;
    let held = store_new(&*daemon, "o", vec![job("held")]).await;

    let operator = buffer::open_for_operating(&place.url(), &place.options())
        .await
        .unwrap();
    let operation = Operation {
        records: held.clone(),
        action: Action::Hold,
        force: false,
        note: Note {
            who: "ada".to_owned(),
            reason: None,
        },
        now: at(NOW),
    };
    let answers = operator.operate(operation).await.unwrap();
    assert!(matches!(
        answers[..],
        [Lookup::Found(Ok(Effect::Moved(State::Held(_))))]
    ));

    let purging = tokio::spawn(async move {
        let purge = Purge {
            states: Vec::new(),
            before: at(NOW + 1),
            lot: 100,
        };
        let mut purged = 0;
        loop {
            match operator.purge(&purge).await.unwrap() {
                0 => return purged,
                more => purged += more,
            }
        }
    });
    let mut claimed = 0;
    for n in 0.. {
        let new = request("o", vec![job(&format!("new {n}"))]);
        let stored = daemon.store(new).await.unwrap();
        assert!(matches!(stored[..], [Stored::New(_)]), "{stored:?}");
        claimed += daemon.claim(claim_all()).await.unwrap().len();
        if purging.is_finished() {
            assert_eq!(claimed, n + 1);
            break;
        }
    }
    assert_eq!(purging.await.unwrap(), OLD.unsigned_abs());
    let Lookup::Found(dossier) = daemon.show(held[0]).await.unwrap() else {
        panic!("it is not there");
    };
    assert!(matches!(dossier.record.state, State::Held(_)));
    let left = "SELECT COUNT(*) FROM payloads JOIN jobs ON id = record_id
                WHERE state = 'succeeded'";
    assert_eq!(place.number(left), 0);
}

/// Nobody else has it open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_needs_no_daemon() {
    let place = Place::sqlite();
    let id = {
        let daemon = daemon(&place).await;
        store_new(&*daemon, "o", vec![job("1")]).await[0]
    };
    let operator = buffer::open_for_operating(&place.url(), &place.options())
        .await
        .unwrap();
    let operation = Operation {
        records: vec![id],
        action: Action::Kill,
        force: false,
        note: Note {
            who: "ada".to_owned(),
            reason: None,
        },
        now: at(NOW),
    };
    operator.operate(operation).await.unwrap();
    // A daemon that starts meanwhile does not mind.
    let daemon = daemon(&place).await;
    assert!(daemon.claim(claim_all()).await.unwrap().is_empty());
}
