//! What a run left behind, and says of itself, as it is said over the socket.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire::Senseless;
use crate::job::{self, OutputFile, Progress, RunFault, RunReport, Verdict};
use crate::runner;

/// Longer texts are cut when they arrive, in bytes: who may be a job in the runner's place does not
/// fill the store.
const MAX_CODE_BYTES: usize = 64;
const MAX_TEXT_BYTES: usize = 4096;
/// More events of one answer are dropped; the last of them says how many were left out.
const MAX_EVENTS: usize = runner::MAX_RUN_EVENTS + 1;

/// What a run left behind.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    verdict: String,
    started_at: Option<Timestamp>,
    ended_at: Timestamp,
    exit_code: Option<i32>,
    cpu: Duration,
    peak_memory: u64,
    fault: Option<Fault>,
    outputs: Vec<Output>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Fault {
    code: String,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Output {
    name: String,
    size: u64,
    sha256: [u8; 32],
}

/// What a run says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct News {
    progress: Option<(u16, String)>,
    events: Vec<Event>,
    heard: Heard,
}

/// How far it was heard.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Heard {
    position: u64,
    told: usize,
    left_out: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Event {
    at: Timestamp,
    level: Level,
    code: String,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Event,
    Warning,
    Error,
}

impl From<RunReport> for Report {
    fn from(report: RunReport) -> Self {
        let output = |output: OutputFile| Output {
            name: output.logical_name,
            size: output.size,
            sha256: output.sha256,
        };
        Self {
            verdict: report.verdict.name().to_owned(),
            started_at: report.started_at,
            ended_at: report.ended_at,
            exit_code: report.exit_code,
            cpu: report.cpu,
            peak_memory: report.peak_memory,
            fault: report.fault.map(|fault| Fault {
                code: fault.code,
                text: fault.text,
            }),
            outputs: report.outputs.into_iter().map(output).collect(),
        }
    }
}

impl TryFrom<Report> for RunReport {
    type Error = Senseless;

    fn try_from(report: Report) -> Result<Self, Senseless> {
        let named = |verdict: &Verdict| verdict.name() == report.verdict;
        let verdict = Verdict::ALL.into_iter().find(named);
        let output = |output: Output| OutputFile {
            logical_name: output.name,
            size: output.size,
            sha256: output.sha256,
        };
        Ok(Self {
            verdict: verdict.ok_or_else(|| Senseless(format!("verdict {:?}", report.verdict)))?,
            started_at: report.started_at,
            ended_at: report.ended_at,
            exit_code: report.exit_code,
            cpu: report.cpu,
            peak_memory: report.peak_memory,
            fault: report.fault.map(|fault| RunFault {
                code: cut(fault.code, MAX_CODE_BYTES),
                text: cut(fault.text, MAX_TEXT_BYTES),
            }),
            outputs: report.outputs.into_iter().map(output).collect(),
        })
    }
}

impl From<runner::News> for News {
    fn from(news: runner::News) -> Self {
        Self {
            progress: news
                .progress
                .map(|progress| (progress.permille, progress.words)),
            events: news.events.into_iter().map(Event::from).collect(),
            heard: news.heard.into(),
        }
    }
}

impl TryFrom<News> for runner::News {
    type Error = Senseless;

    fn try_from(news: News) -> Result<Self, Senseless> {
        let progress = news.progress.map(|(permille, words)| match permille {
            0..=1000 => Ok(Progress {
                permille,
                words: cut(words, MAX_TEXT_BYTES),
            }),
            _ => Err(Senseless(format!("{permille} thousandths"))),
        });
        let events = news.events.into_iter().take(MAX_EVENTS);
        Ok(Self {
            progress: progress.transpose()?,
            events: events.map(job::Event::from).collect(),
            heard: news.heard.into(),
        })
    }
}

impl From<runner::Heard> for Heard {
    fn from(heard: runner::Heard) -> Self {
        Self {
            position: heard.position,
            told: heard.told,
            left_out: heard.left_out,
        }
    }
}

impl From<Heard> for runner::Heard {
    fn from(heard: Heard) -> Self {
        Self {
            position: heard.position,
            told: heard.told,
            left_out: heard.left_out,
        }
    }
}

impl From<job::Event> for Event {
    fn from(event: job::Event) -> Self {
        Self {
            at: event.at,
            level: match event.level {
                job::Level::Event => Level::Event,
                job::Level::Warning => Level::Warning,
                job::Level::Error => Level::Error,
            },
            code: event.code,
            text: event.text,
        }
    }
}

impl From<Event> for job::Event {
    fn from(event: Event) -> Self {
        Self {
            at: event.at,
            level: match event.level {
                Level::Event => job::Level::Event,
                Level::Warning => job::Level::Warning,
                Level::Error => job::Level::Error,
            },
            code: cut(event.code, MAX_CODE_BYTES),
            text: cut(event.text, MAX_TEXT_BYTES),
        }
    }
}

fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent<T: Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
        serde_json::from_slice(&serde_json::to_vec(value).unwrap()).unwrap()
    }

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        for verdict in Verdict::ALL {
            let report = RunReport {
                verdict,
                started_at: Some("2026-01-02T03:04:05.678901234Z".parse().unwrap()),
                ended_at: Timestamp::MAX,
                exit_code: Some(-1),
                cpu: Duration::new(7, 8),
                peak_memory: u64::MAX,
                fault: Some(RunFault {
                    code: "code".to_owned(),
                    text: "text".to_owned(),
                }),
                outputs: vec![OutputFile {
                    logical_name: "out".to_owned(),
                    size: 5,
                    sha256: [200; 32],
                }],
            };
            let arrived = sent(&Report::from(report.clone()));
            assert_eq!(RunReport::try_from(arrived).unwrap(), report);
        }
    }

    #[test]
    fn news_arrive_as_they_were_sent() {
        let event = |level| job::Event {
            at: Timestamp::UNIX_EPOCH,
            level,
            code: "program".to_owned(),
            text: "\u{2603}".to_owned(),
        };
        let levels = [job::Level::Event, job::Level::Warning, job::Level::Error];
        let news = runner::News {
            progress: Some(Progress {
                permille: 1000,
                words: "done".to_owned(),
            }),
            events: levels.map(event).into(),
            heard: runner::Heard {
                position: 17,
                told: 3,
                left_out: 2,
            },
        };
        let arrived = sent(&News::from(news.clone()));
        assert_eq!(runner::News::try_from(arrived).unwrap(), news);
        let mut long = News::from(news.clone());
        if let Some(event) = long.events.first_mut() {
            event.text = "\u{2603}".repeat(MAX_TEXT_BYTES);
        }
        let cut = runner::News::try_from(long).unwrap();
        assert_eq!(cut.events[0].text.len(), MAX_TEXT_BYTES / 3 * 3);
        let mut wrong = News::from(news);
        wrong.progress = Some((1001, String::new()));
        assert!(runner::News::try_from(wrong).is_err());
    }
}
