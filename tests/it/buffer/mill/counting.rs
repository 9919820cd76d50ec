//! The two counters, their limits, and the waits.

use gristmill::buffer::{Advanced, Change, Claimed};
use gristmill::job::{Level, State, Step};

use super::{LIMITS, Mill, change};
use crate::buffer::write::{NOW, at};

pub async fn failed_runs_wait_longer_and_longer(mill: &Mill) {
    let mut job = mill.running("1").await;
    let mut now = 0;
    for (run, wait) in [(1, 10), (2, 20)] {
        let failed = Change {
            reason: Some(format!("run {run} failed")),
            ..change(&job, Step::Fail { retry: true })
        };
        let answer = mill.advance(vec![failed], now).await;
        assert_eq!(answer, [Advanced::Done(State::Scheduled)]);
        let record = mill.record(job.id).await;
        assert_eq!((record.runs, record.abandons), (run, 0));
        assert_eq!(record.due_at, Some(at(NOW + now + wait)));
        assert_eq!(record.reason, Some(format!("run {run} failed")));
        assert_eq!(record.started_at, None);
        assert!(mill.claim(1, now + wait - 1).await.is_empty());
        now += wait;
        job = mill.claim(1, now).await.remove(0);
        assert_eq!(job.runs, run);
        mill.advance(vec![change(&job, Step::Start)], now).await;
    }
    let last = mill
        .advance(vec![change(&job, Step::Fail { retry: true })], now)
        .await;
    assert_eq!(last, [Advanced::Done(State::Failed)]);
    let record = mill.record(job.id).await;
    assert_eq!((record.runs, record.due_at), (3, None));
    let run = ["claim", "start"];
    let codes: Vec<_> = [
        &["accepted"][..],
        &run,
        &["retry", "due"],
        &run,
        &["retry", "due"],
        &run,
        &["fail"],
    ]
    .concat();
    assert_eq!(mill.codes(job.id).await, codes);
    let events = mill.events(job.id).await;
    assert_eq!(
        (events[3].level, &*events[3].text),
        (Level::Warning, "run 1 failed")
    );
}

/// The job, claimed again, whatever it waits for.
async fn again(mill: &Mill, seconds: i64) -> Claimed {
    mill.claim(1, seconds).await.remove(0)
}

pub async fn abandons_trash_in_the_end_with_all_reasons(mill: &Mill) {
    let mut job = mill.claimed("1").await;
    for n in 1..=LIMITS.max_abandons {
        let now = i64::from(n) * 1000;
        let abandoned = Change {
            reason: Some(format!("silence {n}")),
            ..change(&job, Step::Abandon)
        };
        let answer = mill.advance(vec![abandoned], now).await;
        assert_eq!(answer, [Advanced::Done(State::Ready)]);
        let record = mill.record(job.id).await;
        assert_eq!((record.abandons, record.runs), (n, 0));
        let wait = 10 << (n - 1);
        assert_eq!(record.due_at, Some(at(NOW + now + wait)));
        assert!(mill.claim(1, now + wait - 1).await.is_empty());
        job = again(mill, now + wait).await;
        assert_eq!(job.runs, 0);
    }
    let abandoned = Change {
        reason: Some("silence at last".to_owned()),
        ..change(&job, Step::Abandon)
    };
    let answer = mill.advance(vec![abandoned], 9000).await;
    assert_eq!(answer, [Advanced::Done(State::Trashed)]);
    let record = mill.record(job.id).await;
    assert_eq!((record.abandons, record.due_at), (6, None));
    let reason = record.reason.unwrap();
    assert!(
        reason.contains("6 times") && reason.contains("at last"),
        "{reason}"
    );
    let events = mill.events(job.id).await;
    for n in 1..=LIMITS.max_abandons {
        let text = format!("silence {n}");
        let told = |event: &&gristmill::job::Event| event.text == text;
        let event = events.iter().find(told).unwrap();
        assert_eq!((&*event.code, event.level), ("abandon", Level::Warning));
    }
    let last = events.last().unwrap();
    assert_eq!((&*last.code, last.level), ("trash", Level::Error));
}

pub async fn giving_back_counts_nothing(mill: &Mill) {
    let mut job = mill.claimed("1").await;
    for n in 1..10 {
        if n % 2 == 0 {
            mill.advance(vec![change(&job, Step::Start)], n).await;
        }
        let back = mill.advance(vec![change(&job, Step::GiveBack)], n).await;
        assert_eq!(back, [Advanced::Done(State::Ready)]);
        let record = mill.record(job.id).await;
        assert_eq!((record.runs, record.abandons), (0, 0));
        assert_eq!((record.due_at, record.started_at), (None, None));
        job = again(mill, n).await;
    }
    assert_eq!(job.token.0, 10);
}
