//! `gristmill top`: a live screen of the daemon and its jobs. It only looks: what it shows is what
//! `/metrics`, `/readyz` and the store say.

mod board;
mod daemon;
mod draw;
mod holdings;
mod rates;
mod scrape;
mod terminal;

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{self, Config};
use crate::daemon::SystemClock;
use crate::error::{Code, Report};
use crate::job::policy::Clock;

use super::args::Top;
use board::Board;
use daemon::Daemon;
use holdings::Holdings;
use terminal::{Input, Screen};

/// Times on the screen go on so often, also while nobody answers.
const TICK: Duration = Duration::from_secs(1);

/// Whom to listen to while the screen is shown.
struct Sources {
    daemon: watch::Receiver<Daemon>,
    holdings: watch::Receiver<Holdings>,
    inputs: mpsc::Receiver<Input>,
    /// Something comes where we are asked to end.
    ends: mpsc::Receiver<()>,
}

pub(super) async fn run(arguments: Top) -> Result<(), Report> {
    terminal::must_be_one()?;
    let config = arguments.source.load()?.config;
    let mut board = Board::new(&config, arguments.interval);
    let ends = ends()?;
    let (daemon, holdings) = begin_to_look(config, arguments.interval);
    let screen = Screen::open()?;
    let inputs = terminal::inputs();
    let sources = Sources {
        daemon,
        holdings,
        inputs,
        ends,
    };
    show(screen, &mut board, sources).await
}

/// Who looks has a task of its own, so that the screen waits for nobody.
fn begin_to_look(
    config: Config,
    every: Duration,
) -> (watch::Receiver<Daemon>, watch::Receiver<Holdings>) {
    let (heard, daemon) = watch::channel(Daemon::Asked);
    let (held, holdings) = watch::channel(Holdings::Asked);
    tokio::spawn(daemon::keep_looking(
        config.http.listen.clone(),
        every,
        heard,
    ));
    tokio::spawn(holdings::keep_looking(config, every, daemon.clone(), held));
    (daemon, holdings)
}

/// Also a terminal that hangs up ends us in order.
fn ends() -> Result<mpsc::Receiver<()>, Report> {
    let (sender, ends) = mpsc::channel(1);
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        let mut signals = signal(kind).map_err(|error| {
            Report::new(Code::SystemRefuses, "signals cannot be listened to").because(error)
        })?;
        let sender = sender.clone();
        tokio::spawn(async move {
            signals.recv().await;
            // That nobody hears it says that we are ending.
            let _ = sender.send(()).await;
        });
    }
    Ok(ends)
}

async fn show(mut screen: Screen, board: &mut Board, mut from: Sources) -> Result<(), Report> {
    let colours = config::colours_are_welcome();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            input = from.inputs.recv() => match input {
                Some(Input::Resize) => {}
                Some(Input::Quit) | None => return Ok(()),
            },
            _ = from.ends.recv() => return Ok(()),
            seen = from.daemon.changed() => {
                seen.map_err(|_| looked_away("daemon"))?;
                board.hear(from.daemon.borrow_and_update().clone());
            }
            seen = from.holdings.changed() => {
                seen.map_err(|_| looked_away("store"))?;
                board.holdings = from.holdings.borrow_and_update().clone();
            }
            _ = ticks.tick() => {}
        }
        board.now = SystemClock.now();
        screen.draw(|frame| draw::draw(board, colours, frame))?;
    }
}

fn looked_away(from: &str) -> Report {
    Report::new(
        Code::Internal,
        format!("who looks at the {from} has broken down"),
    )
}
