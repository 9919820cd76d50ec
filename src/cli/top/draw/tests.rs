//! What stands on the screen.

use std::collections::BTreeMap;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;
use ratatui::style::Color;
use tokio::time::Instant;

use super::super::board::Board;
use super::super::daemon::{Daemon, Heard};
use super::super::holdings::{Held, Holdings, Running};
use super::super::rates::Rates;
use super::super::scrape::Scrape;
use super::draw;
use crate::buffer::Census;
use crate::cli::job::list_tests::{NOW, at, record};
use crate::http::Listen;
use crate::job::{Attempt, JobId, JobKey, Owner, Progress, Record, RecordId, State};

const READY: &str = "\
gristmill_build_info{version=\"0.1.0\"} 1
gristmill_ready 1
gristmill_xmpp_online 1
gristmill_xmpp_reconnects_total 2
gristmill_rejected_senders_total 12
gristmill_queue_length{owner=\"prodsys\"} 0
gristmill_queue_length{owner=\"analysis\"} 3
gristmill_owner_calls_total{owner=\"prodsys\",outcome=\"answered\"} CALLS
gristmill_owner_calls_total{owner=\"prodsys\",outcome=\"busy\"} 4
gristmill_jobs_received_total{owner=\"prodsys\",outcome=\"stored\"} STORED
gristmill_jobs_received_total{owner=\"prodsys\",outcome=\"refused\"} 5
gristmill_jobs_received_total{owner=\"prodsys\",outcome=\"conflict\"} 1
gristmill_store_up 1
gristmill_store_request_duration_seconds_sum CALLS
gristmill_store_request_duration_seconds_count STORED
gristmill_store_errors_total{kind=\"late\"} 1
gristmill_jobs{state=\"ready\"} 1203
gristmill_jobs{state=\"scheduled\"} 4
gristmill_jobs{state=\"waiting\"} 0
gristmill_jobs{state=\"claimed\"} 1
gristmill_jobs{state=\"running\"} 2
gristmill_jobs{state=\"held\"} 1
gristmill_jobs{state=\"succeeded\"} 123456
gristmill_jobs{state=\"failed\"} 12
gristmill_jobs{state=\"timed_out\"} 0
gristmill_jobs{state=\"cancelled\"} 0
gristmill_jobs{state=\"trashed\"} 0
gristmill_oldest_ready_job_age_seconds 312.5
gristmill_slots 16
gristmill_slots_busy 2
gristmill_runs_total{outcome=\"succeeded\"} CALLS
gristmill_runs_total{outcome=\"failed\"} 12
gristmill_runs_started_total STORED
gristmill_leases_lost_total 1
gristmill_stale_outcomes_total 0
gristmill_claims_rescued_total 0
gristmill_claims_given_back_total 0
gristmill_runner_failures_total 0
gristmill_run_panics_total 0
process_resident_memory_bytes 56623104
process_start_time_seconds 1799991000
";

fn heard(at: Instant, calls: u32, stored: u32, reasons: &[&str]) -> Daemon {
    let text = READY
        .replace("CALLS", &calls.to_string())
        .replace("STORED", &stored.to_string());
    Daemon::Here(Heard {
        at,
        scrape: Scrape::read(&text).unwrap(),
        reasons: reasons.iter().map(ToString::to_string).collect(),
    })
}

fn run(id: u64, owner: &str, job: &str, program: &str, words: Option<(u16, &str)>) -> Running {
    let key = JobKey {
        job_id: JobId::new(job).unwrap(),
        attempt: Attempt::FIRST,
    };
    let progress = words.map(|(permille, words)| Progress {
        permille,
        words: words.to_owned(),
    });
    Running {
        record: Record {
            id: RecordId::new(id).unwrap(),
            owner: Owner::new(owner).unwrap(),
            key,
            progress,
            started_at: Some(at(NOW - 90)),
            ..record(State::Running)
        },
        program: program.to_owned(),
    }
}

fn board() -> Board {
    let supervisors = [
        ("prodsys", "supervisor@grid.example"),
        ("analysis", "ana@grid.example"),
    ];
    let supervisors = supervisors.map(|(owner, jid)| (owner.to_owned(), vec![jid.to_owned()]));
    Board {
        jid: "executor@grid.example/panda".to_owned(),
        listen: Listen::Unix("/run/gristmill/http.sock".into()),
        interval: Duration::from_secs(2),
        supervisors: supervisors.into(),
        daemon: Daemon::Asked,
        holdings: Holdings::Asked,
        rates: Rates::default(),
        now: at(NOW),
    }
}

fn held() -> Held {
    Held {
        running: vec![
            run(
                90_112,
                "prodsys",
                "5173021",
                "reco/run.sh",
                Some((250, "event 50")),
            ),
            run(90_113, "prodsys", "5173022", "reco/run.sh", None),
        ],
        unfinished: BTreeMap::from([("prodsys".to_owned(), 1_211), ("old".to_owned(), 1)]),
        census: None,
    }
}

/// A daemon in its work, looked at four times.
fn at_work() -> Board {
    let (began, mut board) = (Instant::now(), board());
    for (second, calls, stored) in [
        (0, 100, 1_000),
        (2, 102, 1_020),
        (4, 104, 1_060),
        (6, 105, 1_060),
    ] {
        board.hear(heard(
            began + Duration::from_secs(second),
            calls,
            stored,
            &[],
        ));
    }
    board.holdings = Holdings::Here(held());
    board
}

fn drawn(board: &Board, width: u16, height: u16, colours: bool) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(board, colours, frame)).unwrap();
    terminal.backend().clone()
}

fn screen(board: &Board, width: u16, height: u16) -> Vec<String> {
    let backend = drawn(board, width, height, false);
    let rows = backend.buffer().content().chunks(width.into());
    let text = |row: &[Cell]| row.iter().map(Cell::symbol).collect::<String>();
    rows.map(|row| text(row).trim_end().to_owned()).collect()
}

#[track_caller]
fn shows(screen: &[String], words: &str) {
    let shown = screen.join("\n");
    assert!(shown.contains(words), "no {words:?} in\n{shown}");
}

const AT_80_BY_24: &str = "\
gristmill 0.1.0 up 2h  executor@grid.example/panda          2027-01-15T08:00:00Z
ready
XMPP online  reconnects 2  strangers 12   store up 83.3 ms  errors 1   54.0 MiB
 Supervisors ───────────────────────────────────────────────────────────────────
OWNER                    CALLS   /MIN FAULTS QUEUE    JOBS   /MIN REFUSED   OPEN
analysis                     0      0      0     3       0      0       0      0
old                          0      0      0     -       0      0       0      1
prodsys                    109     50      4     0    1060    600       6   1211
 Jobs ──────────────────────────────────────────────────────────────────────────
running 2  ready 1203  held 1  scheduled 4  waiting 0  claimed 1  oldest 5m
succeeded 123.5k  failed 12  timed_out 0  cancelled 0  trashed 0
accepted     600/min                ▄█   started      600/min                ▄█
succeeded     50/min                ██▄  failed         0/min
slots 2/16  leases lost 1  stale 0  rescued 0  runner errors 0  panics 0
 Running (2) ───────────────────────────────────────────────────────────────────
RECORD   OWNER      JOB            PROGRAM         TIME DONE WORDS
90112    prodsys    5173021#1      reco/run.sh     1m   25%  event 50
90113    prodsys    5173022#1      reco/run.sh     1m





q quits; looks every 2s; `gristmill job why RECORD` says more";

const AT_40_BY_10: &str = "\
gristmill 0.1.0 up 2h  executor@grid.exa
ready
running 2  ready 1203  held 1  scheduled
4  claimed 1  oldest 5m
succeeded 123.5k  failed 12
 Running (2) ───────────────────────────
RECORD   JOB                   TIME DONE
90112    5173021#1             1m   25%
90113    5173022#1             1m
";

#[test]
fn everything_is_seen_at_80_by_24() {
    assert_eq!(screen(&at_work(), 80, 24).join("\n"), AT_80_BY_24);
}

#[test]
fn a_small_screen_shows_what_runs() {
    assert_eq!(screen(&at_work(), 40, 10).join("\n"), AT_40_BY_10);
}

#[test]
fn a_large_screen_shows_who_the_owners_are() {
    let screen = screen(&at_work(), 140, 40);
    shows(&screen, "1211 supervisor@grid.example");
    shows(&screen, "1 no supervisor has it");
    assert_eq!(screen.len(), 40);
}

#[test]
fn it_fits_into_every_size() {
    let boards = [board(), at_work()];
    for (width, height) in [(0, 0), (1, 1), (5, 3), (20, 16), (80, 17), (300, 100)] {
        for board in &boards {
            drawn(board, width, height, true);
        }
    }
}

#[test]
fn what_is_not_known_yet_is_no_zero() {
    let screen = screen(&board(), 80, 24);
    shows(&screen, "asking the daemon");
    shows(&screen, "asking the store");
    shows(&screen, "ready -");
    shows(
        &screen,
        "analysis                     -      -      -     -       -",
    );
}

#[test]
fn who_is_away_is_said_and_the_other_part_goes_on() {
    let mut board = at_work();
    board.hear(Daemon::Away("Connection refused (os error 111)".to_owned()));
    let mut counted = held();
    let jobs = State::ALL.iter().map(|state| (state.name(), 0));
    counted.census = Some(Census {
        jobs: jobs.chain([("ready", 77)]).collect(),
        unreadable: 0,
        oldest_ready: Some(at(NOW - 7_200)),
    });
    board.holdings = Holdings::Here(counted);
    let without_daemon = screen(&board, 80, 24);
    shows(
        &without_daemon,
        "NO DAEMON ANSWERS: Connection refused (os error 111) (unix:/run/gristmill/http.s",
    );
    shows(&without_daemon, "store up");
    shows(&without_daemon, "ready 77");
    shows(&without_daemon, "oldest 2h");
    shows(&without_daemon, "90112    prodsys");

    let mut board = at_work();
    board.holdings = Holdings::Away("mysql://mill: the store cannot be reached".to_owned());
    let without_store = screen(&board, 80, 24);
    shows(&without_store, "NO STORE FROM HERE");
    shows(
        &without_store,
        "no store answers: mysql://mill: the store cannot be reached",
    );
    shows(&without_store, "ready 1203");
    shows(&without_store, "1060    600       6      -");

    board.daemon = Daemon::Mute;
    shows(&screen(&board, 80, 24), "http.listen is empty");
}

#[test]
fn what_keeps_it_from_work_stands_out() {
    let mut board = at_work();
    let bad = ["XMPP offline", "the loop door does not turn"];
    board.hear(heard(Instant::now(), 1, 1, &bad));
    shows(
        &screen(&board, 80, 24),
        "NOT READY: XMPP offline; the loop door does not turn",
    );
    let red = |backend: &TestBackend| backend.buffer().cell((0, 1)).unwrap().fg == Color::Red;
    assert!(red(&drawn(&board, 80, 24, true)));
    board.hear(heard(Instant::now(), 1, 1, &["draining"]));
    shows(&screen(&board, 80, 24), "DRAINING: takes nothing new");
}

#[test]
fn without_colours_there_are_none() {
    let mut board = at_work();
    board.hear(heard(Instant::now(), 1, 1, &["XMPP offline"]));
    let backend = drawn(&board, 80, 24, false);
    let cells = backend.buffer().content().iter();
    assert!(
        cells
            .into_iter()
            .all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset))
    );
}

#[test]
fn what_has_no_room_is_counted() {
    let mut board = at_work();
    let owners = (0..20).map(|n| (format!("owner{n:02}"), Vec::new()));
    board.supervisors.extend(owners);
    let mut many = held();
    many.running = (1..=50)
        .map(|n| run(n, "prodsys", "1", "p", None))
        .collect();
    board.holdings = Holdings::Here(many);
    let screen = screen(&board, 80, 24);
    shows(&screen, "and 16 more");
    shows(&screen, "Running (50, 48 not shown)");
}

/// What supervisors and programs say is drawn, and does nothing else.
#[test]
fn no_text_from_outside_steers_the_terminal() {
    const EVIL: &str = "\u{1b}[2J\u{9b}31m\u{7}\r\n\u{202e}x";
    let mut board = at_work();
    board.supervisors.insert(EVIL.to_owned(), Vec::new());
    let mut evil = run(1, "prodsys", "1", "p", Some((10, EVIL)));
    evil.record.owner = Owner::new("a\u{202e}b").unwrap();
    let mut held = held();
    held.running = vec![evil];
    held.unfinished.insert(EVIL.to_owned(), 1);
    board.holdings = Holdings::Here(held);
    let backend = drawn(&board, 140, 40, true);
    for cell in backend.buffer().content() {
        let steers = |letter: char| letter.is_control() || letter == '\u{202e}';
        assert!(!cell.symbol().contains(steers), "{:?}", cell.symbol());
    }
    shows(&screen(&board, 140, 40), "[2J");
}
