//! Numbers that only grow, of things that come and go.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Numbers that only grow, by what they are numbers of. Of few things: each is kept for ever.
#[derive(Debug)]
pub struct Tally<K>(Mutex<BTreeMap<K, u64>>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Clone> Tally<K> {
    /// So many more of this.
    pub fn add(&self, key: K, number: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(key).or_default() += number;
    }

    /// Everything that was ever counted.
    #[must_use]
    pub fn read(&self) -> Vec<(K, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(key, n)| (key.clone(), *n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_has_a_number_of_its_own() {
        let tally = Tally::default();
        tally.add("b", 0);
        tally.add("a", 2);
        tally.add("a", 1);
        assert_eq!(tally.read(), [("a", 3), ("b", 0)]);
    }
}
