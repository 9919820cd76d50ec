//! The conformance suite: every behaviour of the trait, on each store.

use std::sync::Arc;

use futures::future::BoxFuture;
use gristmill::buffer::Store;

use super::place::Place;
use super::{
    keeping, killing, looking, noticing, operators, refusing, staleness, telling, upgrading,
};
use crate::rig::mariadb::MariaDb;

/// A store in a place of its own.
pub struct Subject {
    pub place: Place,
    pub buffer: Arc<dyn Store>,
}

type Case = for<'a> fn(&'a Subject) -> BoxFuture<'a, ()>;

macro_rules! cases {
    ($($module:ident: $($case:ident)*;)*) => {
        &[$($((concat!(stringify!($module), "_", stringify!($case)), |subject| {
            Box::pin($module::$case(subject))
        })),*),*]
    };
}

const CASES: &[(&str, Case)] = cases! {
    keeping: new_jobs_get_records payloads_are_kept_byte_for_byte the_same_again_is_a_duplicate
        other_content_is_a_conflict a_mixed_request_is_answered_in_order
        the_first_job_speaks_for_itself
        sixteen_senders_agree_on_one_record large_requests_are_stored_whole
        an_empty_request_is_fine every_first_state_and_priority_is_kept
        record_ids_are_never_given_again;
    looking: owners_see_their_own_only the_latest_attempt_counts wrong_pairs_are_absent
        a_thousand_keys_in_one_question hostile_names_stay_themselves
        a_row_that_cannot_be_read_hides_no_other questions_may_repeat_a_key;
    refusing: a_refusal_is_found a_refusal_never_hides_a_record the_last_reason_counts;
    staleness: what_was_sent_before_a_rejection_is_stale a_stale_request_leaves_no_trace
        what_is_stored_already_is_not_stale
        an_attempt_of_none_stands_for_all others_are_not_stale old_rejections_are_forgotten
        what_was_sent_before_what_is_forgotten_is_stale what_is_prompt_is_not_stale
        a_rejection_learns_of_a_record;
    killing: a_ready_job_is_cancelled_once what_nobody_holds_is_cancelled
        what_somebody_holds_is_asked_for what_has_ended_stays_as_it_is
        only_the_owner_kills a_thousand_are_killed_at_once;
    telling: a_final_word_is_told_while_it_is_true what_a_run_left_behind_is_found;
    noticing: only_changes_of_listened_owners_are_noted
        a_change_is_noted_as_long_as_one_daemon_listens a_change_is_told_again_and_less_often
        what_is_heard_of_is_covered only_the_newest_change_counts
        an_answer_covers_what_is_still_so what_is_not_covered_can_be_due_at_once
        changes_are_taken_in_lots;
    upgrading: an_older_store_keeps_its_records;
    operators: lists_are_filtered a_dossier_has_everything unfinished_owners_are_counted
        what_is_owed_is_counted supervisors_are_remembered_for_each_daemon
        jobs_are_counted_by_state
        a_reader_beside_the_daemon_changes_nothing migrations_are_planned_and_run
        a_newer_schema_is_refused;
};

async fn run(place: impl Fn(&str) -> Place) {
    for (name, case) in CASES {
        let place = place(name);
        let buffer = place.open().await;
        let started = std::time::Instant::now();
        case(&Subject { place, buffer }).await;
        eprintln!("{name}: ok, {} ms", started.elapsed().as_millis());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_conforms() {
    run(|_| Place::sqlite()).await;
}

/// All cases share one server; each has a database of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mariadb_conforms() {
    let server = Arc::new(MariaDb::start());
    run(|case| Place::mysql(&server, case)).await;
}
