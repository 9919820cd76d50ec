//! What runs say of themselves.

use gristmill::buffer::{Claimed, MAX_EVENTS, ProgressReport};
use gristmill::job::{Event, Level, Progress, Step, Token};

use super::{Mill, change};
use crate::buffer::write::{NOW, at};

fn says(job: &Claimed, permille: Option<u16>, events: Vec<Event>) -> ProgressReport {
    ProgressReport {
        id: job.id,
        token: job.token,
        progress: permille.map(|permille| Progress {
            permille,
            words: format!("{permille} of 1000"),
        }),
        events,
    }
}

fn word(n: u32) -> Event {
    Event {
        at: at(NOW + i64::from(n)),
        level: [Level::Event, Level::Warning, Level::Error][n as usize % 3],
        code: "program".to_owned(),
        text: format!("word {n}"),
    }
}

pub async fn progress_is_kept_under_the_latest_claim_only(mill: &Mill) {
    let job = mill.running("1").await;
    let said = says(&job, Some(250), vec![word(0), word(1), word(2)]);
    assert!(mill.claims.report(said.clone()).await.unwrap());
    let (record, events) = mill.dossier(job.id).await;
    let progress = record.progress.unwrap();
    assert_eq!((progress.permille, &*progress.words), (250, "250 of 1000"));
    assert_eq!(events[3..], [word(0), word(1), word(2)]);
    let stale = ProgressReport {
        token: Token(2),
        ..says(&job, Some(999), vec![word(9)])
    };
    assert!(!mill.claims.report(stale).await.unwrap());
    let news = says(&job, None, Vec::new());
    assert!(mill.claims.report(news).await.unwrap());
    assert_eq!(mill.record(job.id).await.progress.unwrap().permille, 250);

    mill.advance(vec![change(&job, Step::Fail { retry: true })], 1)
        .await;
    assert!(!mill.claims.report(said).await.unwrap());
    let (record, events) = mill.dossier(job.id).await;
    assert_eq!((record.progress, events.len()), (None, 7));
}

pub async fn a_run_cannot_say_without_end(mill: &Mill) {
    let job = mill.running("1").await;
    for lot in 0..5 {
        let words = (lot * 300..(lot + 1) * 300).map(word).collect();
        assert!(mill.claims.report(says(&job, None, words)).await.unwrap());
    }
    let events = mill.events(job.id).await;
    let words = events.iter().filter(|event| event.code == "program");
    assert!(words.count() <= MAX_EVENTS as usize);
    let last = events.last().unwrap();
    assert_eq!(
        (&*last.code, last.level),
        ("events_dropped", Level::Warning)
    );
    assert!(events.len() >= MAX_EVENTS as usize && events.len() <= MAX_EVENTS as usize + 2);
    // What happens to the job is told all the same.
    mill.advance(vec![change(&job, Step::Succeed)], 1).await;
    assert_eq!(mill.codes(job.id).await.last().unwrap(), "succeed");
}

pub async fn long_words_are_cut(mill: &Mill) {
    let job = mill.running("1").await;
    let long = Event {
        code: "é".repeat(500),
        text: "ü".repeat(100_000),
        ..word(0)
    };
    let said = ProgressReport {
        progress: Some(Progress {
            permille: 9999,
            words: "ö".repeat(100_000),
        }),
        ..says(&job, None, vec![long])
    };
    assert!(mill.claims.report(said).await.unwrap());
    let (record, events) = mill.dossier(job.id).await;
    let progress = record.progress.unwrap();
    assert_eq!(progress.permille, 1000);
    assert!(progress.words.len() <= 5000 && progress.words.ends_with('ö'));
    let last = events.last().unwrap();
    assert!(last.text.len() <= 5000 && last.text.ends_with('ü'));
    assert!(last.code.len() <= 64 && last.code.ends_with('é'));
}
