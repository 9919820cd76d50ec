//! The XMPP server: reached, trusted and for how long, and whether it lets us in.

use jiff::{SignedDuration, Timestamp};

use crate::config::Config;
use crate::daemon::{self, SystemClock};
use crate::error::Code;
use crate::job::policy::Clock;
use crate::xmpp::{Certificate, ConnectError};

use super::clock::compare;
use super::finding::Finding;

const SERVER: &str = "XMPP server";
const CERTIFICATE: &str = "certificate";
const LOGIN: &str = "log-in";
const CLOCK: &str = "XMPP clock";

/// A certificate that ends sooner is a warning.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let visit = match daemon::visit_server(config).await {
        Ok(visit) => visit,
        Err(report) => return vec![Finding::of_report(SERVER, &report)],
    };
    let mut findings = vec![match visit.reached {
        Ok(address) => Finding::ok(SERVER, format!("is reached at {address}")),
        Err(error) => fault(
            SERVER,
            Code::ServerUnreachable,
            &error,
            "check xmpp.server, and whether it runs",
        ),
    }];
    findings.extend(visit.secured.map(|secured| match secured {
        Ok(Some(certificate)) => certified(&certificate, SystemClock.now()),
        Ok(None) => Finding::ok(CERTIFICATE, "none is needed: plaintext on loopback"),
        Err(error) => fault(
            CERTIFICATE,
            Code::CertificateRefused,
            &error,
            "correct the server's TLS, or xmpp.ca_file",
        ),
    }));
    findings.extend(visit.entered.map(|entered| match entered {
        Ok(()) => Finding::ok(LOGIN, format!("{} is let in", config.xmpp.jid.to_bare())),
        Err(error) => fault(
            LOGIN,
            Code::LoginFailed,
            &error,
            "check xmpp.jid and xmpp.password_file",
        ),
    }));
    findings.extend(visit.time.map(|time| match time {
        Ok(time) => compare(CLOCK, "the server's", time.asked, time.told, time.answered),
        // Nothing depends on it but the age of what was delayed.
        Err(error) => Finding::ok(CLOCK, format!("the server's is not known: {error}")),
    }));
    findings
}

fn certified(certificate: &Certificate, now: Timestamp) -> Finding {
    let left = certificate.ends.duration_since(now);
    let what = format!(
        "{} is trusted, {} day(s) left (until {})",
        certificate.subject,
        left.as_hours() / 24,
        certificate.ends
    );
    if left < ENDS_SOON {
        Finding::warning(CERTIFICATE, what, "renew it on the server")
    } else {
        Finding::ok(CERTIFICATE, what)
    }
}

fn fault(subject: &'static str, code: Code, error: &ConnectError, remedy: &str) -> Finding {
    Finding::error(subject, code, error.to_string(), remedy)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_certificate_is_renewed_two_weeks_before_its_end() {
        let at = |day: i64| Timestamp::from_second(day * 24 * 60 * 60).unwrap();
        let certificate = Certificate {
            subject: "CN=grid.test".to_owned(),
            ends: at(1000),
        };
        assert_eq!(certified(&certificate, at(986)).verdict, Verdict::Ok);
        assert_eq!(certified(&certificate, at(987)).verdict, Verdict::Warning);
    }
}
