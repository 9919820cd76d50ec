//! What Prometheus scrapes. Names and help stand here and nowhere else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

use super::House;
use super::exposition::{Label, Page};
use super::process::Process;
use crate::buffer::{Census, TaskBuffer as _};
use crate::conductor::{self, Counters};
use crate::job::Owner;

/// The text format that every scraper reads.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All that one scrape shows.
struct Scrape {
    house: Arc<House>,
    /// `None`: the store did not answer.
    census: Option<Census>,
    process: Process,
}

/// Everything that can be counted.
pub(super) async fn metrics(State(house): State<Arc<House>>) -> Response {
    let scrape = Scrape {
        census: house.census().await,
        process: Process::read(),
        house,
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    match encode_registry(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        self.daemon(&mut page)?;
        self.door(&mut page)?;
        self.store(&mut page)?;
        self.jobs(&mut page)?;
        if let Some(vitals) = &self.house.conductor {
            conductor(&mut page, &vitals.counters)?;
            host(&mut page, vitals)?;
        }
        self.process(&mut page)
    }
}

impl Scrape {
    fn daemon(&self, page: &mut Page) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.gauges(
            "gristmill_build_info",
            "The program that runs; always 1.",
            [(version, 1_u64)],
        )?;
        page.gauge(
            "gristmill_ready",
            "Whether the daemon does what it is there for; /readyz says why not.",
            Some(u64::from(self.house.hindrances().is_empty())),
        )?;
        page.gauge(
            "gristmill_draining",
            "Whether an operator has the daemon claim nothing new.",
            Some(u64::from(self.house.is_draining())),
        )?;
        page.counter(
            "gristmill_log_lines_dropped_total",
            "Lines of the log that were dropped, for its reader does not keep up.",
            self.house.dropped_log_lines.get(),
        )?;
        let pulses = self.house.pulses.iter();
        let ages = pulses.map(|pulse| ([("loop", pulse.name())], pulse.age().as_secs_f64()));
        page.gauges(
            "gristmill_loop_last_turn_age_seconds",
            "How long ago each loop of the daemon turned last.",
            ages,
        )
    }

    fn door(&self, page: &mut Page) -> fmt::Result {
        let door = &self.house.door;
        page.gauge(
            "gristmill_xmpp_online",
            "Whether the daemon has a session on the XMPP server.",
            Some(u64::from(door.is_online())),
        )?;
        page.counter(
            "gristmill_xmpp_reconnects_total",
            "How often the line to the XMPP server came back.",
            door.reconnects.get(),
        )?;
        page.counter(
            "gristmill_rejected_senders_total",
            "Stanzas of senders that are no configured supervisor.",
            door.strangers.get(),
        )?;
        page.counter(
            "gristmill_rejected_senders_unanswered_total",
            "Answers to such senders that were not sent, for there were too many.",
            door.unanswered.get(),
        )?;
        page.counters(
            "gristmill_guard_trips_total",
            "Stanzas that were cut short, by the limit that they broke.",
            door.trips.iter().map(|(limit, n)| ([("limit", limit)], n)),
        )?;
        let outcomes = door.calls.iter().flat_map(|call| {
            let outcomes = call.outcomes.iter();
            outcomes.map(|(outcome, n)| ([("call", call.name), ("outcome", *outcome)], n.get()))
        });
        page.counters(
            "gristmill_calls_total",
            "Calls of supervisors, by what they came to.",
            outcomes,
        )?;
        page.histograms(
            "gristmill_call_duration_seconds",
            "From a call's arrival to its answer.",
            door.calls
                .iter()
                .map(|call| ([("call", call.name)], &call.times)),
        )?;
        let by_owner = door.by_owner.read();
        page.counters(
            "gristmill_owner_calls_total",
            "Calls of supervisors, by owner and what they came to.",
            by_owner.iter().map(by_owner_and_outcome),
        )?;
        let queues = door.queues();
        let waiting = queues
            .iter()
            .map(|(owner, n)| ([("owner", owner.as_str())], *n));
        page.gauges(
            "gristmill_queue_length",
            "Calls that wait, by owner; bridge.queue is the most.",
            waiting,
        )
    }

    fn store(&self, page: &mut Page) -> fmt::Result {
        let store = self.house.store.vitals();
        page.gauge(
            "gristmill_store_up",
            "Whether the store is open and answers.",
            Some(u64::from(self.house.store.is_up().is_ok())),
        )?;
        page.gauge(
            "gristmill_store_writable",
            "Whether the store is up and takes writes.",
            Some(u64::from(self.house.store.can_store().is_ok())),
        )?;
        page.gauge(
            "gristmill_buffer_log_bytes",
            "The size of SQLite's write-ahead log, the file that ends in -wal.",
            self.house.store.log_bytes(),
        )?;
        let received = store.received.read();
        page.counters(
            "gristmill_jobs_received_total",
            "Jobs that were handed in, by owner and what became of them.",
            received.iter().map(by_owner_and_outcome),
        )?;
        page.histograms(
            "gristmill_store_request_duration_seconds",
            "How long questions to the store took, also those that failed.",
            [([], &store.times)],
        )?;
        let errors = store.errors.all();
        page.counters(
            "gristmill_store_errors_total",
            "Questions to the store that failed, by why.",
            errors.map(|(kind, n)| ([("kind", kind)], n.get())),
        )
    }

    fn jobs(&self, page: &mut Page) -> fmt::Result {
        let census = self.census.as_ref();
        let states = census.into_iter().flat_map(|census| {
            let unreadable = ("unreadable", census.unreadable);
            let states = census.jobs.iter().map(|(state, n)| (*state, *n));
            states.chain([unreadable])
        });
        page.gauges(
            "gristmill_jobs",
            "Jobs in the store, by state; absent while the store does not answer.",
            states.map(|(state, n)| ([("state", state)], n)),
        )?;
        let now = self.house.clock.now();
        let age = census.map(|census| {
            let age = census.oldest_ready.map(|since| now.duration_since(since));
            age.map_or(0.0, |age| age.as_secs_f64().max(0.0))
        });
        page.gauge(
            "gristmill_oldest_ready_job_age_seconds",
            "How long the job that waits longest for a slot is ready; 0: none waits.",
            age,
        )
    }

    fn process(&self, page: &mut Page) -> fmt::Result {
        let process = &self.process;
        page.gauge(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM.",
            process.resident_bytes,
        )?;
        page.gauge(
            "process_virtual_memory_bytes",
            "Address space of the process.",
            process.virtual_bytes,
        )?;
        page.gauge(
            "process_open_fds",
            "Open files of the process.",
            process.open_fds,
        )?;
        if let Some(seconds) = process.cpu_seconds {
            page.counter(
                "process_cpu_seconds_total",
                "User and system time of the process.",
                seconds,
            )?;
        }
        let started = self.house.started().as_millisecond();
        let started = Duration::from_millis(started.unsigned_abs());
        page.gauge(
            "process_start_time_seconds",
            "When the daemon started, in seconds since 1970.",
            Some(started.as_secs_f64()),
        )
    }
}

fn by_owner_and_outcome<'a>(
    ((owner, outcome), n): &'a ((Owner, &'static str), u64),
) -> ([Label<'a>; 2], u64) {
    ([("owner", owner.as_str()), ("outcome", outcome)], *n)
}

fn host(page: &mut Page, vitals: &conductor::Vitals) -> fmt::Result {
    page.gauge(
        "gristmill_breaker_open",
        "Whether no job is started, for the host is not fit for it; /readyz says why.",
        Some(u64::from(vitals.breaker.unfit().is_some())),
    )?;
    page.counter(
        "gristmill_host_faults_total",
        "Starts of runs that came to nothing for a fault of the host.",
        vitals.counters.host_faults.get(),
    )
}

fn slots(page: &mut Page, counters: &Counters) -> fmt::Result {
    page.gauge(
        "gristmill_slots",
        "Jobs that are run at a time.",
        Some(counters.slots.get()),
    )?;
    page.gauge(
        "gristmill_slots_busy",
        "Slots that are taken.",
        Some(counters.busy_slots.get()),
    )?;
    page.gauge(
        "gristmill_slots_unending",
        "Slots that are held by runs that should have ended, and do not end.",
        Some(counters.unending.get()),
    )
}

fn kept(page: &mut Page, counters: &Counters) -> fmt::Result {
    page.gauge(
        "gristmill_kept_folders",
        "Folders of ended runs that are kept below the work folder.",
        Some(counters.kept.get()),
    )?;
    page.gauge(
        "gristmill_kept_bytes",
        "What these folders take on disk.",
        Some(counters.kept_bytes.get()),
    )
}

fn conductor(page: &mut Page, counters: &Counters) -> fmt::Result {
    slots(page, counters)?;
    kept(page, counters)?;
    let outcomes = counters.outcomes.all();
    page.counters(
        "gristmill_runs_total",
        "Runs that came to an end, by what it made of the job.",
        outcomes.map(|(outcome, n)| ([("outcome", outcome)], n.get())),
    )?;
    let counts = [
        ("gristmill_claims_total", "Jobs claimed.", &counters.claimed),
        (
            "gristmill_runs_started_total",
            "Runs whose start was stored.",
            &counters.started,
        ),
        (
            "gristmill_runs_adopted_total",
            "Runs of an earlier process that were found again.",
            &counters.adopted,
        ),
        (
            "gristmill_run_panics_total",
            "Runs that a bug of gristmill failed.",
            &counters.panics,
        ),
        (
            "gristmill_claims_given_back_total",
            "Claims given back before a start.",
            &counters.given_back,
        ),
        (
            "gristmill_claims_rescued_total",
            "Lapsed claims of others that were taken from them.",
            &counters.rescued,
        ),
        (
            "gristmill_leases_lost_total",
            "Living runs that were ended because their claim was lost.",
            &counters.lost,
        ),
        (
            "gristmill_stale_outcomes_total",
            "Outcomes that came too late and changed nothing.",
            &counters.stale,
        ),
        (
            "gristmill_conductor_store_failures_total",
            "Questions of the conductor that the store did not answer.",
            &counters.store_away,
        ),
        (
            "gristmill_runner_failures_total",
            "Questions that the runner did not answer.",
            &counters.runner_away,
        ),
    ];
    for (name, help, count) in counts {
        page.counter(name, help, count.get())?;
    }
    Ok(())
}
