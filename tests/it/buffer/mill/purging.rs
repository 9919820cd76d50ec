//! What is dropped of jobs that ended long ago, and what stays for ever.

use gristmill::buffer::{Change, KnownJob, Lookup, Purge, Stored};
use gristmill::job::{Action, Declined, Outcome, Record, RecordId, State, Step, Verdict};

use super::{Mill, change, report};
use crate::buffer::write::{NOW, at, job, job_id, job_of, key, owner, request, store_new};

fn purge(seconds: i64) -> Purge {
    Purge {
        states: Vec::new(),
        before: at(NOW + seconds),
        lot: 100,
    }
}

/// A job of this name that failed.
async fn failed(mill: &Mill, name: &str, seconds: i64) -> RecordId {
    let job = mill.running(name).await;
    let failed = Change {
        report: Some(report(Verdict::Failed, 65)),
        ..change(&job, Step::Fail { retry: false })
    };
    mill.advance(vec![failed], seconds).await;
    job.id
}

async fn drop_old(mill: &Mill, seconds: i64) -> u64 {
    let count = mill.operations.count_purgeable(&purge(seconds)).await;
    let dropped = mill.operations.purge(&purge(seconds)).await.unwrap();
    assert_eq!(count.unwrap(), dropped);
    dropped
}

pub async fn a_purge_keeps_names_and_final_words(mill: &Mill) {
    let id = failed(mill, "1", 10).await;
    let before = mill.record(id).await;
    assert_eq!(drop_old(mill, 10).await, 0);
    assert_eq!(drop_old(mill, 11).await, 1);
    assert_eq!(drop_old(mill, 11).await, 0);
    let Lookup::Found(dossier) = mill.buffer.show(id).await.unwrap() else {
        panic!("it is gone");
    };
    assert_eq!(dossier.payload, None);
    assert_eq!(dossier.events.len(), 1, "{:?}", dossier.events);
    let kept = Record {
        result: None,
        ..before
    };
    assert_eq!(dossier.record, kept);
    let found = mill
        .buffer
        .find_jobs(&owner("o"), &[(job_id("1"), None)])
        .await
        .unwrap();
    assert!(
        matches!(&found[0], Lookup::Found(KnownJob::Accepted { id: found, .. }) if *found == id)
    );
    let wish = [(job_id("1"), id)];
    let found = mill.buffer.find_records(&owner("o"), &wish).await.unwrap();
    assert!(matches!(&found[0], Lookup::Found(record) if record.state == State::Failed));
    for table in ["payloads", "events", "results"] {
        let query = format!("SELECT COUNT(*) FROM {table}");
        assert_eq!(mill.place.number(&query), 0, "{table}");
    }
}

/// Also the newest record of all, whose number must not be given again.
pub async fn what_is_purged_is_still_a_duplicate(mill: &Mill) {
    let id = failed(mill, "1", 10).await;
    assert_eq!(drop_old(mill, 100).await, 1);
    let again = job_of(key("1", 1), "1");
    let stored = mill.buffer.store(request("o", vec![again])).await.unwrap();
    assert_eq!(stored, [Stored::Duplicate(id)]);
    let other = job_of(key("1", 1), "another");
    let stored = mill.buffer.store(request("o", vec![other])).await.unwrap();
    assert_eq!(stored, [Stored::Conflict]);
    let next = store_new(&*mill.buffer, "o", vec![job("2")]).await[0];
    assert!(next > id);
}

pub async fn only_what_ended_long_ago_is_purged(mill: &Mill) {
    let jobs = State::ALL
        .into_iter()
        .enumerate()
        .map(|(n, state)| gristmill::buffer::NewJob {
            state,
            ..job(&n.to_string())
        });
    let ids = store_new(&*mill.buffer, "o", jobs.collect()).await;
    let two = Purge {
        states: vec![Outcome::Failed.name(), Outcome::Cancelled.name()],
        ..purge(1)
    };
    assert_eq!(mill.operations.purge(&two).await.unwrap(), 2);
    let not_final = Purge {
        states: vec!["running"],
        ..purge(1)
    };
    assert_eq!(mill.operations.purge(&not_final).await.unwrap(), 0);
    assert_eq!(mill.operations.purge(&purge(1)).await.unwrap(), 3);
    for (state, id) in State::ALL.into_iter().zip(ids) {
        let query = format!("SELECT COUNT(*) FROM payloads WHERE record_id = {id}");
        let kept = mill.place.number(&query) == 1;
        assert_eq!(kept, !state.is_final(), "{state:?}");
    }
}

pub async fn a_purge_goes_by_lots(mill: &Mill) {
    let jobs = (0..25).map(|n| gristmill::buffer::NewJob {
        state: State::Succeeded,
        ..job(&n.to_string())
    });
    let mut left_over = store_new(&*mill.buffer, "o", jobs.collect()).await;
    left_over.sort_unstable();
    let lots = Purge {
        lot: 10,
        ..purge(1)
    };
    for (left, dropped) in [(25, 10), (15, 10), (5, 5)] {
        let count = mill.operations.count_purgeable(&lots).await.unwrap();
        assert_eq!(count, left);
        assert_eq!(mill.operations.purge(&lots).await.unwrap(), dropped);
        left_over.drain(..usize::try_from(dropped).unwrap());
        // The oldest went first.
        let oldest = mill
            .place
            .number("SELECT COALESCE(MIN(record_id), 0) FROM payloads");
        let expected = left_over.first().map_or(0, |id| id.get());
        assert_eq!(oldest, i64::try_from(expected).unwrap());
    }
    assert_eq!(mill.operations.purge(&lots).await.unwrap(), 0);
}

pub async fn what_is_purged_does_not_run_again(mill: &Mill) {
    let id = failed(mill, "1", 10).await;
    assert_eq!(drop_old(mill, 100).await, 1);
    let declined = mill.operate(id, Action::Rerun).await;
    assert_eq!(declined, Lookup::Found(Err(Declined::Purged)));
    assert_eq!(mill.record(id).await.state, State::Failed);
}

/// Not the newest, not what its supervisor has not heard of, not what lives, and not too soon.
pub async fn old_keys_go_when_their_supervisor_was_told(mill: &Mill) {
    let told = |name: &str| gristmill::buffer::NewJob {
        state: State::Succeeded,
        ..job(name)
    };
    let ids = store_new(
        &*mill.buffer,
        "o",
        (0..7).map(|n| told(&n.to_string())).collect(),
    )
    .await;
    let living = mill.ready(&["living"]).await[0];
    let newest = store_new(&*mill.buffer, "o", vec![told("newest")]).await[0];
    let words: Vec<_> = ids[1..]
        .iter()
        .chain([&newest])
        .map(|id| (*id, State::Succeeded))
        .collect();
    let marked = mill.buffer.mark_told(&owner("o"), &words).await.unwrap();
    assert!(marked.iter().all(|was_told| *was_told));

    let few = Purge { lot: 3, ..purge(1) };
    let too_soon = Purge { lot: 3, ..purge(0) };
    assert_eq!(walk(mill, &too_soon).await, []);
    assert_eq!(walk(mill, &few).await, ids[1..]);

    // Whoever was looked for and brought back stays.
    let back = format!("UPDATE jobs SET state = 'ready' WHERE id = {}", ids[6]);
    mill.place.sql(&back);
    let all = [&ids[..], &[living]].concat();
    assert_eq!(mill.operations.drop_keys(&few, &all).await.unwrap(), 5);

    let left = "SELECT COUNT(*) FROM jobs";
    assert_eq!(mill.place.number(left), 4);
    for table in ["payloads", "events", "results"] {
        let orphans =
            format!("SELECT COUNT(*) FROM {table} WHERE record_id NOT IN (SELECT id FROM jobs)");
        assert_eq!(mill.place.number(&orphans), 0, "{table}");
    }
    let next = store_new(&*mill.buffer, "o", vec![job("1")]).await[0];
    assert!(next > newest, "a number was given again");
}

async fn walk(mill: &Mill, purge: &Purge) -> Vec<RecordId> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let mut page = mill.operations.old_keys(purge, after).await.unwrap();
        found.append(&mut page.records);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}
