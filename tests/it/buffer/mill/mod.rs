//! Claims and operations: one suite for every store.

mod appearing;
mod claiming;
mod counting;
mod draining;
mod operating;
mod ordering;
mod purging;
mod reporting;
mod settling;
mod telling;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use gristmill::buffer::{
    AdvanceRequest, Advanced, Change, ClaimRequest, Claimed, Claims, Holder, Lookup, MysqlBuffer,
    NewJob, Notices, Operations, Options, SqliteBuffer, StoreUrl, TaskBuffer,
};
use gristmill::job::policy::Backoff;
use gristmill::job::{
    Event, Fence, Limits, Record, RecordId, RunReport, State, Step, Token, Verdict,
};

use super::place::Place;
use super::write::{NOW, at, job_of, key, store_new};
use crate::rig::mariadb::MariaDb;

/// A store in a place of its own.
pub struct Mill {
    pub place: Place,
    pub buffer: Arc<dyn TaskBuffer>,
    pub claims: Arc<dyn Claims>,
    pub operations: Arc<dyn Operations>,
    pub notices: Arc<dyn Notices>,
}

type Case = for<'a> fn(&'a Mill) -> BoxFuture<'a, ()>;

macro_rules! cases {
    ($($module:ident: $($case:ident)*;)*) => {
        &[$($((concat!(stringify!($module), "_", stringify!($case)), |mill| {
            Box::pin($module::$case(mill))
        })),*),*]
    };
}

/// A case of this suite, by its name, which can be that of a database.
pub const CASES: &[(&str, Case)] = cases! {
    appearing: of_two_processes_the_second_finds_the_first;
    claiming: the_most_urgent_go_first_then_the_oldest a_claim_says_what_is_to_be_run
        only_what_is_ready_is_claimed nothing_is_claimed_twice
        what_cannot_be_built_stands_in_nobodys_way scheduled_jobs_are_claimed_when_due
        a_clock_that_was_set_back_holds_nobody_up;
    settling: a_run_goes_through_its_states another_claims_word_changes_nothing
        several_changes_of_one_record_follow_each_other repeating_is_harmless
        what_is_not_there_is_missing a_fault_is_a_reason a_thousand_are_settled_at_once
        a_wish_to_kill_ends_what_would_run_again a_rescuer_must_have_watched_to_the_end
        events_replay_to_the_state;
    counting: failed_runs_wait_longer_and_longer abandons_trash_in_the_end_with_all_reasons
        giving_back_counts_nothing;
    ordering: leases_tell_who_holds_what
        a_claim_tells_the_longest_lengths_of_its_holder renewals_are_counted
        a_store_keeps_a_name_of_its_own a_holder_hears_of_kills_and_losses;
    reporting: progress_is_kept_under_the_latest_claim_only a_run_cannot_say_without_end
        long_words_are_cut;
    operating: every_action_does_what_the_rules_say a_kill_is_a_wish_where_a_job_is_in_hand
        a_hold_keeps_the_time_that_a_job_waits_for what_runs_again_begins_anew
        what_was_told_is_undone_by_force_only a_trashed_run_is_stale
        what_is_asked_twice_is_done_once;
    draining: a_daemon_hears_that_it_drains drains_are_listed open_breakers_are_listed;
    telling: whoever_listens_hears_of_new_words;
    purging: a_purge_keeps_names_and_final_words what_is_purged_is_still_a_duplicate
        only_what_ended_long_ago_is_purged a_purge_goes_by_lots what_is_purged_does_not_run_again
        old_keys_go_when_their_supervisor_was_told;
};

impl Mill {
    /// All faces of one store.
    pub fn of<S>(place: Place, store: S) -> Self
    where
        S: TaskBuffer + Claims + Operations + Notices + 'static,
    {
        let store = Arc::new(store);
        Self {
            place,
            buffer: store.clone(),
            claims: store.clone(),
            operations: store.clone(),
            notices: store,
        }
    }

    async fn sqlite() -> Self {
        let place = Place::sqlite();
        let StoreUrl::Sqlite(path) = place.url() else {
            unreachable!()
        };
        let store = SqliteBuffer::open(&path, &Options::default()).await;
        Self::of(place, store.unwrap())
    }

    async fn mysql(server: &Arc<MariaDb>, database: &str) -> Self {
        let place = Place::mysql(server, database);
        let StoreUrl::Mysql(url) = place.url() else {
            unreachable!()
        };
        let store = MysqlBuffer::open(&url, &place.options()).await;
        Self::of(place, store.unwrap())
    }

    /// Stores jobs of these names, ready; their record IDs.
    async fn ready(&self, names: &[&str]) -> Vec<RecordId> {
        self.stored(names, State::Ready).await
    }

    async fn stored(&self, names: &[&str], state: State) -> Vec<RecordId> {
        let job = |name: &&str| NewJob {
            state,
            ..job_of(key(name, 1), name)
        };
        store_new(&*self.buffer, "o", names.iter().map(job).collect()).await
    }

    /// Claims by `holder()`, so many seconds after [`NOW`].
    async fn claim(&self, most: u32, seconds: i64) -> Vec<Claimed> {
        self.claim_by(&holder(), most, seconds).await
    }

    async fn claim_by(&self, holder: &Holder, most: u32, seconds: i64) -> Vec<Claimed> {
        let request = ClaimRequest {
            holder: holder.clone(),
            most,
            pass_over: None,
            now: at(NOW + seconds),
        };
        self.claims.claim(request).await.unwrap()
    }

    /// A job of this name, claimed.
    async fn claimed(&self, name: &str) -> Claimed {
        self.ready(&[name]).await;
        let mut claimed = self.claim(100, 0).await;
        let place = claimed
            .iter()
            .position(|job| job.key == key(name, 1))
            .unwrap();
        claimed.swap_remove(place)
    }

    /// A job of this name, running.
    async fn running(&self, name: &str) -> Claimed {
        let job = self.claimed(name).await;
        let started = self.advance(vec![change(&job, Step::Start)], 0).await;
        assert_eq!(started, [Advanced::Done(State::Running)]);
        job
    }

    async fn advance(&self, changes: Vec<Change>, seconds: i64) -> Vec<Advanced> {
        let request = AdvanceRequest {
            changes,
            limits: LIMITS,
            now: at(NOW + seconds),
        };
        self.claims.advance(request).await.unwrap()
    }

    async fn record(&self, id: RecordId) -> Record {
        self.dossier(id).await.0
    }

    async fn events(&self, id: RecordId) -> Vec<Event> {
        self.dossier(id).await.1
    }

    async fn codes(&self, id: RecordId) -> Vec<String> {
        let events = self.events(id).await.into_iter();
        events.map(|event| event.code).collect()
    }

    async fn dossier(&self, id: RecordId) -> (Record, Vec<Event>) {
        match self.buffer.show(id).await.unwrap() {
            Lookup::Found(dossier) => (dossier.record, dossier.events),
            other => panic!("{id}: {other:?}"),
        }
    }
}

const LIMITS: Limits = Limits {
    max_runs: 3,
    max_abandons: 5,
    backoff: Backoff {
        first: Duration::from_secs(10),
        longest: Duration::from_mins(10),
    },
};

fn holder() -> Holder {
    named("mill-1")
}

fn named(name: &str) -> Holder {
    Holder::new(name.to_owned()).unwrap()
}

/// What the holder of this claim says.
fn change(job: &Claimed, step: Step) -> Change {
    change_of(job.id, job.token, step)
}

fn change_of(id: RecordId, token: Token, step: Step) -> Change {
    Change {
        id,
        fence: Fence {
            token,
            renewal: None,
        },
        step,
        dice: 1.0,
        reason: None,
        report: None,
    }
}

fn report(verdict: Verdict, exit_code: i32) -> RunReport {
    RunReport {
        verdict,
        started_at: Some(at(NOW + 1)),
        ended_at: at(NOW + 2),
        exit_code: Some(exit_code),
        cpu: Duration::from_millis(1500),
        peak_memory: 1 << 20,
        fault: None,
        outputs: Vec::new(),
    }
}

/// All cases share one server; each has a database of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mariadb_conforms() {
    let server = Arc::new(MariaDb::start());
    for (name, case) in CASES {
        let started = std::time::Instant::now();
        case(&Mill::mysql(&server, name).await).await;
        eprintln!("{name}: ok, {} ms", started.elapsed().as_millis());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_conforms() {
    for (name, case) in CASES {
        let started = std::time::Instant::now();
        case(&Mill::sqlite().await).await;
        eprintln!("{name}: ok, {} ms", started.elapsed().as_millis());
    }
}
