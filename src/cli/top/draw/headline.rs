//! Who it is, and whether it does what it is there for.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::board::whole;
use super::super::daemon::Daemon;
use super::super::holdings::Holdings;
use super::super::scrape::Wanted;
use super::Canvas;
use super::numbers::{age, count, latency};
use super::paint::TITLE;
use crate::cli::job::present::{size, to_the_second};

const STORE_SUM: Wanted = Wanted("gristmill_store_request_duration_seconds_sum", &[]);
const STORE_COUNT: Wanted = Wanted("gristmill_store_request_duration_seconds_count", &[]);

impl Canvas<'_, '_> {
    pub(super) fn headline(&mut self, area: Rect) {
        let lines = vec![self.name(area.width), self.verdict(), self.links()];
        self.lines(lines, area);
    }

    /// The time stands at the right, where there is room.
    fn name(&self, width: u16) -> Line<'static> {
        let board = self.board;
        let version = board
            .scrape()
            .and_then(|scrape| scrape.version())
            .unwrap_or_default();
        let up = self
            .up()
            .map_or_else(String::new, |up| format!(" up {}", age(up)));
        let left = format!("gristmill {version}");
        let left = format!("{}{up}  {}", left.trim_end(), board.jid);
        let time = to_the_second(board.now);
        let left = Span::styled(left, TITLE);
        let gap = usize::from(width).saturating_sub(left.width() + time.len());
        if gap < 2 {
            return Line::from(left);
        }
        Line::from(vec![left, Span::raw(format!("{:gap$}{time}", ""))])
    }

    fn up(&self) -> Option<Duration> {
        let started = self.board.value("process_start_time_seconds", &[])?;
        let started = Duration::try_from_secs_f64(started).ok()?;
        let started = Timestamp::try_from(std::time::UNIX_EPOCH + started).ok()?;
        Duration::try_from(self.board.now.duration_since(started)).ok()
    }

    fn verdict(&self) -> Line<'static> {
        let (text, style) = match &self.board.daemon {
            Daemon::Asked => ("asking the daemon".to_owned(), self.paint.faint()),
            Daemon::Mute => {
                let text = "http.listen is empty: the daemon cannot be asked";
                (text.to_owned(), self.paint.odd())
            }
            Daemon::Away(why) => {
                let listen = &self.board.listen;
                (
                    format!("NO DAEMON ANSWERS: {why} ({listen})"),
                    self.paint.bad(),
                )
            }
            Daemon::Here(heard) if heard.reasons.is_empty() => {
                ("ready".to_owned(), self.paint.good())
            }
            Daemon::Here(heard) if heard.reasons == ["draining"] => {
                ("DRAINING: takes nothing new".to_owned(), self.paint.odd())
            }
            Daemon::Here(heard) => (
                format!("NOT READY: {}", heard.reasons.join("; ")),
                self.paint.bad(),
            ),
        };
        Line::styled(text, style)
    }

    /// The XMPP server and the store.
    fn links(&self) -> Line<'static> {
        let mut said = Vec::new();
        if self.board.scrape().is_some() {
            said.push(self.xmpp());
            said.push(Span::raw("   "));
        }
        said.push(self.store());
        if let Some(memory) = self.board.value("process_resident_memory_bytes", &[]) {
            said.push(Span::raw(format!("   {}", size(whole(memory)))));
        }
        Line::from(said)
    }

    fn xmpp(&self) -> Span<'static> {
        let value = |name| count(self.board.value(name, &[]));
        let back = value("gristmill_xmpp_reconnects_total");
        let strangers = value("gristmill_rejected_senders_total");
        if self.board.value("gristmill_xmpp_online", &[]) == Some(1.0) {
            let text = format!("XMPP online  reconnects {back}  strangers {strangers}");
            return Span::styled(text, self.paint.good());
        }
        Span::styled(format!("XMPP OFFLINE  reconnects {back}"), self.paint.bad())
    }

    /// What the store is to the daemon, and to us, who ask it ourselves.
    fn store(&self) -> Span<'static> {
        if let Holdings::Away(_) = self.board.holdings {
            return Span::styled("NO STORE FROM HERE", self.paint.bad());
        }
        let Some(up) = self.board.value("gristmill_store_up", &[]) else {
            return match self.board.holdings {
                Holdings::Here(_) => Span::styled("store up", self.paint.good()),
                _ => Span::styled("asking the store", self.paint.faint()),
            };
        };
        let errors = count(self.board.value("gristmill_store_errors_total", &[]));
        if up < 1.0 {
            let text = format!("STORE AWAY from the daemon  errors {errors}");
            return Span::styled(text, self.paint.bad());
        }
        let mean = self.board.rates.ratio(STORE_SUM, STORE_COUNT);
        let mean = mean.map_or_else(String::new, |mean| format!(" {}", latency(mean)));
        Span::styled(
            format!("store up{mean}  errors {errors}"),
            self.paint.good(),
        )
    }
}
