//! What a run left behind, as the table `results` has it. Both stores have the same columns.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job::{OutputFile, RunFault, RunReport, Verdict};

/// A row of `results`, as it is stored; but for its record's ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResultRow {
    pub verdict: Vec<u8>,
    pub started_at: Option<i64>,
    pub ended_at: i64,
    pub exit_code: Option<i64>,
    pub cpu_us: i64,
    pub peak_memory: i64,
    pub fault_code: Option<Vec<u8>>,
    pub fault_text: Option<Vec<u8>>,
    pub outputs: Vec<u8>,
}

/// The columns of [`ResultRow`], in order. Of a record that has no result all are NULL.
pub(super) const RESULT_COLUMNS: &str = "verdict, results.started_at, ended_at, exit_code, \
     cpu_us, peak_memory, fault_code, fault_text, outputs";

/// An output as it stands in the column `outputs`.
#[derive(Serialize, Deserialize)]
struct Output {
    name: String,
    size: u64,
    /// In lower-case hexadecimal.
    sha256: String,
}

impl ResultRow {
    /// The row for a report.
    pub fn of(report: &RunReport) -> Self {
        let outputs: Vec<_> = report.outputs.iter().map(Output::of).collect();
        Self {
            verdict: report.verdict.name().into(),
            started_at: report.started_at.map(Timestamp::as_microsecond),
            ended_at: report.ended_at.as_microsecond(),
            exit_code: report.exit_code.map(i64::from),
            cpu_us: i64::try_from(report.cpu.as_micros()).unwrap_or(i64::MAX),
            peak_memory: i64::try_from(report.peak_memory).unwrap_or(i64::MAX),
            fault_code: report.fault.as_ref().map(|fault| fault.code.clone().into()),
            fault_text: report.fault.as_ref().map(|fault| fault.text.clone().into()),
            // Texts and numbers are always JSON.
            outputs: serde_json::to_vec(&outputs).unwrap_or_default(),
        }
    }

    /// The report; `None`: the row cannot be read.
    pub fn report(&self) -> Option<RunReport> {
        let started_at = self.started_at.map(Timestamp::from_microsecond);
        let outputs: Vec<Output> = serde_json::from_slice(&self.outputs).ok()?;
        Some(RunReport {
            verdict: parse_verdict(&self.verdict)?,
            started_at: started_at.transpose().ok()?,
            ended_at: Timestamp::from_microsecond(self.ended_at).ok()?,
            exit_code: self.exit_code.map(i32::try_from).transpose().ok()?,
            cpu: Duration::from_micros(u64::try_from(self.cpu_us).ok()?),
            peak_memory: u64::try_from(self.peak_memory).ok()?,
            fault: match (&self.fault_code, &self.fault_text) {
                (Some(code), Some(text)) => Some(RunFault {
                    code: String::from_utf8(code.clone()).ok()?,
                    text: String::from_utf8(text.clone()).ok()?,
                }),
                _ => None,
            },
            outputs: outputs.iter().map(Output::file).collect::<Option<_>>()?,
        })
    }
}

impl Output {
    fn of(file: &OutputFile) -> Self {
        Self {
            name: file.logical_name.clone(),
            size: file.size,
            sha256: file.sha256_hex(),
        }
    }

    fn file(&self) -> Option<OutputFile> {
        Some(OutputFile {
            logical_name: self.name.clone(),
            size: self.size,
            sha256: parse_hex(&self.sha256)?,
        })
    }
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = digits.map(byte).collect::<Option<Vec<_>>>()?;
    bytes.try_into().ok().filter(|_| text.len() == 64)
}

fn parse_verdict(name: &[u8]) -> Option<Verdict> {
    Verdict::ALL
        .into_iter()
        .find(|verdict| verdict.name().as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: Verdict) -> RunReport {
        RunReport {
            verdict,
            started_at: Timestamp::from_microsecond(1_100_000_000_123_456).ok(),
            ended_at: Timestamp::from_microsecond(1_100_000_001_000_001).unwrap(),
            exit_code: Some(-3),
            cpu: Duration::from_micros(1_234_567),
            peak_memory: 1 << 33,
            fault: Some(RunFault {
                code: "exit-status".to_owned(),
                text: "ended \"badly\" é".to_owned(),
            }),
            outputs: vec![OutputFile {
                logical_name: "a \"b\" é.root".to_owned(),
                size: u64::MAX,
                sha256: std::array::from_fn(|n| u8::try_from(n * 8).unwrap()),
            }],
        }
    }

    #[test]
    fn every_report_is_read_back() {
        for verdict in Verdict::ALL {
            let full = report(verdict);
            assert_eq!(ResultRow::of(&full).report(), Some(full.clone()));
            let bare = RunReport {
                started_at: None,
                exit_code: None,
                fault: None,
                outputs: Vec::new(),
                ..full
            };
            assert_eq!(ResultRow::of(&bare).report(), Some(bare));
        }
    }

    #[test]
    fn a_damaged_row_is_no_report() {
        let good = ResultRow::of(&report(Verdict::Failed));
        let digest = String::from_utf8(good.outputs.clone()).unwrap();
        let damaged = [
            ResultRow {
                verdict: b"lucky".to_vec(),
                ..good.clone()
            },
            ResultRow {
                outputs: b"[".to_vec(),
                ..good.clone()
            },
            ResultRow {
                outputs: digest.replace("0008", "008").into(),
                ..good.clone()
            },
            ResultRow {
                outputs: digest.replace("0008", "xx08").into(),
                ..good.clone()
            },
            ResultRow {
                exit_code: Some(1 << 40),
                ..good.clone()
            },
            ResultRow {
                cpu_us: -1,
                ..good.clone()
            },
        ];
        for row in damaged {
            assert_eq!(row.report(), None, "{row:?}");
        }
    }
}
