//! What the one who watches the demo sees.

use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::Report;
use crate::windmill::Call;

use super::super::output::Output;
use super::stage::Exchange;

/// How much of a document is shown unless all of it is wanted, in characters.
const EXCERPT: usize = 230;

/// Shows calls and replies, how far the scene is, and in the end a table.
pub(super) struct Screen<'a> {
    output: &'a mut Output,
    verbose: bool,
    progress: ProgressBar,
    scenes: Vec<Scene>,
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
        }
    }

    /// A new scene begins, about so many jobs.
    pub(super) fn scene(&mut self, title: &str, jobs: usize) -> Result<(), Report> {
        self.progress.finish_and_clear();
        self.output.line(format_args!("\n{title}"))?;
        if Output::is_watched() {
            self.progress = ProgressBar::new(jobs as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} jobs") {
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
    ) -> Result<(), Report> {
        if let Some(scene) = self.scenes.last_mut() {
            scene.call = call.kind().name();
            scene.requests += 1;
            scene.jobs += call.job_count();
            outcome.clone_into(&mut scene.outcome);
            scene.took += exchange.took;
        }
        let lines = format!(
            "→ {}\n← {}",
            self.excerpt(&exchange.document),
            self.excerpt(&exchange.response)
        );
        let output = &mut *self.output;
        self.progress.suspend(|| output.line(lines))?;
        self.progress.inc(call.job_count() as u64);
        Ok(())
    }

    /// The closing table.
    pub(super) fn close(&mut self) -> Result<(), Report> {
        self.progress.finish_and_clear();
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header(["CALL", "REQUESTS", "JOBS", "ANSWER", "TIME"]);
        for scene in &self.scenes {
            table.add_row([
                scene.call.to_owned(),
                scene.requests.to_string(),
                scene.jobs.to_string(),
                scene.outcome.clone(),
                format!("{:.1} ms", scene.took.as_secs_f64() * 1000.0),
            ]);
        }
        for column in [1, 2, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.output.line(format_args!("\n{table}"))?;
        self.output.line("Every job was accepted once, and ended.")
    }

    fn excerpt(&self, document: &str) -> String {
        let shown: String = document.chars().take(EXCERPT).collect();
        if self.verbose || shown.len() == document.len() {
            return document.to_owned();
        }
        format!("{shown}… ({} bytes; --verbose shows all)", document.len())
    }
}
