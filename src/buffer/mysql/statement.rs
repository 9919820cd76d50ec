//! Statements over many rows: prepared, in few sizes, so that the server has seen them before.

use std::ops::RangeInclusive;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, DriverError, Error, Params, Result, Row, Value, from_row_opt};

/// The sizes that a multi-row insert comes in. What is left below the last one is inserted at
/// its own size.
const INSERT_SIZES: [usize; 5] = [1000, 500, 256, 128, 64];

/// The sizes that a list of keys comes in; a shorter one is padded with its last key.
const LIST_SIZES: [usize; 6] = [1, 4, 16, 64, 256, 1000];

/// What stands for the list of keys in the text of a query.
const LIST: &str = "{keys}";

/// Asks for the rows of many keys. `query` has `{keys}` where the list goes, after the
/// placeholders of `leading`.
pub(super) async fn select_in(
    conn: &mut Conn,
    query: &str,
    leading: &[Value],
    keys: &[Value],
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for keys in keys.chunks(list_size(usize::MAX)) {
        let (query, parameters) = with_list(query, leading, keys);
        rows.append(&mut conn.exec(query, parameters).await?);
    }
    Ok(rows)
}

/// A row as a tuple.
pub(super) fn read<T: FromRow>(row: Row) -> Result<T> {
    from_row_opt(row).map_err(|why| Error::Driver(DriverError::FromRow { row: why.0 }))
}

/// Changes the rows of many keys; how many it changed.
pub(super) async fn update_in(
    conn: &mut Conn,
    statement: &str,
    leading: &[Value],
    keys: &[Value],
) -> Result<u64> {
    let mut changed = 0;
    for keys in keys.chunks(list_size(usize::MAX)) {
        let (statement, parameters) = with_list(statement, leading, keys);
        conn.exec_drop(statement, parameters).await?;
        changed += conn.affected_rows();
    }
    Ok(changed)
}

fn with_list(text: &str, leading: &[Value], keys: &[Value]) -> (String, Params) {
    let size = list_size(keys.len());
    let padding = keys
        .last()
        .into_iter()
        .cycle()
        .take(size.saturating_sub(keys.len()));
    let parameters = leading.iter().chain(keys).chain(padding).cloned().collect();
    (
        text.replace(LIST, &placeholders(size)),
        Params::Positional(parameters),
    )
}

/// The rows of one insert, and how it begins and ends around `VALUES (…), …`.
pub(super) struct Insert {
    pub head: &'static str,
    pub tail: &'static str,
    pub rows: Vec<Vec<Value>>,
}

impl Insert {
    /// Inserts all rows; which IDs each statement's rows have if they were all new and were given
    /// IDs one after the other. No statement has more than about `budget` bytes of values, unless
    /// one row alone has.
    pub async fn run(mut self, conn: &mut Conn, budget: usize) -> Result<Vec<RangeInclusive<u64>>> {
        let mut ids = Vec::new();
        while !self.rows.is_empty() {
            let size = insert_size(rows_within(&self.rows, budget));
            let columns = self.rows.first().map_or(0, Vec::len);
            let row = format!("({})", placeholders(columns));
            let statement = format!("{} VALUES {} {}", self.head, list(&row, size), self.tail);
            let values = self.rows.drain(..size).flatten().collect();
            conn.exec_drop(statement, Params::Positional(values))
                .await?;
            if let Some(first) = conn.last_insert_id() {
                ids.push(first..=first.saturating_add(size as u64 - 1));
            }
        }
        Ok(ids)
    }
}

/// How many of these rows, at least one, have no more than `budget` bytes.
fn rows_within(rows: &[Vec<Value>], budget: usize) -> usize {
    let mut bytes = 0;
    let fits = |row: &&Vec<Value>| {
        bytes += row.iter().map(size_of_value).sum::<usize>();
        bytes <= budget
    };
    rows.iter().take_while(fits).count().max(1)
}

fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len() + 9,
        _ => 9,
    }
}

fn insert_size(rows: usize) -> usize {
    INSERT_SIZES
        .into_iter()
        .find(|size| *size <= rows)
        .unwrap_or(rows)
}

fn list_size(keys: usize) -> usize {
    let largest = LIST_SIZES.into_iter().max().unwrap_or(1);
    LIST_SIZES
        .into_iter()
        .find(|size| *size >= keys)
        .unwrap_or(largest)
}

fn placeholders(count: usize) -> String {
    list("?", count)
}

fn list(item: &str, count: usize) -> String {
    let mut text = String::with_capacity((item.len() + 1) * count);
    for place in 0..count {
        if place > 0 {
            text.push(',');
        }
        text.push_str(item);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_padded_to_few_sizes() {
        let keys: Vec<Value> = (0..5).map(Value::Int).collect();
        let (text, parameters) = with_list("a = ? AND b IN ({keys})", &[Value::Int(9)], &keys);
        assert_eq!(text, format!("a = ? AND b IN ({})", ["?"; 16].join(",")));
        let Params::Positional(values) = parameters else {
            panic!("{parameters:?}");
        };
        assert_eq!(values.len(), 17);
        assert_eq!(values[5..], vec![Value::Int(4); 12]);
    }

    #[test]
    fn inserts_come_in_few_sizes() {
        let sizes = |mut rows: usize| {
            let mut sizes = Vec::new();
            while rows > 0 {
                sizes.push(insert_size(rows));
                rows -= insert_size(rows);
            }
            sizes
        };
        assert_eq!(sizes(1000), [1000]);
        assert_eq!(sizes(999), [500, 256, 128, 64, 51]);
        assert_eq!(sizes(37), [37]);
    }

    #[test]
    fn statements_are_bounded_in_bytes() {
        let row = |bytes: usize| vec![Value::Bytes(vec![0; bytes])];
        assert_eq!(rows_within(&[row(50), row(30), row(1)], 100), 2);
        assert_eq!(rows_within(&[row(500), row(1)], 100), 1);
    }
}
