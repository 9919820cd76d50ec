//! How many jobs there are in each state, how fast they come and go, and what went wrong on the way.

use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, RenderDirection, Sparkline, Wrap};

use super::super::board::whole;
use super::super::scrape::Wanted;
use super::Canvas;
use super::numbers::{age, count, rate};

/// From this width on every state has room.
const WIDE: u16 = 76;

/// How states are shown, in this order.
const OPEN: [&str; 6] = [
    "running",
    "ready",
    "held",
    "scheduled",
    "waiting",
    "claimed",
];
const FINAL: [&str; 5] = ["succeeded", "failed", "timed_out", "cancelled", "trashed"];

const RUNS: &str = "gristmill_runs_total";

/// What comes and goes, two to a line.
const FLOWS: [(&str, Wanted); 4] = [
    (
        "accepted",
        Wanted("gristmill_jobs_received_total", &[("outcome", "stored")]),
    ),
    ("succeeded", Wanted(RUNS, &[("outcome", "succeeded")])),
    ("started", Wanted("gristmill_runs_started_total", &[])),
    ("failed", Wanted(RUNS, &[("outcome", "failed")])),
];

/// What should not be, and its name on the screen.
const TROUBLES: [(&str, &str); 5] = [
    ("leases lost", "gristmill_leases_lost_total"),
    ("stale", "gristmill_stale_outcomes_total"),
    ("rescued", "gristmill_claims_rescued_total"),
    ("runner errors", "gristmill_runner_failures_total"),
    ("panics", "gristmill_run_panics_total"),
];

impl Canvas<'_, '_> {
    pub(super) fn jobs(&mut self, area: Rect) {
        let area = self.section("Jobs", area);
        let [states, flows, troubles] =
            Layout::vertical([2, 2, 1].map(Constraint::Length)).areas(area);
        self.states(states);
        self.flows(flows);
        let troubles_line = self.troubles();
        self.lines(vec![troubles_line], troubles);
    }

    /// On a narrow screen states that no job is in are left out, and lines are broken.
    pub(super) fn states(&mut self, area: Rect) {
        let wide = area.width >= WIDE;
        let mut open = self.counts(&OPEN, wide);
        let oldest = self.board.oldest_ready();
        if let Some(oldest) = oldest.filter(|oldest| !oldest.is_zero()) {
            open.push(Span::raw(format!("oldest {}", age(oldest))));
        }
        let ended = self.counts(&FINAL, wide);
        let lines = vec![Line::from(open), Line::from(ended)];
        let lines = Paragraph::new(lines).wrap(Wrap { trim: true });
        self.frame.render_widget(lines, area);
    }

    fn counts(&self, states: &[&'static str], also_none: bool) -> Vec<Span<'static>> {
        let jobs = self.board.jobs().unwrap_or_default();
        let counted = states.iter().map(|state| {
            let counted = jobs.iter().find(|(name, _)| name == state);
            (*state, counted.map(|(_, number)| *number))
        });
        let shown = counted.filter(|(_, number)| also_none || *number != Some(0));
        let spans = shown.flat_map(|(state, number)| {
            let style = match number {
                None | Some(0) => self.paint.faint(),
                Some(_) => self.of_state(state),
            };
            #[expect(clippy::cast_precision_loss, reason = "few digits of it are shown")]
            let number = count(number.map(|number| number as f64));
            [
                Span::styled(format!("{state} {number}"), style),
                Span::raw("  "),
            ]
        });
        spans.collect()
    }

    fn of_state(&self, state: &str) -> Style {
        match state {
            "running" => self.paint.lively(),
            "succeeded" => self.paint.good(),
            "held" => self.paint.odd(),
            "failed" | "timed_out" | "trashed" => self.paint.bad(),
            _ => Style::new(),
        }
    }

    fn flows(&mut self, area: Rect) {
        let columns = Layout::horizontal([Constraint::Fill(1); 2])
            .spacing(2)
            .split(area);
        let cells = columns.iter().flat_map(|column| {
            Layout::vertical([Constraint::Length(1); 2])
                .split(*column)
                .to_vec()
        });
        for ((name, wanted), cell) in FLOWS.into_iter().zip(cells) {
            let [label, line] =
                Layout::horizontal([Constraint::Length(21), Constraint::Fill(1)]).areas(cell);
            let rate = rate(self.board.rates.a_minute(wanted));
            self.lines(vec![Line::from(format!("{name:<9} {rate:>6}/min"))], label);
            self.sparkline(wanted, line);
        }
    }

    /// The newest at the right.
    fn sparkline(&mut self, wanted: Wanted, area: Rect) {
        let history = self.board.rates.history(wanted);
        let newest_first: Vec<_> = history.into_iter().rev().map(whole).collect();
        let line = Sparkline::default()
            .data(newest_first)
            .direction(RenderDirection::RightToLeft)
            .style(self.paint.lively());
        self.frame.render_widget(line, area);
    }

    fn troubles(&self) -> Line<'static> {
        let slots =
            ["gristmill_slots_busy", "gristmill_slots"].map(|name| self.board.value(name, &[]));
        let [Some(busy), Some(slots)] = slots else {
            let text = if self.board.scrape().is_some() {
                "this daemon runs no jobs"
            } else {
                ""
            };
            return Line::styled(text, self.paint.faint());
        };
        let mut said = vec![Span::raw(format!(
            "slots {}/{}",
            count(Some(busy)),
            count(Some(slots))
        ))];
        for (name, series) in TROUBLES {
            let number = self.board.value(series, &[]);
            let style = match number {
                Some(number) if number > 0.0 => self.paint.odd(),
                _ => self.paint.faint(),
            };
            said.push(Span::styled(format!("  {name} {}", count(number)), style));
        }
        Line::from(said)
    }
}
