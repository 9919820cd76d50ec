//! The rows of `jobs` and `results`, column by column: they are longer than a tuple should be.

use mysql_async::prelude::FromValue;
use mysql_async::{DriverError, Error, Result, Row};

use crate::buffer::result_row::ResultRow;
use crate::buffer::row::{JobRow, RecordRow};
use crate::buffer::settling::StandingRow;

/// The columns of a row, one after another.
struct Columns {
    row: Row,
    next: usize,
}

impl Columns {
    fn take<T: FromValue>(&mut self) -> Result<T> {
        self.next += 1;
        let value = self
            .row
            .take_opt(self.next - 1)
            .and_then(std::result::Result::ok);
        value.ok_or_else(|| {
            Error::Driver(DriverError::FromRow {
                row: self.row.clone(),
            })
        })
    }
}

/// A row of [`crate::buffer::row::select_records`].
pub(super) fn record_row(row: Row) -> Result<RecordRow> {
    let mut columns = Columns { row, next: 0 };
    Ok(RecordRow {
        job: take_job(&mut columns)?,
        result: take_result(&mut columns)?,
    })
}

/// A row of [`crate::buffer::row::JOB_COLUMNS`].
pub(super) fn job_row(row: Row) -> Result<JobRow> {
    take_job(&mut Columns { row, next: 0 })
}

/// A row of [`crate::buffer::settling::STANDING_COLUMNS`] and one that is true or false.
pub(super) fn standing_row(row: Row) -> Result<(StandingRow, bool)> {
    let mut columns = Columns { row, next: 0 };
    let standing = StandingRow {
        id: columns.take()?,
        state: columns.take()?,
        held_from: columns.take()?,
        token: columns.take()?,
        renewal: columns.take()?,
        runs: columns.take()?,
        abandons: columns.take()?,
        kill_requested_at: columns.take()?,
        holder: columns.take()?,
    };
    Ok((standing, columns.take()?))
}

fn take_job(columns: &mut Columns) -> Result<JobRow> {
    Ok(JobRow {
        id: columns.take()?,
        owner: columns.take()?,
        job_id: columns.take()?,
        attempt: columns.take()?,
        state: columns.take()?,
        held_from: columns.take()?,
        priority_neg: columns.take()?,
        content_hash: columns.take()?,
        reason: columns.take()?,
        accepted_at: columns.take()?,
        since: columns.take()?,
        kill_requested_at: columns.take()?,
        due_at: columns.take()?,
        token: columns.take()?,
        holder: columns.take()?,
        runs: columns.take()?,
        abandons: columns.take()?,
        started_at: columns.take()?,
        progress_permille: columns.take()?,
        progress_words: columns.take()?,
        told: columns.take()?,
    })
}

fn take_result(columns: &mut Columns) -> Result<Option<ResultRow>> {
    let Some(verdict) = columns.take()? else {
        return Ok(None);
    };
    Ok(Some(ResultRow {
        verdict,
        started_at: columns.take()?,
        ended_at: columns.take()?,
        exit_code: columns.take()?,
        cpu_us: columns.take()?,
        peak_memory: columns.take()?,
        fault_code: columns.take()?,
        fault_text: columns.take()?,
        outputs: columns.take()?,
    }))
}
