//! From a run that has started to its outcome in the store.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::holding::Origin;
use super::life::{Life, STOP_AGAIN, Settled, Word};
use super::renewal;
use crate::buffer::ProgressReport;
use crate::job::{RunReport, Step, Verdict};
use crate::runner::RunError;

/// How often a run is asked what it says of itself.
const NEWS_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked in a row while it runs: for news, and then to tell the runner that they
/// are kept, so that a daemon that starts again does not keep them twice.
const LOOKS: u32 = 2;
/// The same once it has ended.
const LAST_LOOKS: u32 = 1000;

/// How the wait for a run's end came to an end.
enum Watched {
    Ended,
    Lost,
    Left,
}

impl Life {
    /// Watches a run to its end and settles it. `committed`: the store knows that it has started.
    pub(super) async fn see_through(&self, committed: bool) {
        let mut end = pin!(self.end());
        if committed {
            self.holding.tenure.lock().await.running = true;
        } else {
            let sent = self.context.since_boot();
            // A short run has one commit for both its ends.
            let settled = tokio::select! {
                biased;
                () = &mut end => return self.conclude(false).await,
                settled = self.settle(vec![Word::new(Step::Start, None)]) => settled,
            };
            match settled {
                Settled::Done(_) => self.extend(sent).await,
                Settled::Stale => {
                    self.context.counters().lost.add_one();
                    self.bury().await;
                    return;
                }
                Settled::Left => return,
            }
        }
        match self.watch(end).await {
            Watched::Ended => self.conclude(true).await,
            Watched::Lost => {
                self.context.counters().stale.add_one();
                self.context.counters().lost.add_one();
                tracing::warn!(run = %self.key(), "the claim is lost; its run ends");
                self.bury().await;
            }
            Watched::Left => (),
        }
    }

    /// The start, first sent at this time, is committed: the longer lease holds.
    async fn extend(&self, sent: Duration) {
        let mut tenure = self.holding.tenure.lock().await;
        tenure.running = true;
        // Of a claim that was found, an earlier process may have sent it before.
        if self.holding.origin == Origin::Claimed {
            tenure.show(sent);
        }
        renewal::tell_runner(&self.context, &self.holding, &mut tenure).await;
    }

    async fn watch(&self, mut end: impl Future<Output = ()> + Unpin) -> Watched {
        let (mut stop_at, mut stopping, mut failures) = (None, false, 0);
        let mut news_at = Instant::now() + NEWS_EVERY;
        loop {
            tokio::select! {
                biased;
                () = &mut end => return Watched::Ended,
                () = self.holding.lost.cancelled() => return Watched::Lost,
                () = self.context.leave.cancelled() => return Watched::Left,
                () = self.holding.kill.cancelled(), if !stopping => {
                    stopping = true;
                    stop_at = Some(Instant::now());
                }
                () = sleep_until(stop_at.unwrap_or(news_at)), if stop_at.is_some() => {
                    failures += 1;
                    let again = match self.context.runner.stop(self.key()).await {
                        Ok(()) => STOP_AGAIN,
                        Err(_) => self.context.wait_after(failures),
                    };
                    stop_at = Some(Instant::now() + again);
                }
                () = sleep_until(news_at) => {
                    self.pass_on_news(LOOKS).await;
                    news_at = Instant::now() + NEWS_EVERY;
                }
            }
        }
    }

    /// Returns once nothing of the run lives.
    async fn end(&self) {
        let mut failures = 0;
        while self.context.runner.ended(self.key()).await.is_err() {
            failures += 1;
            tokio::time::sleep(self.context.wait_after(failures)).await;
        }
    }

    /// Keeps what the run has said and was not kept yet, as far as so many looks go.
    async fn pass_on_news(&self, looks: u32) {
        for _ in 0..looks {
            let heard = self.holding.heard();
            let Ok(news) = self.context.runner.news(self.key(), heard).await else {
                return;
            };
            if news.progress.is_none() && news.events.is_empty() {
                return;
            }
            let report = ProgressReport {
                id: self.key().record,
                token: self.key().token,
                progress: news.progress,
                events: news.events,
            };
            match self.context.claims.report(report).await {
                Ok(true) => self.holding.keep_heard(news.heard),
                Ok(false) => return self.holding.lost.cancel(),
                Err(_) => return,
            }
        }
    }

    /// Settles a run of which nothing lives any more. `started`: the store knows of its start.
    pub(super) async fn conclude(&self, started: bool) {
        let Some(word) = self.outcome().await else {
            return;
        };
        self.pass_on_news(LAST_LOOKS).await;
        let failed = word.step != Step::Succeed;
        let mut words = Vec::new();
        if !started {
            words.push(Word::new(Step::Start, None));
        }
        words.push(word);
        let settled = self.settle(words).await;
        if !started && matches!(settled, Settled::Done(_)) {
            self.context.counters().started.add_one();
        }
        if settled != Settled::Left {
            self.forget(failed).await;
        }
    }

    /// How the run ended; `None`: the conductor stops.
    async fn outcome(&self) -> Option<Word> {
        let mut failures = 0;
        loop {
            match self.context.runner.collect(self.key()).await {
                Ok(report) => return Some(self.word_of(report)),
                Err(RunError::Permanent(why)) => {
                    let reason = format!("what the run left behind cannot be read: {why}");
                    return Some(Word::new(Step::Abandon, reason));
                }
                Err(error) if failures == 0 => {
                    tracing::warn!(run = %self.key(), %error, "not collected yet; asked again");
                }
                Err(error) => tracing::debug!(run = %self.key(), %error, "not collected yet"),
            }
            failures += 1;
            if !self.context.pause(failures).await {
                return None;
            }
        }
    }

    fn word_of(&self, report: RunReport) -> Word {
        let step = match report.verdict {
            Verdict::Succeeded => Step::Succeed,
            Verdict::Failed => Step::Fail { retry: false },
            Verdict::FailedForNow => Step::Fail { retry: true },
            Verdict::TimedOut => Step::TimeOut,
            Verdict::Stopped if self.holding.kill.is_cancelled() => Step::Cancel,
            // Where an earlier process stopped it for a wish, the rule of abandons knows of that.
            Verdict::Stopped | Verdict::Lost => Step::Abandon,
        };
        let fault = report.fault.as_ref().map(|fault| fault.text.clone());
        let reason = match report.verdict {
            Verdict::Lost => fault.or(Some("the run vanished, or was not renewed in time".into())),
            _ => fault,
        };
        Word {
            report: Some(report),
            ..Word::new(step, reason)
        }
    }
}
