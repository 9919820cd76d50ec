//! The door to supervisors. A service manager would start the daemon again within seconds of its
//! end, and a server bans the address of a client that keeps logging in with a wrong password: so
//! below one, a door that the server refuses is opened again here, ever more rarely.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Manager;
use super::reports::door_report;
use super::signals::hung_up;
use crate::bridge::Bridge;
use crate::config::Config;
use crate::error::Report;
use crate::xmpp::{self, DoorError, Refusals, Settings, Supervisor, TimeLimits};

/// What is the same for each time that the door is opened.
pub(super) struct Door<'a> {
    pub config: &'a Config,
    pub vitals: Arc<xmpp::Vitals>,
    pub manager: &'a Manager,
    pub shutdown: &'a CancellationToken,
}

impl Door<'_> {
    /// Keeps the door open until `shutdown`, or until something that time does not heal.
    pub(super) async fn run(
        &self,
        mut settings: Settings,
        bridge: Arc<Bridge>,
        supervisors: watch::Receiver<Vec<Supervisor>>,
    ) -> Result<(), Report> {
        let mut is_again = false;
        let opened = self.keep_open(|| {
            if std::mem::replace(&mut is_again, true) {
                self.read_password_again(&mut settings);
            }
            settings.supervisors.clone_from(&supervisors.borrow());
            xmpp::run(
                settings.clone(),
                bridge.clone(),
                self.vitals.clone(),
                supervisors.clone(),
                self.shutdown.clone(),
            )
        });
        opened.await
    }

    /// Opens doors until one ends in order, or by what another try does not heal. Without a
    /// service manager a person sees the error at once and tries again. SIGHUP ends a wait.
    async fn keep_open<Opened>(&self, mut open: impl FnMut() -> Opened) -> Result<(), Report>
    where
        Opened: Future<Output = Result<(), DoorError>>,
    {
        let mut refusals = Refusals::new(TimeLimits::default());
        loop {
            let Err(error) = open().await else {
                return Ok(());
            };
            let report = door_report(self.config, &error);
            let wait = refusals.wait_after(&error, rand::random());
            let Some(wait) = wait.filter(|_| self.manager.is_there()) else {
                return Err(report);
            };
            let why = format!("{} ({})", report.code.title(), report.code);
            self.vitals.set_refusal(why);
            tracing::error!(%report, again_in_s = wait.as_secs(), "not online; trying again");
            tokio::select! {
                () = self.vitals.pulse.while_waiting(sleep(wait)) => {}
                () = hung_up() => {}
                () = self.shutdown.cancelled() => return Ok(()),
            }
        }
    }

    /// It may have been corrected.
    fn read_password_again(&self, settings: &mut Settings) {
        match self.config.xmpp.password_again() {
            Ok(Some(password)) => settings.password = password,
            Ok(None) => {}
            Err(report) => tracing::error!(%report, "the password stays as it was read before"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::config_with;
    use super::*;
    use crate::config::Supervision;
    use crate::error::Code;
    use std::cell::Cell;
    use std::time::Duration;
    use tokio::time::Instant;

    /// ejabberd bans after so many tries.
    const BANNED_AFTER: usize = 20;

    fn managed() -> Manager {
        Manager::new(&Supervision {
            socket: Some("/run/nowhere/notify".into()),
            watchdog: None,
        })
    }

    fn denied() -> DoorError {
        DoorError::Denied("wrong password".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_door_that_is_denied_is_opened_again_ever_more_rarely_and_the_loop_turns() {
        let (config, manager, shutdown) = (config_with(&[]), managed(), CancellationToken::new());
        let vitals = Arc::<xmpp::Vitals>::default();
        let door = Door {
            config: &config,
            vitals: vitals.clone(),
            manager: &manager,
            shutdown: &shutdown,
        };
        let tries = Cell::new(0);
        let open = || {
            tries.set(tries.get() + 1);
            async { Err(denied()) }
        };
        let watching = async {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_hours(1) {
                sleep(Duration::from_secs(7)).await;
                assert!(vitals.pulse.is_turning(), "after {:?}", begun.elapsed());
            }
            assert!((5..BANNED_AFTER).contains(&tries.get()), "{tries:?}");
            let refusal = vitals.refusal().unwrap();
            assert!(refusal.contains("GM0402"), "{refusal}");
            shutdown.cancel();
            Instant::now()
        };
        let (ended, stopped) = tokio::join!(door.keep_open(open), watching);
        assert_eq!(ended, Ok(()));
        assert!(
            stopped.elapsed() < Duration::from_secs(1),
            "a stop is not waited for"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_a_door_at_once_where_a_person_sees_it() {
        let (config, manager, shutdown) = (
            config_with(&[]),
            Manager::default(),
            CancellationToken::new(),
        );
        let door = Door {
            config: &config,
            vitals: Arc::default(),
            manager: &manager,
            shutdown: &shutdown,
        };
        let begun = Instant::now();
        let ended = door.keep_open(|| async { Err(denied()) }).await;
        assert_eq!(ended.unwrap_err().code, Code::DoorRefused);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_other_try_heals_ends_the_door_below_a_manager_too() {
        let (config, manager, shutdown) = (config_with(&[]), managed(), CancellationToken::new());
        let door = Door {
            config: &config,
            vitals: Arc::default(),
            manager: &manager,
            shutdown: &shutdown,
        };
        let ended = door.keep_open(|| async { Err(DoorError::Broken) }).await;
        assert_eq!(ended.unwrap_err().code, Code::PartBroken);
    }
}
