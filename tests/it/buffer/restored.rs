//! An older copy is put in a store's place: it is refused, and once it is accepted nothing that
//! was answered since the copy is denied.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill::buffer::{
    self, BufferError, Lookup, OpenError, Options, Store, StoreRequest, StoreUrl,
};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::place::Place;
use super::write::{job, job_id, owner, request, store_new};
use crate::rig::mariadb::MariaDb;
use crate::rig::process::PATIENCE;

/// A store, and the folder of its generation file.
struct Site {
    place: Place,
    outside: TempDir,
}

/// What a backup holds.
enum Copy {
    File(Vec<u8>),
    Dump(String),
}

impl Site {
    fn new(place: Place) -> Self {
        let outside = tempfile::tempdir().unwrap();
        Self { place, outside }
    }

    fn options(&self) -> Options {
        Options {
            generation_file: Some(self.outside.path().join("deep/generation")),
            ..self.place.options()
        }
    }

    async fn open(&self) -> Result<Arc<dyn Store>, OpenError> {
        buffer::open(&self.place.url(), &self.options()).await
    }

    /// Stores a job in a session of its own, and makes sure that the store's generation was noted.
    async fn store(&self, name: &str) -> u64 {
        let store = self.open().await.unwrap();
        let ids = store_new(&*store, "o", vec![job(name)]).await;
        store.ping().await.unwrap();
        ids[0].get()
    }

    fn file(&self) -> PathBuf {
        match self.place.url() {
            StoreUrl::Sqlite(file) => file,
            StoreUrl::Mysql(url) => panic!("{url} is no file"),
        }
    }

    fn copy(&self) -> Copy {
        match &self.place {
            Place::Sqlite(_) => {
                let copy = self.outside.path().join("copy.db");
                let into = format!("VACUUM INTO '{}'", copy.display());
                self.place.sql(&into);
                let bytes = std::fs::read(&copy).unwrap();
                std::fs::remove_file(copy).unwrap();
                Copy::File(bytes)
            }
            Place::Mysql { server, database } => Copy::Dump(server.dump(database)),
        }
    }

    /// The thread that writes ends a moment after the store was dropped.
    fn wait_until_closed(&self) {
        let lock = std::fs::File::open(self.file().with_extension("db.lock")).unwrap();
        let begun = Instant::now();
        while lock.try_lock().is_err() {
            assert!(begun.elapsed() < PATIENCE, "the store does not close");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn restore(&self, copy: &Copy) {
        match copy {
            Copy::File(bytes) => {
                self.wait_until_closed();
                for suffix in ["db-wal", "db-shm"] {
                    let _ = std::fs::remove_file(self.file().with_extension(suffix));
                }
                std::fs::remove_file(self.file()).unwrap();
                std::fs::write(self.file(), bytes).unwrap();
            }
            Copy::Dump(statements) => self.place.sql(statements),
        }
    }

    async fn is_refused(&self) {
        let refused = self.open().await.err();
        assert!(
            matches!(refused, Some(OpenError::Restored { .. })),
            "{refused:?}"
        );
        let looked = buffer::restored(&self.place.url(), &self.options()).await;
        assert!(
            matches!(looked, Err(OpenError::Restored { .. })),
            "{looked:?}"
        );
    }
}

/// `lost` is absent, and may not be denied.
async fn is_unknown(store: &dyn Store, lost: &str) {
    let asked = [(job_id(lost), None)];
    let owner = owner("o");
    let found = store.find_jobs(&owner, &asked).await.unwrap();
    assert_eq!(found, [Lookup::Absent]);
    let now = Timestamp::now();
    let before = now - SignedDuration::from_mins(20);
    let denied = store.remember_rejected(&owner, &asked, now, before);
    let denied = denied.await;
    assert!(matches!(denied, Err(BufferError::Restored)), "{denied:?}");
    // An executeJobs that was on its way meanwhile may be one whose job was denied.
    let delayed = StoreRequest {
        sent_at: before,
        ..request("o", vec![job("delayed")])
    };
    let stale = store.store(delayed).await;
    assert!(matches!(stale, Err(BufferError::Stale)), "{stale:?}");
    // Once the memory of rejections is younger than the acceptance, they are denied again.
    let after = now + SignedDuration::from_mins(1);
    let denied = store.remember_rejected(&owner, &asked, now, after);
    assert_eq!(denied.await.unwrap(), [true]);
}

async fn an_older_copy_is_refused_until_it_is_accepted(site: &Site) {
    site.store("kept").await;
    let copy = site.copy();
    let lost = site.store("lost").await;
    assert_eq!(
        buffer::restored(&site.place.url(), &site.options())
            .await
            .unwrap(),
        None
    );
    site.restore(&copy);
    site.is_refused().await;

    let accepted = buffer::accept_restored(&site.place.url(), &site.options()).await;
    let accepted = accepted.unwrap();
    assert!(accepted.copy_at <= accepted.known_at && accepted.known_at <= accepted.accepted_at);
    let given = lost.cast_signed();
    assert!(accepted.first_lost <= given && given < accepted.next_id);
    let looked = buffer::restored(&site.place.url(), &site.options()).await;
    assert_eq!(looked.unwrap(), Some(accepted));
    is_unknown(&*site.open().await.unwrap(), "lost").await;
    let next = site.store("new").await;
    assert!(
        next.cast_signed() >= accepted.next_id,
        "{next} {accepted:?}"
    );

    // The same copy once more: what was given meanwhile is not given again either.
    site.restore(&copy);
    site.is_refused().await;
    let again = buffer::accept_restored(&site.place.url(), &site.options()).await;
    let again = again.unwrap();
    assert!(again.next_id > next.cast_signed() && again.first_lost <= given);
    is_unknown(&*site.open().await.unwrap(), "new").await;
}

/// No evidence is not evidence of a copy.
async fn a_store_without_its_note_is_taken_as_it_is(site: &Site) {
    site.store("1").await;
    std::fs::remove_dir_all(site.outside.path().join("deep")).unwrap();
    site.store("2").await;
    let note = site.outside.path().join("deep/generation");
    let whole = std::fs::read_to_string(&note).unwrap();
    for unreadable in ["", "no number", &whole[..whole.len() / 2]] {
        std::fs::write(&note, unreadable).unwrap();
        let refused = site.open().await.err();
        assert!(
            matches!(&refused, Some(OpenError::Invalid(why)) if why.contains("remove that file")),
            "{refused:?}"
        );
    }
}

/// An empty store, say in a folder whose disk is not mounted, denies all that was answered.
async fn another_store_is_refused_until_it_is_accepted(site: &Site) {
    site.store("1").await;
    let note = site.outside.path().join("deep/generation");
    std::fs::write(&note, "another 5 0\n").unwrap();
    let refused = site.open().await.err();
    assert!(
        matches!(refused, Some(OpenError::Replaced { .. })),
        "{refused:?}"
    );
    let accepted = buffer::accept_restored(&site.place.url(), &site.options()).await;
    assert_eq!(accepted.unwrap().first_lost, 1);
    is_unknown(&*site.open().await.unwrap(), "elsewhere").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    an_older_copy_is_refused_until_it_is_accepted(&Site::new(Place::sqlite())).await;
    a_store_without_its_note_is_taken_as_it_is(&Site::new(Place::sqlite())).await;
    another_store_is_refused_until_it_is_accepted(&Site::new(Place::sqlite())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() {
    let server = Arc::new(MariaDb::start());
    let site = |name| Site::new(Place::mysql(&server, name));
    an_older_copy_is_refused_until_it_is_accepted(&site("copied")).await;
    a_store_without_its_note_is_taken_as_it_is(&site("without")).await;
    another_store_is_refused_until_it_is_accepted(&site("another")).await;

    // Below an open store.
    let site = site("below");
    site.store("kept").await;
    let copy = site.copy();
    let store = site.open().await.unwrap();
    store_new(&*store, "o", vec![job("lost")]).await;
    store.ping().await.unwrap();
    site.restore(&copy);
    let (now, asked) = (Timestamp::now(), [(job_id("lost"), None)]);
    let denied = store.remember_rejected(&owner("o"), &asked, now, now).await;
    assert!(matches!(denied, Err(BufferError::Restored)), "{denied:?}");
    for _ in 0..2 {
        let away = store.ping().await;
        assert!(matches!(away, Err(BufferError::Unreachable(_))), "{away:?}");
    }
}
