//! Look-ups: found, absent, unreachable, and never one for another.

use gristmill::buffer::{KnownJob, Lookup, TaskBuffer};
use gristmill::job::{JobId, Owner, RecordId};

use super::suite::Subject;
use super::write::{attempt, job, job_id, job_of, key, owner, store_new};

async fn find(buffer: &dyn TaskBuffer, owner: &Owner, job_id: JobId) -> Lookup<KnownJob> {
    buffer
        .find_jobs(owner, &[(job_id, None)])
        .await
        .unwrap()
        .remove(0)
}

fn accepted(id: RecordId, number: u32) -> Lookup<KnownJob> {
    let attempt = attempt(number);
    Lookup::Found(KnownJob::Accepted { id, attempt })
}

pub async fn owners_see_their_own_only(subject: &Subject) {
    let buffer = &*subject.buffer;
    let ours = store_new(buffer, "ours", vec![job("1"), job("2")]).await;
    let theirs = store_new(buffer, "theirs", vec![job("1")]).await;
    assert_ne!(ours[0], theirs[0]);
    assert_eq!(
        find(buffer, &owner("ours"), job_id("1")).await,
        accepted(ours[0], 1)
    );
    assert_eq!(
        find(buffer, &owner("theirs"), job_id("1")).await,
        accepted(theirs[0], 1)
    );
    assert_eq!(
        find(buffer, &owner("theirs"), job_id("2")).await,
        Lookup::Absent
    );
    let stolen = [(job_id("1"), ours[0]), (job_id("2"), ours[1])];
    let found = buffer
        .find_records(&owner("theirs"), &stolen)
        .await
        .unwrap();
    assert_eq!(found, [Lookup::Absent, Lookup::Absent]);
}

pub async fn the_latest_attempt_counts(subject: &Subject) {
    let numbers = [2, 10, 1, 9, u32::MAX];
    let jobs = numbers
        .map(|number| job_of(key("1", number), &number.to_string()))
        .to_vec();
    let ids = store_new(&*subject.buffer, "o", jobs).await;
    let mut asked: Vec<_> = numbers
        .map(|number| (job_id("1"), Some(attempt(number))))
        .to_vec();
    asked.extend([(job_id("1"), None), (job_id("1"), Some(attempt(3)))]);
    let found = subject.buffer.find_jobs(&owner("o"), &asked).await.unwrap();
    for (place, number) in numbers.into_iter().enumerate() {
        assert_eq!(found[place], accepted(ids[place], number));
    }
    assert_eq!(found[5], accepted(ids[4], u32::MAX));
    assert_eq!(found[6], Lookup::Absent);
}

pub async fn wrong_pairs_are_absent(subject: &Subject) {
    let ids = store_new(&*subject.buffer, "o", vec![job("1"), job("2")]).await;
    let pairs = [
        (job_id("1"), ids[1]),
        (job_id("2"), ids[0]),
        (job_id("1"), RecordId::MAX),
        (job_id("3"), ids[0]),
        (job_id("1"), ids[0]),
    ];
    let found = subject
        .buffer
        .find_records(&owner("o"), &pairs)
        .await
        .unwrap();
    assert!(
        found[..4].iter().all(|found| *found == Lookup::Absent),
        "{found:?}"
    );
    assert!(
        matches!(&found[4], Lookup::Found(record) if record.id == ids[0]),
        "{found:?}"
    );
}

pub async fn a_thousand_keys_in_one_question(subject: &Subject) {
    let name = |n: usize| format!("job {n}");
    let ids = store_new(
        &*subject.buffer,
        "o",
        (0..1000).map(|n| job(&name(n))).collect(),
    )
    .await;
    // Each third one is not there; attempts asked and not asked.
    let ask = |n: usize| match n % 3 {
        0 => (job_id(&name(n)), None),
        1 => (job_id(&name(n)), Some(attempt(1))),
        _ => (job_id(&name(n)), Some(attempt(2))),
    };
    let asked: Vec<_> = (0..1000).rev().map(ask).collect();
    let found = subject.buffer.find_jobs(&owner("o"), &asked).await.unwrap();
    assert_eq!(found.len(), 1000);
    for (n, found) in (0..1000).rev().zip(found) {
        let wanted = if n % 3 == 2 {
            Lookup::Absent
        } else {
            accepted(ids[n], 1)
        };
        assert_eq!(found, wanted, "{n}");
    }
    let pair = |n: usize| {
        (
            job_id(&name(if n.is_multiple_of(5) { n + 1 } else { n })),
            ids[n],
        )
    };
    let pairs: Vec<_> = (0..1000).rev().map(pair).collect();
    let found = subject
        .buffer
        .find_records(&owner("o"), &pairs)
        .await
        .unwrap();
    for (n, found) in (0..1000).rev().zip(found) {
        match found {
            Lookup::Found(record) => assert!(n % 5 != 0 && record.id == ids[n], "{n}"),
            other => assert!(n % 5 == 0 && other == Lookup::Absent, "{n}"),
        }
    }
}

#[rustfmt::skip]
const HOSTILE: &[&str] = &[
    "a", "A", "a ", " a", "ä", "a\u{308}", "'", "''", "\"", "\\", "\\\\", "\\'", "%", "_", "?",
    ":1", "@x", "`", ";", "--", "' OR 1=1 -- ", "😀", "😁", "\u{10ffff}", "0", "00", "0x41", "NULL",
    "1e0", "\u{feff}a", "𝔞", "ß", "ss",
];

pub async fn hostile_names_stay_themselves(subject: &Subject) {
    let longest = "😀".repeat(JobId::MAX_CHARS);
    let names: Vec<&str> = HOSTILE.iter().copied().chain([longest.as_str()]).collect();
    let owners = names
        .iter()
        .filter(|name| name.len() <= Owner::MAX_BYTES)
        .map(|name| owner(name))
        .chain([owner(&"ü".repeat(127))]);
    let mut stored = Vec::new();
    for owner in owners {
        let jobs = names.iter().map(|name| job(name)).collect();
        let ids = store_new(&*subject.buffer, owner.as_str(), jobs).await;
        stored.push((owner, ids));
    }
    for (owner, ids) in stored {
        let asked: Vec<_> = names.iter().map(|name| (job_id(name), None)).collect();
        let found = subject.buffer.find_jobs(&owner, &asked).await.unwrap();
        let wanted: Vec<_> = ids.iter().map(|id| accepted(*id, 1)).collect();
        assert_eq!(found, wanted, "{owner:?}");
        let pairs: Vec<_> = names
            .iter()
            .zip(&ids)
            .map(|(name, id)| (job_id(name), *id))
            .collect();
        let found = subject.buffer.find_records(&owner, &pairs).await.unwrap();
        for ((name, id), found) in names.iter().zip(ids).zip(found) {
            let Lookup::Found(record) = found else {
                panic!("{owner:?} {name:?}: {found:?}");
            };
            assert_eq!(
                (record.id, record.owner, record.key),
                (id, owner.clone(), key(name, 1))
            );
        }
    }
}

pub async fn a_row_that_cannot_be_read_hides_no_other(subject: &Subject) {
    let names = ["1", "2", "3", "4", "5", "6"];
    let ids = store_new(&*subject.buffer, "o", names.map(job).to_vec()).await;
    subject.place.sql(
        "UPDATE jobs SET state = 'bogus' WHERE job_id = '2';
         UPDATE jobs SET since = 9223372036854775807 WHERE job_id = '3';
         UPDATE jobs SET state = 'held' WHERE job_id = '4';
         UPDATE jobs SET content_hash = 'short' WHERE job_id = '5';
         UPDATE jobs SET priority_neg = 3000000000 WHERE job_id = '6';"
            .replace("'short'", "x'00'")
            .as_str(),
    );
    let pairs: Vec<_> = names
        .iter()
        .zip(&ids)
        .map(|(name, id)| (job_id(name), *id))
        .collect();
    let found = subject
        .buffer
        .find_records(&owner("o"), &pairs)
        .await
        .unwrap();
    assert!(matches!(found[0], Lookup::Found(_)), "{found:?}");
    assert!(
        found[1..].iter().all(|found| *found == Lookup::Unreachable),
        "{found:?}"
    );

    let killed = subject
        .buffer
        .kill(&owner("o"), &pairs[..2], super::write::at(1))
        .await
        .unwrap();
    assert_eq!(killed[0], Lookup::Found(gristmill::buffer::Kill::Killed));
    assert_eq!(killed[1], Lookup::Unreachable);
    assert_eq!(
        subject
            .place
            .number("SELECT COUNT(*) FROM jobs WHERE state = 'bogus'"),
        1
    );
}

pub async fn questions_may_repeat_a_key(subject: &Subject) {
    let id = store_new(&*subject.buffer, "o", vec![job("1")]).await[0];
    let asked = [
        (job_id("1"), None),
        (job_id("1"), None),
        (job_id("1"), Some(attempt(1))),
    ];
    let found = subject.buffer.find_jobs(&owner("o"), &asked).await.unwrap();
    assert_eq!(found, vec![accepted(id, 1); 3]);
    let pairs = [(job_id("1"), id), (job_id("2"), id), (job_id("1"), id)];
    let found = subject
        .buffer
        .find_records(&owner("o"), &pairs)
        .await
        .unwrap();
    assert!(
        matches!(
            found[..],
            [Lookup::Found(_), Lookup::Absent, Lookup::Found(_)]
        ),
        "{found:?}"
    );
}
