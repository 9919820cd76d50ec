//! Many seeds; and that the simulation notices broken rules.

use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::super::Counters;
use super::scenario::{BUG, Outcome, Sabotage, play};

/// How many seeds are played where nobody says how many.
const SEEDS: u64 = 2000;

/// Plays the seeds from 0 on, on all cores; the first that breaks a rule.
fn first_broken(seeds: u64, sabotage: Sabotage) -> Option<(u64, String)> {
    hush();
    let next = AtomicU64::new(0);
    let play_some = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return None;
            }
            if let Some(rule) = play(seed, sabotage, false).broken {
                next.store(seeds, Ordering::Relaxed);
                return Some((seed, rule));
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(play_some)).collect();
        let ended = workers.into_iter().map(|worker| worker.join().unwrap());
        ended.flatten().min()
    })
}

/// The panics that are made on purpose are not shown.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let show = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(BUG) {
                show(info);
            }
        }));
    });
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

/// `GRISTMILL_SIMULATION_SEED`: plays that one alone, and tells what happened.
/// `GRISTMILL_SIMULATION_SEEDS`: so many of them.
#[test]
fn simulation_of_a_bad_day() {
    if let Some(seed) = number_of("GRISTMILL_SIMULATION_SEED") {
        hush();
        let Outcome { broken, story, .. } = play(seed, Sabotage::default(), true);
        #[allow(clippy::print_stdout)]
        {
            println!("{}", story.join("\n"));
        }
        assert_eq!(broken, None, "seed {seed}");
        return;
    }
    let seeds = number_of("GRISTMILL_SIMULATION_SEEDS").unwrap_or(SEEDS);
    if let Some((seed, rule)) = first_broken(seeds, Sabotage::default()) {
        panic!(
            "seed {seed}: {rule}\nto see it again:\n  GRISTMILL_SIMULATION_SEED={seed} \
             cargo nextest run --lib --no-capture simulation_of_a_bad_day"
        );
    }
}

#[test]
fn simulation_repeats_itself() {
    hush();
    for seed in 0..24 {
        let fingerprint = || play(seed, Sabotage::default(), false).fingerprint;
        assert_eq!(fingerprint(), fingerprint(), "seed {seed}");
    }
}

/// A storm that does not lead everywhere proves little.
#[test]
fn simulation_leads_everywhere() {
    hush();
    let mut sums = [0; 12];
    for seed in 0..160 {
        let counters = play(seed, Sabotage::default(), false).counters;
        let Counters {
            claimed,
            started,
            settled,
            given_back,
            host_faults,
            abandoned,
            rescued,
            stale,
            adopted,
            store_away,
            runner_away,
            panics,
            // Leases see to it that no run lives when its claim is lost.
            lost: _,
            outcomes: _,
            slots: _,
            busy_slots: _,
            vanished: _,
            unending: _,
            crowded: _,
            conducting: _,
            kept: _,
            kept_bytes: _,
        } = &*counters;
        let counts = [
            claimed,
            started,
            settled,
            given_back,
            host_faults,
            abandoned,
            rescued,
            stale,
            adopted,
            store_away,
            runner_away,
            panics,
        ];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count.get();
        }
    }
    assert!(sums.iter().all(|sum| *sum > 0), "{sums:?}");
}

/// Which rule a sabotage breaks, in so many seeds at most.
fn noticed(sabotage: Sabotage) -> String {
    let broken = first_broken(SEEDS, sabotage);
    broken.expect("nobody noticed").1
}

#[test]
fn simulation_notices_a_rescue_without_grace() {
    let rule = noticed(Sabotage {
        no_grace: true,
        ..Sabotage::default()
    });
    assert!(rule.contains("lives"), "{rule}");
}

#[test]
fn simulation_notices_a_store_without_fences() {
    let rule = noticed(Sabotage {
        no_fence: true,
        ..Sabotage::default()
    });
    assert!(rule.contains("counted") || rule.contains("lives"), "{rule}");
}

#[test]
fn simulation_notices_runs_that_outlive_their_lease() {
    let rule = noticed(Sabotage {
        no_wrapper_leases: true,
        ..Sabotage::default()
    });
    assert!(
        rule.contains("lives") || rule.contains("a claim that is not"),
        "{rule}"
    );
}
