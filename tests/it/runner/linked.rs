//! A runner that is away for a while, or gone.

use std::fs;

use gristmill::job::Verdict;
use gristmill::runner::socket::listen;
use gristmill::runner::{RunError, RunState, Runner};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stage::{PATIENCE, Stage, Way, key, order, spec, until_away, until_there};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_comes_back_and_the_link_with_it() {
    let mut stage = Stage::new(Way::Socket).await;
    let run = stage
        .start("while [ ! -e go ]; do sleep 0.05; done; exit 65")
        .await;
    let remote = stage.remote();
    let waiting = tokio::spawn({
        let remote = remote.clone();
        async move { remote.ended(run).await }
    });
    stage.stop_serving().await;
    // Nobody knows: it must be asked again.
    let ended = waiting.await.unwrap();
    assert!(
        matches!(ended, Err(RunError::Transient(_) | RunError::Away(_))),
        "{ended:?}"
    );
    until_away(&remote).await;
    let away = remote.start(&order(2, spec("job", ""))).await;
    assert!(matches!(away, Err(RunError::Away(_))), "{away:?}");
    let away = remote.look_up(run).await;
    assert!(matches!(away, Err(RunError::Away(_))), "{away:?}");

    stage.serve_again();
    until_there(&remote).await;
    assert_eq!(remote.look_up(run).await.unwrap(), RunState::Alive);
    let never = remote.look_up(key(2, 1)).await.unwrap();
    assert_eq!(never, RunState::Gone);
    fs::write(stage.work(run).join("go"), "").unwrap();
    remote.ended(run).await.unwrap();
    assert_eq!(remote.collect(run).await.unwrap().verdict, Verdict::Failed);
}

/// Whoever listens, and whatever it says, the daemon finds the runner when it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_in_the_runners_place_does_no_harm() {
    let mut stage = Stage::new(Way::Socket).await;
    let remote = stage.remote();
    stage.disconnect();
    stage.stop_serving().await;
    until_away(&remote).await;
    let frame = |content: &[u8]| {
        let length = u32::try_from(content.len()).unwrap();
        [&length.to_be_bytes(), content].concat()
    };
    let served = format!("{{\"served\":{{\"holder\":\"{}\"}}}}", stage.holder());
    let speeches = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        frame(b"{}"),
        frame(b"\"busy\""),
        frame(b"{\"protocol\":{\"spoken\":77}}"),
        frame(&b"[".repeat(4000)),
        // It greets well, and then talks nonsense.
        [frame(served.as_bytes()), frame(b"{\"id\":1}")].concat(),
        [frame(served.as_bytes()), vec![0xff; 16]].concat(),
    ];
    let listener = listen(&stage.socket()).unwrap();
    for speech in speeches {
        let (mut stream, _) = tokio::time::timeout(PATIENCE, listener.accept())
            .await
            .unwrap()
            .unwrap();
        stream.write_all(&speech).await.unwrap();
        // Until it hangs up.
        let mut heard = Vec::new();
        let hung_up = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
        assert!(hung_up.is_ok(), "{speech:?}");
    }
    drop(listener);
    stage.serve_again();
    until_there(&remote).await;
    assert_eq!(remote.runs().await.unwrap(), []);
}

/// To a runner with other runs, all of ours never started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_of_another_folder_is_never_asked_about_the_runs_of_the_first() {
    let mut stage = Stage::new(Way::Socket).await;
    let run = stage
        .start("while [ ! -e ../../../go ]; do sleep 0.05; done")
        .await;
    let remote = stage.remote();
    stage.stop_serving().await;
    let first = stage.settings.work_dir.clone();
    stage.settings.work_dir = first.with_file_name("other");
    stage.serve_again();
    tokio::time::timeout(PATIENCE, remote.replaced())
        .await
        .unwrap();
    let asked = remote.look_up(run).await;
    assert!(matches!(asked, Err(RunError::Away(_))), "{asked:?}");
    assert!(!remote.is_there());

    stage.stop_serving().await;
    stage.settings.work_dir = first.clone();
    stage.serve_again();
    until_there(&remote).await;
    assert_eq!(remote.look_up(run).await.unwrap(), RunState::Alive);
    fs::write(first.join("go"), "").unwrap();
    remote.ended(run).await.unwrap();
}
