//! What the one who watches the demo sees.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::Report;
use crate::windmill::Call;

use super::super::output::Output;
use super::cast::Role;
use super::stage::Exchange;

/// How much of a document is shown unless all of it is wanted, in characters.
const EXCERPT: usize = 230;

/// Shows calls and replies, how far the scene is, and in the end a table.
pub(super) struct Screen<'a> {
    output: &'a mut Output,
    verbose: bool,
    progress: ProgressBar,
    scenes: Vec<Scene>,
    endings: BTreeMap<Role, Ending>,
}

/// How much of the conversation is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Every exchange.
    Always,
    /// The first exchange of a scene that repeats itself.
    Once,
}

/// How the jobs of one role ended, together.
#[derive(Default)]
pub(super) struct Ending {
    pub(super) jobs: u32,
    pub(super) cpu: Duration,
}

/// One line of the closing table.
struct Scene {
    call: &'static str,
    requests: u32,
    jobs: usize,
    outcome: String,
    took: Duration,
}

impl<'a> Screen<'a> {
    pub(super) fn new(output: &'a mut Output, verbose: bool) -> Self {
        Self {
            output,
            verbose,
            progress: ProgressBar::hidden(),
            scenes: Vec::new(),
            endings: BTreeMap::new(),
        }
    }

    /// A new scene begins, about so many jobs.
    pub(super) fn scene(&mut self, title: &str, jobs: usize) -> Result<(), Report> {
        self.progress.finish_and_clear();
        self.output.line(format_args!("\n{title}"))?;
        if Output::is_watched() {
            self.progress = ProgressBar::new(jobs as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} jobs {msg}") {
                self.progress.set_style(style);
            }
        }
        self.scenes.push(Scene {
            call: "",
            requests: 0,
            jobs: 0,
            outcome: String::new(),
            took: Duration::ZERO,
        });
        Ok(())
    }

    /// Something was asked and answered.
    pub(super) fn exchange(
        &mut self,
        call: &Call,
        exchange: &Exchange,
        outcome: &str,
        shown: Shown,
    ) -> Result<(), Report> {
        let Some(scene) = self.scenes.last_mut() else {
            return Ok(());
        };
        scene.call = call.kind().name();
        scene.requests += 1;
        scene.jobs += call.job_count();
        outcome.clone_into(&mut scene.outcome);
        scene.took += exchange.took;
        let first = scene.requests == 1;
        if shown == Shown::Always {
            self.progress.inc(call.job_count() as u64);
        }
        if shown == Shown::Once && !first && !self.verbose {
            return Ok(());
        }
        let lines = format!(
            "→ {}\n← {}",
            self.excerpt(&exchange.document),
            self.excerpt(&exchange.response)
        );
        let output = &mut *self.output;
        self.progress.suspend(|| output.line(lines))
    }

    /// So many jobs of the scene have come to where they are awaited.
    pub(super) fn reached(&mut self, jobs: usize, what: &str) {
        self.progress.set_position(jobs as u64);
        self.progress.set_message(what.to_owned());
    }

    /// How all jobs ended.
    pub(super) fn endings(&mut self, endings: BTreeMap<Role, Ending>) {
        self.endings = endings;
    }

    /// The closing tables.
    pub(super) fn close(&mut self) -> Result<(), Report> {
        self.progress.finish_and_clear();
        let conversation = self.conversation();
        self.output.line(format_args!("\n{conversation}"))?;
        let jobs = self.jobs();
        self.output.line(format_args!("\n{jobs}"))?;
        self.output
            .line("Every job was accepted once, and ended as it must.")
    }

    fn conversation(&self) -> Table {
        let header = ["CALL", "REQUESTS", "JOBS", "ANSWER", "TIME"];
        let rows = self.scenes.iter().map(|scene| {
            [
                scene.call.to_owned(),
                scene.requests.to_string(),
                scene.jobs.to_string(),
                scene.outcome.clone(),
                format!("{:.1} ms", scene.took.as_secs_f64() * 1000.0),
            ]
        });
        table(header, rows, &[1, 2, 4])
    }

    fn jobs(&self) -> Table {
        let header = ["PROGRAM", "JOBS", "WHAT BECAME OF IT", "CPU"];
        let rows = self.endings.iter().map(|(role, ending)| {
            [
                role.path().to_owned(),
                ending.jobs.to_string(),
                role.story().to_owned(),
                format!("{:.1} s", ending.cpu.as_secs_f64()),
            ]
        });
        table(header, rows, &[1, 3])
    }

    fn excerpt(&self, document: &str) -> String {
        let shown: String = document.chars().take(EXCERPT).collect();
        if self.verbose || shown.len() == document.len() {
            return document.to_owned();
        }
        format!("{shown}… ({} bytes; --verbose shows all)", document.len())
    }
}

fn table<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    numbers: &[usize],
) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(header);
    table.add_rows(rows);
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
