//! Whether the daemon runs, and what it says of itself.

use serde_json::Value;

use crate::cli::health;
use crate::config::Config;
use crate::error::Code;

use super::finding::Finding;

const SUBJECT: &str = "daemon";

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let listen = &config.http.listen;
    vec![match health::get(listen, "/readyz").await {
        Ok(None) => Finding::ok(SUBJECT, "was not asked, for http.listen is empty"),
        Ok(Some(answer)) if answer.status == 200 => {
            Finding::ok(SUBJECT, format!("runs and is ready, says {listen}"))
        }
        Ok(Some(answer)) => Finding::error(
            SUBJECT,
            Code::DaemonNotReady,
            format!("runs and is not ready: {}", reasons(&answer.body)),
            "what keeps it from work stands above, or in its log",
        ),
        Err(error) => Finding::ok(
            SUBJECT,
            format!("does not run here ({listen}: {error}); `gristmill serve` is it"),
        ),
    }]
}

fn reasons(body: &str) -> String {
    let said: Value = serde_json::from_str(body).unwrap_or_default();
    let reasons = said.get("reasons").and_then(Value::as_array);
    let reasons = reasons.into_iter().flatten().filter_map(Value::as_str);
    reasons.collect::<Vec<_>>().join(", ")
}
