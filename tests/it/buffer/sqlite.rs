//! What only SQLite can do wrong.

use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Duration;

use gristmill::buffer::{self, BufferError, Lookup, NewJob, OpenError, StoreUrl};

use super::place::Place;
use super::write::{job, job_id, job_of, key, owner, request, store_new};

#[tokio::test(flavor = "multi_thread")]
async fn one_daemon_a_file() {
    let place = Place::sqlite();
    let first = place.open().await;
    let error = buffer::open(&place.url(), &place.options())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(!error.is_transient());
    drop(first);
    place.open().await;
}

/// Links are other names for one file, and do not make two of it.
#[tokio::test(flavor = "multi_thread")]
async fn one_daemon_a_file_by_whatever_name() {
    let place = Place::sqlite();
    let first = place.open().await;
    let StoreUrl::Sqlite(file) = place.url() else {
        unreachable!()
    };
    let links = tempfile::tempdir().unwrap();
    symlink(&file, links.path().join("file.db")).unwrap();
    symlink(file.parent().unwrap(), links.path().join("folder")).unwrap();
    for name in ["file.db", "folder/buffer.db"] {
        let url = StoreUrl::Sqlite(links.path().join(name));
        let error = buffer::open(&url, &place.options()).await.err();
        assert!(matches!(error, Some(OpenError::InUse(_))), "{name}");
    }
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn record_ids_are_new_after_a_restart() {
    let place = Place::sqlite();
    let before = store_new(&*place.open().await, "o", vec![job("1"), job("2")]).await;
    place.sql("DELETE FROM payloads; DELETE FROM jobs;");
    let after = store_new(&*place.open().await, "o", vec![job("3")]).await;
    assert!(after[0] > before[1], "{after:?} {before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_are_private() {
    let place = Place::sqlite();
    let buffer = place.open().await;
    store_new(&*buffer, "o", vec![job("1")]).await;
    let Place::Sqlite(folder) = &place else {
        unreachable!()
    };
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let mode = file.metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?} {mode:o}", file.file_name());
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let options = Place::sqlite().options();
    let missing = format!("sqlite:{}/none/buffer.db", folder.path().display());
    let error = buffer::open(&StoreUrl::parse(&missing).unwrap(), &options)
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("its folder is not there"),
        "{error}"
    );

    let path = folder.path().join("text");
    std::fs::write(
        &path,
        "this is a text of some length, and no database at all",
    )
    .unwrap();
    let url = StoreUrl::Sqlite(path);
    let error = buffer::open(&url, &options).await.err().unwrap();
    assert!(matches!(error, OpenError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("not a database"), "{error}");
    let absent = StoreUrl::Sqlite(folder.path().join("absent.db"));
    let error = buffer::open_for_reading(&absent, &options)
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("absent.db"), "{error}");
}

/// Somebody else writes the file for longer than a transaction waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_stays_is_unreachable_and_nothing_is_stored() {
    let place = Place::sqlite();
    let buffer = place.open().await;
    let other = place.sqlite_connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = std::time::Instant::now();
    let error = buffer
        .store(request("o", vec![job("1")]))
        .await
        .unwrap_err();
    assert!(matches!(error, BufferError::Unreachable(_)), "{error}");
    assert!(started.elapsed() >= Duration::from_secs(1));
    // Readers do not wait for it.
    let found = buffer
        .find_jobs(&owner("o"), &[(job_id("1"), None)])
        .await
        .unwrap();
    assert_eq!(found, [Lookup::Absent]);
    other.execute_batch("ROLLBACK").unwrap();
    store_new(&*buffer, "o", vec![job("1")]).await;
}

/// What is recalled is exactly what came in under the key; where nothing is, nothing is said.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_is_recalled() {
    let place = Place::sqlite();
    let buffer = place.open().await;
    let payload = "<job jobID=\"1\">\u{1F980}'\"\\ %_</job>\n";
    let mut jobs: Vec<_> = (2..=1200).map(|name| job(&name.to_string())).collect();
    jobs.push(NewJob {
        priority: -7,
        ..job_of(key("1", 2), payload)
    });
    store_new(&*buffer, "o", jobs.clone()).await;
    store_new(&*buffer, "other", vec![job("1"), job("none")]).await;
    let mut keys: Vec<_> = jobs.iter().map(|job| job.key.clone()).collect();
    keys.insert(3, key("none", 1));
    keys.insert(7, key("2", 2));
    let recalled = buffer.recall(&owner("o"), &keys).await.unwrap();
    assert_eq!(recalled.len(), keys.len());
    for (key, recalled) in keys.iter().zip(&recalled) {
        let job = jobs.iter().find(|job| job.key == *key);
        match recalled {
            Some(kept) => {
                let job = job.unwrap();
                assert_eq!(kept.payload, job.payload);
                assert_eq!((kept.content, kept.priority), (job.content, job.priority));
            }
            None => assert!(job.is_none(), "{key}"),
        }
    }
    let recalled = buffer.recall(&owner("o"), &[key("1", 2)]).await.unwrap();
    assert_eq!(recalled[0].as_ref().unwrap().payload, payload);
    assert_eq!(recalled[0].as_ref().unwrap().priority, -7);
    assert!(buffer.recall(&owner("o"), &[]).await.unwrap().is_empty());
}

/// A reader that needs the log holds nobody up, and afterwards the log is cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_log_is_cut_when_no_reader_needs_it() {
    const LARGE: u64 = 20 << 20;
    let place = Place::sqlite();
    let buffer = place.open().await;
    store_new(&*buffer, "o", vec![job("1")]).await;
    let reader = place.sqlite_connection();
    let count = |reader: &rusqlite::Connection| {
        let query = "SELECT COUNT(*) FROM jobs";
        reader
            .query_row(query, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(&reader), 1);
    let payload = "x".repeat(1 << 20);
    for number in 0..(LARGE >> 20) {
        let name = format!("large {number}");
        store_new(&*buffer, "o", vec![job_of(key(&name, 1), &payload)]).await;
    }
    let log_bytes = || buffer.log_bytes().unwrap();
    assert!(log_bytes() > LARGE, "{}", log_bytes());
    assert_eq!(count(&reader), 1, "a snapshot");
    reader.execute_batch("COMMIT").unwrap();
    // What is looked at now and then, also where nothing is stored.
    buffer.try_write(false).await.unwrap();
    // The answer comes before the cut.
    buffer.try_write(true).await.unwrap();
    assert!(log_bytes() < 1 << 20, "{}", log_bytes());
    let StoreUrl::Sqlite(file) = place.url() else {
        unreachable!()
    };
    let log = file.with_file_name("buffer.db-wal");
    assert!(log.metadata().unwrap().len() < 1 << 20);
    assert_eq!(count(&reader), 21);
    store_new(&*buffer, "o", vec![job("after")]).await;
}
