//! Ratios of several rounds, and how their medians stand to the goals.

use std::collections::BTreeMap;

/// One line for each ratio, in the order of their first appearance.
pub struct Table {
    title: &'static str,
    counts: bool,
    order: Vec<Line>,
    ratios: BTreeMap<Line, Vec<f64>>,
    goals: BTreeMap<Line, String>,
}

type Line = (&'static str, &'static str);

impl Table {
    pub fn new(title: &'static str) -> Self {
        Self {
            title,
            counts: false,
            order: Vec::new(),
            ratios: BTreeMap::new(),
            goals: BTreeMap::new(),
        }
    }

    /// Whether what follows is counted.
    pub fn counts(&mut self, counts: bool) {
        self.counts = counts;
    }

    /// A ratio that should be small.
    pub fn cost(&mut self, goal: &'static str, what: &'static str, ratio: f64, at_most: f64) {
        self.add((goal, what), ratio, format!("at most {at_most:.2}"));
    }

    /// A ratio that should be large.
    pub fn gain(&mut self, goal: &'static str, what: &'static str, ratio: f64, at_least: f64) {
        self.add((goal, what), ratio, format!("at least {at_least:.2}"));
    }

    /// A ratio that nobody set a goal for.
    pub fn observe(&mut self, what: &'static str, ratio: f64) {
        self.add(("-", what), ratio, "none".to_owned());
    }

    fn add(&mut self, line: Line, ratio: f64, goal: String) {
        if !self.counts {
            return;
        }
        if self.goals.insert(line, goal).is_none() {
            self.order.push(line);
        }
        self.ratios.entry(line).or_default().push(ratio);
    }

    pub fn print(mut self) {
        println!(
            "\n{}: ratios to raw statements, median (least to most)",
            self.title
        );
        for line in self.order {
            let ratios = self.ratios.get_mut(&line).unwrap();
            ratios.sort_by(f64::total_cmp);
            let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
            let median = ratios[ratios.len() / 2];
            println!(
                "  {} {:<44} {median:>6.2} ({least:.2} to {most:.2}); goal: {}",
                line.0, line.1, self.goals[&line]
            );
        }
    }
}
