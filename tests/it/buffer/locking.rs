//! Rows of MariaDB that a stranger has locked: nobody waits for them.

use gristmill::buffer::{Advanced, Claims, ProgressReport, Renewed};
use gristmill::job::{Progress, RecordId, State, Token};
use mysql_async::prelude::Queryable;

use super::mysql::{connection, is_unreachable, place};
use super::sharing::{asking, claims, daemon, ending, names};
use super::write::store_new;

fn report(claim: (RecordId, Token)) -> ProgressReport {
    ProgressReport {
        id: claim.0,
        token: claim.1,
        progress: Some(Progress {
            permille: 500,
            words: String::new(),
        }),
        events: Vec::new(),
    }
}

/// All of this comes in one transaction with what is about the locked row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_a_stranger_locks_holds_up_nobody_else() {
    let (server, place) = place();
    let daemon = daemon(&place).await;
    store_new(&*daemon, "o", names(0, 4)).await;
    let claimed = daemon.claim(asking("a", 3)).await.unwrap();
    let held = claims(&claimed);
    place.sql("INSERT INTO listeners (owner, daemon) VALUES ('o', 'a@x/1')");
    let mut stranger = connection(&server).await;
    stranger.query_drop("BEGIN").await.unwrap();
    stranger.query_drop("DELETE FROM listeners").await.unwrap();
    let lock = "SELECT id FROM jobs WHERE id = ? FOR UPDATE";
    let locked: Option<u64> = stranger.exec_first(lock, (held[1].0.get(),)).await.unwrap();
    assert_eq!(locked, Some(held[1].0.get()));

    let (renewed, told, others, next) = tokio::join!(
        daemon.renew(&held),
        daemon.report(report(held[1])),
        daemon.report(report(held[0])),
        daemon.claim(asking("a", 1)),
    );
    assert_eq!(
        renewed.unwrap(),
        [Renewed::Held, Renewed::Busy, Renewed::Held]
    );
    assert!(is_unreachable(&told), "{told:?}");
    assert!(others.unwrap());
    assert_eq!(next.unwrap().len(), 1);
    let (running, succeeded) = (
        Advanced::Done(State::Running),
        Advanced::Done(State::Succeeded),
    );
    assert_eq!(
        daemon.advance(ending(&held)).await.unwrap(),
        [
            running,
            succeeded,
            Advanced::Busy,
            Advanced::Busy,
            running,
            succeeded
        ]
    );

    // Whether anybody listens is seen, and nobody is waited for to see it.
    assert_eq!(place.number("SELECT COUNT(*) FROM notices"), 2);
    stranger.query_drop("ROLLBACK").await.unwrap();
    let late = daemon.advance(ending(&held[1..2])).await;
    assert_eq!(late.unwrap(), [running, succeeded]);
    stranger.disconnect().await.unwrap();
}
