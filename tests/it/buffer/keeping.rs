//! Storing: idempotent, in order, byte for byte.

use std::collections::HashSet;

use gristmill::buffer::{KnownJob, Lookup, NewJob, Stored};
use gristmill::job::{Attempt, Record, State, Token};

use super::suite::Subject;
use super::write::{NOW, at, attempt, job, job_id, job_of, key, new, owner, request, store_new};

pub async fn new_jobs_get_records(subject: &Subject) {
    let mut jobs = vec![job("1"), job("2"), job_of(key("1", 2), "<job/>")];
    jobs[1].priority = 7;
    let ids = store_new(&*subject.buffer, "o", jobs.clone()).await;
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3);

    let pairs: Vec<_> = jobs
        .iter()
        .zip(&ids)
        .map(|(job, id)| (job.key.job_id.clone(), *id))
        .collect();
    let found = subject
        .buffer
        .find_records(&owner("o"), &pairs)
        .await
        .unwrap();
    for ((job, id), found) in jobs.into_iter().zip(ids).zip(found) {
        let record = Record {
            id,
            owner: owner("o"),
            key: job.key,
            state: State::Ready,
            priority: job.priority,
            content: job.content,
            reason: None,
            accepted_at: at(NOW),
            since: at(NOW),
            kill_requested_at: None,
            due_at: None,
            token: Token(0),
            holder: None,
            runs: 0,
            abandons: 0,
            started_at: None,
            progress: None,
            told: false,
            result: None,
        };
        assert_eq!(found, Lookup::Found(record));
    }
}

pub async fn payloads_are_kept_byte_for_byte(subject: &Subject) {
    let payloads = [
        String::new(),
        "<job>\r\n\t'quote\" \\n \\ % _ ; -- /* */ `</job> ".to_owned(),
        "\u{feff}😀 é e\u{301} \u{10ffff}".to_owned(),
        "x".repeat(3 << 20),
    ];
    for (number, payload) in (1..).zip(&payloads) {
        let ids = store_new(
            &*subject.buffer,
            "o",
            vec![job_of(key("1", number), payload)],
        )
        .await;
        let Lookup::Found(dossier) = subject.buffer.show(ids[0]).await.unwrap() else {
            panic!("attempt {number} is not there");
        };
        assert!(
            dossier.payload.as_ref() == Some(payload),
            "attempt {number} has changed"
        );
    }
}

pub async fn the_same_again_is_a_duplicate(subject: &Subject) {
    let id = store_new(&*subject.buffer, "o", vec![job("1")]).await[0];
    let mut again = job("1");
    "<job  jobID='1' />".clone_into(&mut again.payload);
    again.priority = 3;
    for _ in 0..3 {
        let stored = subject
            .buffer
            .store(request("o", vec![again.clone()]))
            .await
            .unwrap();
        assert_eq!(stored, [Stored::Duplicate(id)]);
    }
    let Lookup::Found(dossier) = subject.buffer.show(id).await.unwrap() else {
        panic!("it is gone");
    };
    assert_eq!(dossier.payload, Some(job("1").payload));
    assert_eq!(subject.place.number("SELECT COUNT(*) FROM jobs"), 1);
}

pub async fn other_content_is_a_conflict(subject: &Subject) {
    let id = store_new(&*subject.buffer, "o", vec![job("1")]).await[0];
    let other = job_of(key("1", 1), "other");
    let stored = subject
        .buffer
        .store(request("o", vec![other]))
        .await
        .unwrap();
    assert_eq!(stored, [Stored::Conflict]);
    let found = subject
        .buffer
        .find_records(&owner("o"), &[(job_id("1"), id)])
        .await
        .unwrap();
    let [Lookup::Found(record)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(record.content, job("1").content);
}

pub async fn a_mixed_request_is_answered_in_order(subject: &Subject) {
    let id = store_new(&*subject.buffer, "o", vec![job("3")]).await[0];
    store_new(&*subject.buffer, "o", vec![job("1")]).await;
    let mixed = vec![job("4"), job_of(key("1", 1), "other"), job("2"), job("3")];
    let stored = subject.buffer.store(request("o", mixed)).await.unwrap();
    assert!(matches!(stored[0], Stored::New(_)), "{stored:?}");
    assert_eq!(stored[1], Stored::Conflict);
    assert!(matches!(stored[2], Stored::New(_)), "{stored:?}");
    assert_eq!(stored[3], Stored::Duplicate(id));
    let jobs = [(job_id("4"), None), (job_id("2"), None)];
    let found = subject.buffer.find_jobs(&owner("o"), &jobs).await.unwrap();
    for (stored, found) in [stored[0], stored[2]].into_iter().zip(found) {
        let (id, attempt) = (new(stored), Attempt::FIRST);
        assert_eq!(found, Lookup::Found(KnownJob::Accepted { id, attempt }));
    }
}

/// The first job tells nothing of the others, whether it is known or new.
pub async fn the_first_job_speaks_for_itself(subject: &Subject) {
    let buffer = &*subject.buffer;
    let known = store_new(buffer, "o", vec![job("1"), job("2")]).await;
    let answers = |stored: Vec<Stored>| -> Vec<_> {
        let number = |stored: &Stored| match stored {
            Stored::Duplicate(id) => known.iter().position(|known| known == id),
            _ => None,
        };
        stored.iter().map(number).collect()
    };
    let known_first = vec![job("2"), job("3"), job("1"), job("4")];
    let stored = buffer.store(request("o", known_first)).await.unwrap();
    assert!(matches!(stored[1], Stored::New(_)), "{stored:?}");
    assert!(matches!(stored[3], Stored::New(_)), "{stored:?}");
    assert_eq!(answers(stored), [Some(1), None, Some(0), None]);
    let new_first = vec![job("5"), job("1"), job("6"), job("2")];
    let stored = buffer.store(request("o", new_first)).await.unwrap();
    assert!(matches!(stored[0], Stored::New(_)), "{stored:?}");
    assert!(matches!(stored[2], Stored::New(_)), "{stored:?}");
    assert_eq!(answers(stored), [None, Some(0), None, Some(1)]);
    for table in ["jobs", "payloads"] {
        let query = format!("SELECT COUNT(*) FROM {table}");
        assert_eq!(subject.place.number(&query), 6);
    }
}

/// Half of them send other content: whoever comes first wins the key, for all.
pub async fn sixteen_senders_agree_on_one_record(subject: &Subject) {
    const SENDERS: usize = 16;
    const KEYS: usize = 50;
    let requests = (0..SENDERS).map(|sender| {
        let content = |n: usize| format!("content {}", if n < KEYS / 2 { 0 } else { sender % 2 });
        let mut jobs: Vec<NewJob> = (0..KEYS)
            .map(|n| job_of(key(&n.to_string(), 1), &content(n)))
            .collect();
        jobs.rotate_left(sender * 7 % KEYS);
        let buffer = subject.buffer.clone();
        tokio::spawn(async move {
            let stored = buffer.store(request("o", jobs.clone())).await.unwrap();
            jobs.into_iter()
                .map(|job| job.key)
                .zip(stored)
                .collect::<Vec<_>>()
        })
    });
    let mut news = std::collections::HashMap::new();
    let mut others = Vec::new();
    for answers in futures::future::join_all(requests).await {
        for (key, stored) in answers.unwrap() {
            match stored {
                Stored::New(id) => assert_eq!(news.insert(key.clone(), id), None, "{key} twice"),
                other => others.push((key, other)),
            }
        }
    }
    assert_eq!(news.len(), KEYS);
    assert_eq!(others.len(), (SENDERS - 1) * KEYS);
    for (key, stored) in &others {
        let shared = key.job_id.as_str().parse::<usize>().unwrap() < KEYS / 2;
        assert!(
            !shared || *stored == Stored::Duplicate(news[key]),
            "{key} {stored:?}"
        );
    }
    let conflicts = others
        .iter()
        .filter(|(_, stored)| *stored == Stored::Conflict)
        .count();
    assert_eq!(conflicts, KEYS / 2 * SENDERS / 2);
    assert_eq!(subject.place.number("SELECT COUNT(*) FROM jobs"), 50);
    assert_eq!(subject.place.number("SELECT COUNT(*) FROM payloads"), 50);
}

/// More bytes than a statement may have on MariaDB as it comes (16 MiB).
pub async fn large_requests_are_stored_whole(subject: &Subject) {
    let jobs: Vec<_> = (0..1003)
        .map(|n| job_of(key(&format!("large {n}"), 1), &format!("{n}").repeat(9_000)))
        .collect();
    let ids = store_new(&*subject.buffer, "o", jobs.clone()).await;
    let lengths = subject
        .place
        .number("SELECT SUM(LENGTH(xml)) FROM payloads");
    assert_eq!(
        lengths,
        i64::try_from(jobs.iter().map(|job| job.payload.len()).sum::<usize>()).unwrap()
    );
    for n in [0, 500, 1002] {
        let Lookup::Found(dossier) = subject.buffer.show(ids[n]).await.unwrap() else {
            panic!("{n} is not there");
        };
        assert_eq!(dossier.record.key, jobs[n].key);
        assert!(
            dossier.payload.as_ref() == Some(&jobs[n].payload),
            "{n} has changed"
        );
    }
}

pub async fn an_empty_request_is_fine(subject: &Subject) {
    assert_eq!(
        subject
            .buffer
            .store(request("o", Vec::new()))
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        subject.buffer.find_jobs(&owner("o"), &[]).await.unwrap(),
        []
    );
    assert_eq!(
        subject.buffer.find_records(&owner("o"), &[]).await.unwrap(),
        []
    );
    assert_eq!(
        subject
            .buffer
            .kill(&owner("o"), &[], at(NOW))
            .await
            .unwrap(),
        []
    );
    let remembered = subject
        .buffer
        .remember_rejected(&owner("o"), &[], at(NOW), at(0))
        .await;
    assert!(remembered.unwrap().is_empty());
}

pub async fn every_first_state_and_priority_is_kept(subject: &Subject) {
    let jobs = State::ALL
        .into_iter()
        .zip([i32::MIN, -1, 0, 1, i32::MAX].into_iter().cycle());
    for (number, (state, priority)) in (1..).zip(jobs) {
        let new = NewJob {
            state,
            priority,
            ..job_of(key("1", number), "")
        };
        let id = store_new(&*subject.buffer, "o", vec![new]).await[0];
        let found = subject
            .buffer
            .find_records(&owner("o"), &[(job_id("1"), id)])
            .await
            .unwrap();
        let [Lookup::Found(record)] = &found[..] else {
            panic!("{state:?}: {found:?}");
        };
        assert_eq!((record.state, record.priority), (state, priority));
        assert_eq!(record.key.attempt, attempt(number));
    }
}

/// Also when the newest rows are gone.
pub async fn record_ids_are_never_given_again(subject: &Subject) {
    let buffer = &*subject.buffer;
    let first = store_new(buffer, "o", (0..20).map(|n| job(&n.to_string())).collect()).await;
    let newest = first.iter().max().unwrap();
    subject.place.sql("DELETE FROM payloads; DELETE FROM jobs;");
    let next = store_new(buffer, "o", vec![job("next")]).await;
    assert!(next[0] > *newest, "{} is not new after {newest}", next[0]);
}
