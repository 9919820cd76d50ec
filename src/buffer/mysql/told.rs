//! Final words that a supervisor is about to hear.

use std::collections::{BTreeMap, HashSet};

use mysql_async::{Conn, Result, Value};

use super::statement::{read, select_in, update_in};
use crate::job::{Owner, RecordId, State};

/// Which final words.
pub(super) struct Telling {
    pub owner: Owner,
    pub records: Vec<(RecordId, State)>,
}

impl Telling {
    /// For each, whether the record is still in this state.
    pub async fn write(&self, conn: &mut Conn, _: usize) -> Result<Vec<bool>> {
        let mut groups: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for (id, state) in &self.records {
            groups.entry(state.name()).or_default().push(id.get());
        }
        let mut there = HashSet::new();
        for (state, mut ids) in groups {
            // Sorted, so that two writers do not lock each other out.
            ids.sort_unstable();
            let keys: Vec<Value> = ids.into_iter().map(Value::from).collect();
            let leading = [self.owner.as_str().into(), state.into()];
            let query = "SELECT id FROM jobs WHERE owner = ? AND state = ? AND id IN ({keys})
                         FOR UPDATE";
            for row in select_in(conn, query, &leading, &keys).await? {
                let (id,): (u64,) = read(row)?;
                there.insert((id, state));
            }
            let statement = "UPDATE jobs SET told = 1
                             WHERE owner = ? AND state = ? AND id IN ({keys})";
            update_in(conn, statement, &leading, &keys).await?;
        }
        let is_there = |(id, state): &(RecordId, State)| there.contains(&(id.get(), state.name()));
        Ok(self.records.iter().map(is_there).collect())
    }
}
