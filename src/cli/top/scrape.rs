//! What a daemon's `/metrics` says.

use std::collections::BTreeMap;

/// In every scrape of a gristmill.
const BUILD_INFO: &str = "gristmill_build_info";

/// One thing that is measured: its name and what tells it from others of that name.
pub(super) type Series = (String, BTreeMap<String, String>);

/// Names and labels that a series is to have; it may have more labels.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a>(pub(super) &'a str, pub(super) &'a [(&'a str, &'a str)]);

/// Everything that was measured, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scrape(BTreeMap<Series, f64>);

impl Wanted<'_> {
    pub(super) fn is(&self, (name, labels): &Series) -> bool {
        let has = |(label, value): &(&str, &str)| labels.get(*label).is_some_and(|is| is == value);
        name == self.0 && self.1.iter().all(has)
    }
}

impl Scrape {
    /// `None`: this is not what a gristmill says. Lines that cannot be read are left out.
    pub(super) fn read(text: &str) -> Option<Self> {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let scrape = Self(samples.filter_map(sample).collect());
        scrape.version().is_some().then_some(scrape)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Series, f64)> {
        self.0.iter().map(|(series, value)| (series, *value))
    }

    /// What one series says.
    pub(super) fn of(&self, series: &Series) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// All that is wanted, added up; `None`: there is nothing of it.
    pub(super) fn value(&self, wanted: Wanted) -> Option<f64> {
        let found = self.0.iter().filter(|(series, _)| wanted.is(series));
        found
            .map(|(_, value)| *value)
            .reduce(|sum, value| sum + value)
    }

    /// The values that a label has in the series of a name.
    pub(super) fn labels<'a>(
        &'a self,
        name: &'a str,
        label: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        let named = self.0.keys().filter(move |(known, _)| known == name);
        named.filter_map(move |(_, labels)| labels.get(label).map(String::as_str))
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.labels(BUILD_INFO, "version").next()
    }
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Option<(Series, f64)> {
    let end = line.find(|letter: char| letter == '{' || letter.is_ascii_whitespace())?;
    let (name, rest) = line.split_at_checked(end)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(((name.to_owned(), labels), value))
}

/// What stands behind a `{`, and what comes after the `}`.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut found = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((found, rest));
        }
        let (label, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquoted(quoted)?;
        found.insert(label.to_owned(), value);
        rest = after;
    }
}

/// A value up to its closing quote, and what comes after it.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next()? {
            '"' => return Some((value, letters.as_str())),
            '\\' => value.push(match letters.next()? {
                'n' => '\n',
                other => other,
            }),
            letter => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP gristmill_build_info The program that runs; always 1.\n\
        # TYPE gristmill_build_info gauge\n\
        gristmill_build_info{version=\"0.1.0\"} 1\n\
        gristmill_xmpp_reconnects_total 2\n\
        gristmill_queue_length{owner=\"a\\\"b\\\\,{} c=\\\"\\nd\"} 3\n\
        gristmill_calls_total{call=\"getStatus\",outcome=\"answered\"} 40\n\
        gristmill_calls_total{call=\"getStatus\",outcome=\"busy\"} 1.5e1\n\
        gristmill_broken{x=\"1 4\n\
        gristmill_no_number\n\
        # EOF\n";

    #[test]
    fn samples_are_read_whatever_their_labels_hold() {
        let scrape = Scrape::read(TEXT).unwrap();
        assert_eq!(scrape.version(), Some("0.1.0"));
        assert_eq!(
            scrape.value(Wanted("gristmill_xmpp_reconnects_total", &[])),
            Some(2.0)
        );
        let owners: Vec<_> = scrape.labels("gristmill_queue_length", "owner").collect();
        assert_eq!(owners, ["a\"b\\,{} c=\"\nd"]);
        let calls = |labels| scrape.value(Wanted("gristmill_calls_total", labels));
        assert_eq!(calls(&[]), Some(55.0));
        assert_eq!(calls(&[("outcome", "busy")]), Some(15.0));
        assert_eq!(calls(&[("outcome", "stale")]), None);
        assert_eq!(scrape.iter().count(), 5);
    }

    #[test]
    fn what_another_program_says_is_no_scrape() {
        assert_eq!(Scrape::read("up 1\n"), None);
        assert_eq!(Scrape::read(""), None);
    }
}
