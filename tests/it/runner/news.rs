//! What programs say of themselves while they run.

use std::fs;

use gristmill::job::{Level, Verdict};
use gristmill::runner::Heard;

use rstest::rstest;

use super::stage::{Stage, Way, key, until};

#[rstest]
#[tokio::test]
async fn progress_and_events_are_heard_once_and_across_restarts(
    #[values(Way::Direct, Way::Socket)] way: Way,
) {
    let mut stage = Stage::new(way).await;
    let run = stage
        .start(
            "say() { echo \"$1\" >&$GRISTMILL_PROGRESS_FD; }\n\
             say '0.25 reading'; say 'event: opened'; echo > said\n\
             while [ ! -e go ]; do sleep 0.05; done\n\
             say 'warning: late'; printf '1 done' >&$GRISTMILL_PROGRESS_FD",
        )
        .await;
    let said = stage.work(run).join("said");
    until("it spoke", || said.exists()).await;
    let first = stage.runner().news(run, None).await.unwrap();
    assert_eq!(first.progress.as_ref().unwrap().permille, 250);
    assert_eq!(first.progress.as_ref().unwrap().words, "reading");
    assert_eq!(first.events[0].text, "opened");
    let again = stage.runner().news(run, None).await.unwrap();
    assert_eq!(again.events.len(), 1, "it was not kept yet");

    let nothing = stage.runner().news(run, Some(first.heard)).await.unwrap();
    assert_eq!((nothing.progress, nothing.events.len()), (None, 0));
    stage.reopen().await;
    fs::write(stage.work(run).join("go"), "").unwrap();
    stage.outcome(run).await;
    let rest = stage.runner().news(run, None).await.unwrap();
    assert_eq!(rest.progress.unwrap().permille, 1000);
    assert_eq!(rest.events.len(), 1);
    assert_eq!(rest.events[0].level, Level::Warning);
}

#[rstest]
#[tokio::test]
async fn who_says_nothing_has_no_news(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    let run = stage.start("exit 0").await;
    assert_eq!(stage.outcome(run).await.verdict, Verdict::Succeeded);
    for run in [run, key(77, 1)] {
        let news = stage.runner().news(run, None).await.unwrap();
        assert_eq!((news.progress, news.events.len()), (None, 0));
        assert_eq!(news.heard, Heard::default());
    }
}
