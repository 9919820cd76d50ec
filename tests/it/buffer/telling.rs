//! What a supervisor was told, and what it is told of a run.

use std::time::Duration;

use gristmill::buffer::{Lookup, TaskBuffer};
use gristmill::job::{
    OutputFile, Progress, Record, RecordId, RunFault, RunReport, State, Token, Verdict,
};

use super::suite::Subject;
use super::write::{at, job_id, job_of, key, owner, store_new};

async fn record(buffer: &dyn TaskBuffer, name: &str, id: RecordId) -> Record {
    let pair = [(job_id(name), id)];
    match buffer
        .find_records(&owner("o"), &pair)
        .await
        .unwrap()
        .remove(0)
    {
        Lookup::Found(record) => record,
        other => panic!("{name}: {other:?}"),
    }
}

pub async fn a_final_word_is_told_while_it_is_true(subject: &Subject) {
    let buffer = &*subject.buffer;
    let jobs: Vec<_> = State::ALL
        .into_iter()
        .enumerate()
        .map(|(n, state)| gristmill::buffer::NewJob {
            state,
            ..job_of(key(&n.to_string(), 1), "")
        })
        .collect();
    let ids = store_new(buffer, "o", jobs).await;
    let place = |wanted: State| {
        State::ALL
            .iter()
            .position(|state| *state == wanted)
            .unwrap()
    };
    let (failed, succeeded) = (place(State::Failed), place(State::Succeeded));
    let asked = [
        (ids[failed], State::Failed),
        (ids[succeeded], State::Failed),
        (ids[place(State::Ready)], State::Succeeded),
        (RecordId::MAX, State::Failed),
        (ids[failed], State::Failed),
    ];
    let theirs = buffer.mark_told(&owner("x"), &asked).await.unwrap();
    assert_eq!(theirs, [false; 5]);
    let marked = buffer.mark_told(&owner("o"), &asked).await.unwrap();
    assert_eq!(marked, [true, false, false, false, true]);
    for (n, id) in ids.iter().enumerate() {
        let record = record(buffer, &n.to_string(), *id).await;
        assert_eq!(record.told, n == failed, "{n}");
        assert_eq!(record.state, State::ALL[n]);
    }
    let none = buffer.mark_told(&owner("o"), &[]).await.unwrap();
    assert!(none.is_empty());
}

/// As another version of the program, or another program, would write it.
pub async fn what_a_run_left_behind_is_found(subject: &Subject) {
    let buffer = &*subject.buffer;
    let names = ["1", "2", "3"];
    let jobs = names.map(|name| job_of(key(name, 1), name)).to_vec();
    let ids = store_new(buffer, "o", jobs).await;
    let (full, bare, bad) = (ids[0], ids[1], ids[2]);
    let digest = "00ff".repeat(16);
    subject.place.sql(&format!(
        r#"INSERT INTO results (record_id, verdict, started_at, ended_at, exit_code, cpu_us,
               peak_memory, fault_code, fault_text, outputs)
           VALUES ({full}, 'failed', 5000000, 7000001, 65, 1234567, 4096, 'exit-status',
                   'it ended with 65', '[{{"name":"a b","size":7,"sha256":"{digest}"}}]'),
                  ({bare}, 'lost', NULL, 9000000, NULL, 0, 0, NULL, NULL, '[]'),
                  ({bad}, 'lost', NULL, 9000000, NULL, 0, 0, NULL, NULL, '[{{}}]');
           UPDATE jobs SET due_at = 1000000, token = 3, holder = 'h', runs = 2, abandons = 1,
               started_at = 5000000, progress_permille = 250, progress_words = 'half'
           WHERE id = {full};"#
    ));
    let report = RunReport {
        verdict: Verdict::Failed,
        started_at: Some(jiff::Timestamp::from_second(5).unwrap()),
        ended_at: jiff::Timestamp::from_microsecond(7_000_001).unwrap(),
        exit_code: Some(65),
        cpu: Duration::from_micros(1_234_567),
        peak_memory: 4096,
        fault: Some(RunFault {
            code: "exit-status".to_owned(),
            text: "it ended with 65".to_owned(),
        }),
        outputs: vec![OutputFile {
            logical_name: "a b".to_owned(),
            size: 7,
            sha256: std::array::from_fn(|n| if n % 2 == 0 { 0 } else { 0xff }),
        }],
    };
    let found = record(buffer, "1", full).await;
    assert_eq!(found.result.as_deref(), Some(&report));
    assert_eq!(found.due_at, jiff::Timestamp::from_second(1).ok());
    assert_eq!(found.token, Token(3));
    assert_eq!(found.holder.as_deref(), Some("h"));
    assert_eq!((found.runs, found.abandons), (2, 1));
    assert_eq!(found.started_at, report.started_at);
    let progress = Progress {
        permille: 250,
        words: "half".to_owned(),
    };
    assert_eq!(found.progress, Some(progress));
    let lost = record(buffer, "2", bare).await.result.unwrap();
    assert_eq!((lost.verdict, lost.started_at), (Verdict::Lost, None));
    assert_eq!((lost.fault, lost.outputs), (None, Vec::new()));

    let unreadable = buffer
        .find_records(&owner("o"), &[(job_id("3"), bad)])
        .await
        .unwrap();
    assert_eq!(unreadable, [Lookup::Unreachable]);
    let Lookup::Found(dossier) = buffer.show(full).await.unwrap() else {
        panic!("it is not there");
    };
    assert_eq!(dossier.record, found);
    let all = super::operators::ALL;
    let listed = buffer.list(&all).await.unwrap();
    assert!(listed.contains(&found) && listed.len() == 2, "{listed:?}");
    assert!(found.accepted_at < at(super::write::NOW + 1));
}
