//! What operators ask, and the schema.

use gristmill::buffer::{
    self, BufferError, ListFilter, Lookup, NewJob, OpenError, Options, Owed, TaskBuffer,
};
use gristmill::job::{RecordId, State};

use super::suite::Subject;
use super::write::{NOW, at, job, job_id, job_of, key, owner, request, store_new};

pub const ALL: ListFilter = ListFilter {
    owner: None,
    job_id: None,
    state: None,
    since: None,
    limit: 100,
};

async fn list(buffer: &dyn TaskBuffer, filter: ListFilter) -> Vec<RecordId> {
    buffer
        .list(&filter)
        .await
        .unwrap()
        .into_iter()
        .map(|record| record.id)
        .collect()
}

pub async fn lists_are_filtered(subject: &Subject) {
    let buffer = &*subject.buffer;
    let a = store_new(
        buffer,
        "a",
        vec![job("1"), job("2"), job_of(key("1", 2), "")],
    )
    .await;
    let mut late = request("b", vec![job("1")]);
    late.now = at(NOW + 60);
    let b = super::write::new(buffer.store(late).await.unwrap()[0]);
    buffer
        .kill(&owner("a"), &[(job_id("2"), a[1])], at(NOW))
        .await
        .unwrap();

    let mut all = [a.clone(), vec![b]].concat();
    all.sort_by(|one, other| other.cmp(one));
    assert_eq!(list(buffer, ALL).await, all);
    let limit = ListFilter { limit: 2, ..ALL };
    assert_eq!(list(buffer, limit).await, all[..2]);
    let owner_b = ListFilter {
        owner: Some(owner("b")),
        ..ALL
    };
    assert_eq!(list(buffer, owner_b).await, [b]);
    let job_1 = ListFilter {
        job_id: Some(job_id("1")),
        owner: Some(owner("a")),
        ..ALL
    };
    assert_eq!(list(buffer, job_1).await.len(), 2);
    let cancelled = ListFilter {
        state: Some("cancelled".to_owned()),
        ..ALL
    };
    assert_eq!(list(buffer, cancelled).await, [a[1]]);
    let since = |seconds| ListFilter {
        since: Some(at(seconds)),
        ..ALL
    };
    assert_eq!(list(buffer, since(NOW + 60)).await, [b]);
    assert_eq!(list(buffer, since(NOW + 61)).await, []);
    subject
        .place
        .sql("UPDATE jobs SET state = 'bogus' WHERE owner = 'b'");
    assert_eq!(list(buffer, ALL).await.len(), 3);
}

pub async fn a_dossier_has_everything(subject: &Subject) {
    let buffer = &*subject.buffer;
    let ids = store_new(buffer, "o", vec![job("1"), job("2")]).await;
    buffer
        .kill(&owner("o"), &[(job_id("1"), ids[0])], at(NOW + 1))
        .await
        .unwrap();
    let Lookup::Found(dossier) = buffer.show(ids[0]).await.unwrap() else {
        panic!("it is not there");
    };
    assert_eq!(dossier.record.id, ids[0]);
    assert_eq!(dossier.record.state, State::Cancelled);
    assert_eq!(dossier.payload, Some(job("1").payload));
    let events: Vec<_> = dossier
        .events
        .iter()
        .map(|event| (event.at, &*event.code))
        .collect();
    assert_eq!(events, [(at(NOW), "accepted"), (at(NOW + 1), "cancel")]);

    subject.place.sql("DELETE FROM payloads");
    let Lookup::Found(purged) = buffer.show(ids[1]).await.unwrap() else {
        panic!("a record without a payload is not there");
    };
    assert_eq!(purged.payload, None);
    assert_eq!(buffer.show(RecordId::MAX).await.unwrap(), Lookup::Absent);
    subject.place.sql("UPDATE jobs SET state = 'bogus'");
    let error = buffer.show(ids[0]).await.unwrap_err();
    assert!(
        matches!(&error, BufferError::Corrupt(why) if why.contains("state")),
        "{error}"
    );
}

pub async fn jobs_are_counted_by_state(subject: &Subject) {
    let buffer = &*subject.buffer;
    let empty = buffer.census().await.unwrap();
    assert!(empty.jobs.values().all(|count| *count == 0));
    assert_eq!((empty.unreadable, empty.oldest_ready), (0, None));
    for state in State::ALL {
        assert!(empty.jobs.contains_key(state.name()));
    }

    let mut late = request("a", vec![job("1"), job("2")]);
    late.now = at(NOW + 60);
    buffer.store(late).await.unwrap();
    let mut done = job("3");
    done.state = State::Succeeded;
    let ids = store_new(buffer, "b", vec![job("1"), job("2"), done, job("4")]).await;
    buffer
        .kill(&owner("b"), &[(job_id("2"), ids[1])], at(NOW))
        .await
        .unwrap();
    let census = buffer.census().await.unwrap();
    assert_eq!(census.count(&["ready"]), 4);
    assert_eq!(census.count(&["succeeded", "cancelled"]), 2);
    assert_eq!(census.jobs.values().sum::<u64>(), 6);
    assert_eq!(census.oldest_ready, Some(at(NOW)));

    let bogus = "UPDATE jobs SET state = 'bogus' WHERE owner = 'b' AND job_id IN ('1', '4')";
    subject.place.sql(bogus);
    let census = buffer.census().await.unwrap();
    assert_eq!((census.unreadable, census.count(&["ready"])), (2, 2));
    assert_eq!(census.oldest_ready, Some(at(NOW + 60)));
}

pub async fn unfinished_owners_are_counted(subject: &Subject) {
    let buffer = &*subject.buffer;
    assert_eq!(buffer.unfinished_owners().await.unwrap(), []);
    let ids = store_new(buffer, "b", vec![job("1"), job("2"), job("3")]).await;
    let mut running = job("1");
    running.state = State::Running;
    store_new(buffer, "a", vec![running]).await;
    let mut done = job("1");
    done.state = State::Succeeded;
    store_new(buffer, "c", vec![done]).await;
    buffer
        .kill(&owner("b"), &[(job_id("1"), ids[0])], at(NOW))
        .await
        .unwrap();
    let counts = buffer.unfinished_owners().await.unwrap();
    assert_eq!(counts, [(owner("a"), 1), (owner("b"), 2)]);
}

pub async fn what_is_owed_is_counted(subject: &Subject) {
    let buffer = &*subject.buffer;
    assert_eq!(buffer.owners().await.unwrap(), []);
    let in_state = |name: &str, state| NewJob { state, ..job(name) };
    let jobs = State::ALL.iter().enumerate();
    let jobs = jobs.map(|(n, state)| in_state(&n.to_string(), *state));
    let ids = store_new(buffer, "b", jobs.collect()).await;
    store_new(buffer, "a", vec![in_state("1", State::Failed)]).await;
    store_new(buffer, "B", vec![in_state("1", State::Ready)]).await;
    let owners = buffer.owners().await.unwrap();
    assert_eq!(owners, [owner("B"), owner("a"), owner("b")]);

    let told = State::ALL.iter().position(|state| *state == State::Failed);
    let told = [(ids[told.unwrap()], State::Failed)];
    assert_eq!(buffer.mark_told(&owner("b"), &told).await.unwrap(), [true]);
    let bogus = "UPDATE jobs SET state = 'bogus' WHERE owner = 'b' AND state = 'trashed'";
    subject.place.sql(bogus);
    let ended = State::ALL.iter().filter(|state| state.is_final()).count();
    let unfinished = State::ALL.len() - ended;
    let expected = [
        ("b", unfinished + 1, ended - 2),
        ("a", 0, 1),
        ("B", 1, 0),
        ("c", 0, 0),
    ];
    for (name, unfinished, unreported) in expected {
        let owed = Owed {
            unfinished: unfinished as u64,
            unreported: unreported as u64,
        };
        assert_eq!(buffer.owed(&owner(name)).await.unwrap(), owed, "{name}");
    }
}

pub async fn supervisors_are_remembered_for_each_daemon(subject: &Subject) {
    let buffer = &*subject.buffer;
    let peers = |owners: &[&str]| -> Vec<_> {
        let peers = owners.iter().enumerate();
        peers
            .map(|(n, name)| (format!("{n}@x/ö"), owner(name)))
            .collect()
    };
    for (daemon, owners) in [
        ("a@x/1", &["a", "b"][..]),
        ("b@x/1", &["c"]),
        ("a@x/1", &["b", "a", "a"]),
    ] {
        buffer.remember_peers(daemon, &peers(owners)).await.unwrap();
        assert_eq!(buffer.peers(daemon).await.unwrap(), peers(owners));
    }
    assert_eq!(buffer.peers("b@x/1").await.unwrap(), peers(&["c"]));
    buffer.remember_peers("a@x/1", &[]).await.unwrap();
    assert_eq!(buffer.peers("a@x/1").await.unwrap(), []);
    assert_eq!(buffer.peers("b@x/1").await.unwrap(), peers(&["c"]));
}

pub async fn a_reader_beside_the_daemon_changes_nothing(subject: &Subject) {
    let id = store_new(&*subject.buffer, "o", vec![job("1")]).await[0];
    let (url, options) = (subject.place.url(), subject.place.options());
    let reader = buffer::open_for_reading(&url, &options).await.unwrap();
    assert_eq!(list(&*reader, ALL).await, [id]);
    assert!(matches!(reader.show(id).await, Ok(Lookup::Found(_))));
    let pair = [(job_id("1"), id)];
    let refused = [
        reader.store(request("o", vec![job("2")])).await.err(),
        reader.kill(&owner("o"), &pair, at(NOW)).await.err(),
        reader
            .remember_rejected(&owner("o"), &[], at(NOW), at(0))
            .await
            .err(),
    ];
    for error in refused {
        let error = error.unwrap().to_string();
        assert!(error.contains("for reading only"), "{error}");
    }
    assert_eq!(list(&*subject.buffer, ALL).await, [id]);
    store_new(&*subject.buffer, "o", vec![job("2")]).await;
    assert_eq!(list(&*reader, ALL).await.len(), 2);
}

pub async fn migrations_are_planned_and_run(subject: &Subject) {
    let (url, options) = (subject.place.url(), subject.place.options());
    assert_eq!(buffer::plan(&url, &options).await.unwrap(), []);

    let empty = subject.place.another();
    let (url, options) = (empty.url(), empty.options());
    let planned = buffer::plan(&url, &options).await.unwrap();
    assert!(!planned.is_empty());
    assert_eq!(buffer::plan(&url, &options).await.unwrap(), planned);
    let unwilling = Options {
        migrate: false,
        ..options.clone()
    };
    let error = buffer::open(&url, &unwilling).await.err().unwrap();
    assert!(matches!(error, OpenError::SchemaTooOld { .. }), "{error}");
    assert_eq!(buffer::migrate(&url, &options).await.unwrap(), planned);
    assert_eq!(buffer::plan(&url, &options).await.unwrap(), []);
    assert_eq!(buffer::migrate(&url, &options).await.unwrap(), []);
    store_new(
        &*buffer::open(&url, &unwilling).await.unwrap(),
        "o",
        vec![job("1")],
    )
    .await;
}

pub async fn a_newer_schema_is_refused(subject: &Subject) {
    let place = subject.place.another();
    let (url, options) = (place.url(), place.options());
    buffer::migrate(&url, &options).await.unwrap();
    place.sql(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
         VALUES (9999, 'from_the_future', '2040-01-01T00:00:00Z', '1')",
    );
    let errors = [
        buffer::open(&url, &options).await.err(),
        buffer::open_for_reading(&url, &options).await.err(),
        buffer::plan(&url, &options).await.err(),
        buffer::migrate(&url, &options).await.err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert!(
            matches!(error, OpenError::SchemaTooNew { found: 9999, .. }),
            "{error}"
        );
        assert!(!error.is_transient());
        assert!(error.to_string().contains("newer gristmill"), "{error}");
    }
}
