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
/// The same once it has ended, and at most so often in vain.
const LAST_LOOKS: u32 = 10_000;
const LAST_TRIES: u32 = 5;
/// A run that its runner could not end so often does not end.
const UNENDING_AFTER: u32 = 3;

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
                    if let Err(why) = self.pass_on_news(LOOKS).await {
                        tracing::debug!(run = %self.key(), why, "its news are not kept yet");
                    }
                    news_at = Instant::now() + NEWS_EVERY;
                }
            }
        }
    }

    /// Returns once nothing of the run lives.
    async fn end(&self) {
        let (mut failures, mut unending) = (0, 0);
        while let Err(error) = self.context.runner.ended(self.key()).await {
            failures += 1;
            if let RunError::Transient(why) = error {
                unending += 1;
                if unending == UNENDING_AFTER {
                    tracing::warn!(run = %self.key(), why, "a run does not end, and keeps its slot");
                    self.set_unending(true);
                }
            }
            tokio::time::sleep(self.context.wait_after(failures)).await;
        }
        if unending >= UNENDING_AFTER {
            tracing::info!(run = %self.key(), "it has ended now");
            self.set_unending(false);
        }
    }

    fn set_unending(&self, is_so: bool) {
        self.holding.set_unending(is_so);
        let all = self.context.holdings.unending();
        self.context.counters().unending.set(all);
    }

    /// Keeps what the run has said and was not kept yet, as far as so many looks go. `Err`: the
    /// runner or the store did not answer.
    async fn pass_on_news(&self, looks: u32) -> Result<(), String> {
        for _ in 0..looks {
            let heard = self.holding.heard();
            let news = self.context.runner.news(self.key(), heard).await;
            let news = match news {
                // It never will be heard; its outcome says why, if it was made so on purpose.
                Err(RunError::Permanent(why)) => {
                    tracing::debug!(run = %self.key(), why, "it is not heard");
                    break;
                }
                news => news.map_err(|error| error.to_string())?,
            };
            let has_any = news.progress.is_some() || !news.events.is_empty();
            if !has_any && news.heard == heard.unwrap_or_default() {
                break;
            }
            let report = ProgressReport {
                id: self.key().record,
                token: self.key().token,
                progress: news.progress,
                events: news.events,
            };
            if has_any && !self.keep(report).await? {
                break;
            }
            self.holding.keep_heard(news.heard);
        }
        Ok(())
    }

    /// `false`: the claim is lost.
    async fn keep(&self, report: ProgressReport) -> Result<bool, String> {
        let kept = self.context.claims.report(report).await;
        let kept = kept.map_err(|error| error.to_string())?;
        if !kept {
            self.holding.lost.cancel();
        }
        Ok(kept)
    }

    /// Keeps all that an ended run has said.
    async fn pass_on_last_news(&self) {
        let mut failures = 0;
        while let Err(why) = self.pass_on_news(LAST_LOOKS).await {
            failures += 1;
            tracing::debug!(run = %self.key(), why, "its last news are not kept yet");
            if failures == LAST_TRIES || !self.context.pause(failures).await {
                tracing::warn!(run = %self.key(), why, "not all that it said is kept");
                break;
            }
        }
    }

    /// Settles a run of which nothing lives any more. `started`: the store knows of its start.
    pub(super) async fn conclude(&self, started: bool) {
        let Some(word) = self.outcome().await else {
            return;
        };
        self.pass_on_last_news().await;
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
            let collected = tokio::select! {
                biased;
                () = self.context.leave.cancelled() => return None,
                collected = self.context.runner.collect(self.key()) => collected,
            };
            match collected {
                Ok(report) => return Some(self.word_of(report)),
                Err(RunError::Permanent(why)) => {
                    // Another run would leave the same.
                    let reason = format!("what the run left behind cannot be used: {why}");
                    return Some(Word::new(Step::Fail { retry: false }, reason));
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
