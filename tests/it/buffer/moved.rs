//! The files of a store are taken away below it: nothing is answered from what is no longer there.

use std::fs;
use std::path::{Path, PathBuf};

use gristmill::buffer::{self, BufferError, Lookup, Options, Store, StoreUrl};

use super::place::Place;
use super::write::{job, job_id, owner, request, store_new};

fn file(place: &Place) -> PathBuf {
    match place.url() {
        StoreUrl::Sqlite(file) => file,
        StoreUrl::Mysql(_) => unreachable!(),
    }
}

fn with(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

/// Neither stored nor absent nor well; the reason.
async fn is_away(store: &dyn Store) -> String {
    let asked = [(job_id("1"), None), (job_id("none"), None)];
    let looked = store.find_jobs(&owner("o"), &asked).await;
    assert!(
        matches!(looked, Err(BufferError::Unreachable(_))),
        "{looked:?}"
    );
    let now = jiff::Timestamp::now();
    let rejected = store.remember_rejected(&owner("o"), &asked, now, now).await;
    assert!(
        matches!(rejected, Err(BufferError::Unreachable(_))),
        "{rejected:?}"
    );
    let pinged = store.ping().await;
    assert!(
        matches!(pinged, Err(BufferError::Unreachable(_))),
        "{pinged:?}"
    );
    let stored = store.store(request("o", vec![job("late")])).await;
    match stored {
        Err(BufferError::Unreachable(why)) => why,
        stored => panic!("{stored:?}"),
    }
}

/// Its connections would share the daemon's log, and destroy both files.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_the_place_of_an_open_file_is_open_to_no_command() {
    let place = Place::sqlite();
    let (file, options) = (file(&place), Options::default());
    let store = place.open().await;
    store_new(&*store, "o", vec![job("1")]).await;
    let aside = with(&file, ".aside");
    fs::rename(&file, &aside).unwrap();
    fs::copy(&aside, &file).unwrap();
    let operating = buffer::open_for_operating(&place.url(), &options)
        .await
        .map(drop);
    let reading = buffer::open_for_reading(&place.url(), &options)
        .await
        .map(drop);
    for opened in [operating, reading] {
        let why = opened.unwrap_err().to_string();
        assert!(
            why.contains("is not the file that the daemon has open"),
            "{why}"
        );
    }
    fs::rename(&aside, &file).unwrap();
    let operating = buffer::open_for_operating(&place.url(), &options)
        .await
        .unwrap();
    store_new(&*operating, "o", vec![job("2")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_moved_is_away_until_it_is_back() {
    for suffix in ["", "-wal", ".lock"] {
        let place = Place::sqlite();
        let store = place.open().await;
        store_new(&*store, "o", vec![job("1")]).await;
        let name = with(&file(&place), suffix);
        let aside = with(&name, ".aside");
        fs::rename(&name, &aside).unwrap();
        let why = is_away(&*store).await;
        assert!(why.contains("was removed or moved"), "{suffix}: {why}");
        assert!(!name.exists(), "{suffix}: it was made anew");
        fs::rename(&aside, &name).unwrap();
        let asked = [(job_id("1"), None), (job_id("late"), None)];
        let found = store.find_jobs(&owner("o"), &asked).await.unwrap();
        assert!(matches!(found[0], Lookup::Found(_)));
        assert_eq!(found[1], Lookup::Absent);
        store_new(&*store, "o", vec![job("2")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_is_away() {
    for suffix in ["", "-wal", ".lock"] {
        let place = Place::sqlite();
        let store = place.open().await;
        store_new(&*store, "o", vec![job("1")]).await;
        let name = with(&file(&place), suffix);
        let copy = with(&name, ".copy");
        fs::copy(&name, &copy).unwrap();
        fs::rename(&copy, &name).unwrap();
        let why = is_away(&*store).await;
        assert!(why.contains("was replaced"), "{suffix}: {why}");
    }
}
