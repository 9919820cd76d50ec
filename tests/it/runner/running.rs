//! Programs run, and what they leave behind.

use std::fs;
use std::time::Duration;

use gristmill::daemon::SystemClock;
use gristmill::job::Verdict;
use gristmill::job::policy::BootClock;
use gristmill::runner::process::KeepWork;
use gristmill::runner::{Kept, RunError, RunState};

use rstest::rstest;

use super::stage::{Stage, Way, fault, file, key, order, spec};

#[rstest]
#[tokio::test]
async fn exit_codes_decide(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::with(way, |settings| settings.retry_exit_codes = vec![75, 99]).await;
    let ends = [
        (0, Verdict::Succeeded, "none"),
        (65, Verdict::Failed, "exit-status"),
        (75, Verdict::FailedForNow, "exit-status"),
        (99, Verdict::FailedForNow, "exit-status"),
    ];
    stage.script("exit", "exit $1");
    for (record, (code, verdict, word)) in (1..).zip(ends) {
        let order = order(record, spec("exit", &code.to_string()));
        let report = stage.run_order(&order).await.unwrap();
        assert_eq!((report.verdict, fault(&report)), (verdict, word));
        assert_eq!(report.exit_code, Some(code));
    }
    let report = stage
        .run_order(&order(9, spec("exit", "65")))
        .await
        .unwrap();
    let text = report.fault.unwrap().text;
    assert_eq!(text, "transformation ended with exit code 65");
}

#[rstest]
#[tokio::test]
async fn a_signals_death_is_no_exit_code(#[values(Way::Direct, Way::Socket)] way: Way) {
    let report = Stage::new(way).await.run("kill -SEGV $$").await;
    assert_eq!((report.verdict, report.exit_code), (Verdict::Failed, None));
    assert_eq!(fault(&report), "killed-by-signal");
}

#[rstest]
#[tokio::test]
async fn what_it_used_is_measured(#[values(Way::Direct, Way::Socket)] way: Way) {
    let before = jiff::Timestamp::now();
    let report = Stage::new(way)
        .await
        .run("python3 -c 'x = bytearray(50_000_000); i = 0\nwhile i < 3_000_000: i += 1'")
        .await;
    assert_eq!(report.verdict, Verdict::Succeeded);
    assert!(report.cpu > Duration::from_millis(50), "{:?}", report.cpu);
    assert!(report.cpu < Duration::from_mins(1));
    assert!(report.peak_memory > 50_000_000, "{}", report.peak_memory);
    let started = report.started_at.unwrap();
    // The daemon's clock and the one that is told from it differ by less than this.
    let slack = Duration::from_secs(1);
    assert!(before - slack <= started && started < report.ended_at);
    assert!(report.ended_at <= jiff::Timestamp::now() + slack);
}

#[rstest]
#[tokio::test]
async fn words_are_split_and_no_shell_reads_them(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    stage.script("words", r#"for word in "$@"; do echo "<$word>"; done"#);
    let order = order(1, spec("words", r#"a 'b  c' "" d\ e $HOME * ; > x `ls`"#));
    stage.run_order(&order).await.unwrap();
    let words = fs::read_to_string(stage.work(order.key).join("stdout")).unwrap();
    let expected = "<a>\n<b  c>\n<>\n<d e>\n<$HOME>\n<*>\n<;>\n<>>\n<x>\n<`ls`>\n";
    assert_eq!(words, expected);
}

#[rstest]
#[tokio::test]
async fn the_environment_is_clean(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    stage.script("env", "env | sort");
    let mut spec = spec("env", "");
    spec.transformation.uses = Some("Atlas-8.0.5".into());
    spec.transformation.home = Some("JobTransforms-08".into());
    let mut order = order(7, spec);
    order.number = 3;
    stage.run_order(&order).await.unwrap();
    let work = stage.work(order.key);
    let text = fs::read_to_string(work.join("stdout")).unwrap();
    let names: Vec<_> = text
        .lines()
        .map(|line| line.split('=').next().unwrap())
        .collect();
    let expected = [
        "GRISTMILL_JOB_ID",
        "GRISTMILL_PROGRESS_FD",
        "GRISTMILL_RECORD_ID",
        "GRISTMILL_RUN",
        "HOME",
        "LANG",
        "PATH",
        "PWD",
        "TMPDIR",
        "TRANS_HOME",
        "TRANS_USES",
    ];
    assert_eq!(names, expected, "PWD is the shell's own");
    for line in [
        "GRISTMILL_JOB_ID=5173021",
        "GRISTMILL_RECORD_ID=7",
        "GRISTMILL_RUN=3",
        "TRANS_HOME=JobTransforms-08",
        "TRANS_USES=Atlas-8.0.5",
        &format!("HOME={}", work.display()),
        &format!("PWD={}", work.display()),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[rstest]
#[tokio::test]
async fn output_goes_to_files_under_logical_names(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    stage.script("talk", "echo out; echo err >&2; printf '\\377\\376' ");
    let mut spec = spec("talk", "");
    spec.stdout = Some(file("dc2.log"));
    spec.stderr = Some(file("dc2.err"));
    let order = order(1, spec);
    let report = stage.run_order(&order).await.unwrap();
    assert_eq!(report.verdict, Verdict::Succeeded);
    let work = stage.work(order.key);
    assert_eq!(fs::read(work.join("dc2.log")).unwrap(), b"out\n\xff\xfe");
    assert_eq!(fs::read(work.join("dc2.err")).unwrap(), b"err\n");
}

#[rstest]
#[tokio::test]
async fn declared_outputs_are_recorded_and_a_missing_one_fails_the_job(
    #[values(Way::Direct, Way::Socket)] way: Way,
) {
    let stage = Stage::new(way).await;
    stage.script("write", "printf abc > there; ln -s /etc/passwd led-out");
    let mut there = spec("write", "");
    there.outputs = vec![file("there")];
    let report = stage.run_order(&order(1, there.clone())).await.unwrap();
    assert_eq!(report.verdict, Verdict::Succeeded);
    assert_eq!(report.outputs.len(), 1);
    assert_eq!(report.outputs[0].size, 3);

    let mut missing = there;
    missing.outputs = ["there", "led-out", "absent"].map(file).into();
    let report = stage.run_order(&order(2, missing)).await.unwrap();
    assert_eq!(
        (report.verdict, fault(&report)),
        (Verdict::Failed, "missing-output")
    );
    assert_eq!(report.outputs.len(), 1);
    let text = report.fault.unwrap().text;
    assert!(text.contains("missing: absent"), "{text}");
    assert!(text.contains("led-out (it is a link)"), "{text}");
}

/// Without the list of what it had to leave a run has not succeeded.
#[rstest]
#[tokio::test]
async fn a_run_whose_list_of_outputs_is_gone_is_lost(
    #[values(Way::Direct, Way::Socket)] way: Way,
    #[values(None, Some("absent"))] declared: Option<&str>,
) {
    let stage = Stage::new(way).await;
    stage.script("job", "rm ../outputs; exit $1");
    let run = |record, exit| {
        let mut spec = spec("job", exit);
        spec.outputs = declared.map(file).into_iter().collect();
        order(record, spec)
    };
    let report = stage.run_order(&run(1, "0")).await.unwrap();
    assert_eq!((report.verdict, fault(&report)), (Verdict::Lost, "lost"));
    let report = stage.run_order(&run(2, "1")).await.unwrap();
    assert_eq!(fault(&report), "exit-status");

    // A run of an earlier version has no list where nothing was declared.
    let earlier = run(3, "0");
    stage.runner().start(&earlier).await.unwrap();
    stage.runner().ended(earlier.key).await.unwrap();
    let journal = stage.run_folder(earlier.key).join("journal");
    let text = fs::read_to_string(&journal).unwrap();
    let without = text.replace(",\"lists_outputs\":true", "");
    assert_ne!(without, text);
    fs::write(journal, without).unwrap();
    let report = stage.outcome(earlier.key).await;
    assert_eq!(report.verdict, Verdict::Succeeded);
}

#[rstest]
#[tokio::test]
async fn what_can_never_run_is_permanent(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    stage.script("job", "exit 0");
    fs::write(
        stage.settings.transformations[0].join("no-interpreter"),
        "#!/nowhere\n",
    )
    .unwrap();
    let mut escaping = spec("job", "");
    escaping.stdout = Some(file("../stdout"));
    let mut nested = spec("job", "");
    nested.outputs = vec![file("a/b")];
    let hopeless = [
        spec("absent", ""),
        spec("../work/holder", ""),
        spec("/bin/sh", ""),
        spec("job", "'a"),
        spec("job", "a\\"),
        spec("job", &"x".repeat(200_000)),
        spec("no-interpreter", ""),
        escaping,
        nested,
    ];
    for (record, spec) in (1..).zip(hopeless) {
        let order = order(record, spec);
        let started = stage.runner().start(&order).await;
        assert!(
            matches!(started, Err(RunError::Permanent(_))),
            "{started:?}"
        );
        let standing = stage.runner().look_up(order.key).await;
        assert!(matches!(standing, Ok(RunState::Gone)));
    }
    assert_eq!(stage.runner().runs().await.unwrap(), []);
}

/// Our own program comes first in its process, and leaves nothing behind.
#[tokio::test]
async fn a_program_finds_signals_and_input_as_they_should_be() {
    let stage = Stage::new(Way::Direct).await;
    let script = "sh -c 'kill -PIPE $$; echo ignored'; readlink /proc/self/fd/0";
    let run = stage.start(script).await;
    assert_eq!(stage.outcome(run).await.verdict, Verdict::Succeeded);
    let said = fs::read_to_string(stage.work(run).join("stdout")).unwrap();
    assert_eq!(said, "/dev/null\n");
}

/// The kernel says only that there is no such file, of a program that is there.
#[rstest]
#[case("#!/bin/sh\r\nexit 0\r\n", &["\"/bin/sh\\r\" is missing", "Windows line ends"])]
#[case("#!/nowhere/python -u\n", &["its interpreter \"/nowhere/python\" is missing"])]
#[case("exit 0\n", &["does not begin with `#!`"])]
#[tokio::test]
async fn what_a_program_lacks_is_named(
    #[values(Way::Direct, Way::Socket)] way: Way,
    #[case] text: &str,
    #[case] named: &[&str],
) {
    let stage = Stage::new(way).await;
    stage.script("job", "exit 0");
    fs::write(stage.settings.transformations[0].join("job"), text).unwrap();
    let started = stage.runner().start(&order(1, spec("job", ""))).await;
    let Err(RunError::Permanent(why)) = started else {
        panic!("{started:?}");
    };
    for words in named {
        assert!(why.contains(words), "{why}");
    }
}

#[rstest]
#[tokio::test]
async fn a_run_starts_once(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    stage.script("job", "echo started >> ../../../count; sleep 0.2");
    let order = order(1, spec("job", ""));
    stage.runner().start(&order).await.unwrap();
    stage.runner().start(&order).await.unwrap();
    let report = stage.outcome(order.key).await;
    assert_eq!(report.verdict, Verdict::Succeeded);
    stage.runner().start(&order).await.unwrap();
    let standing = stage.runner().look_up(order.key).await.unwrap();
    assert_eq!(standing, RunState::Ended);
    let count = fs::read_to_string(stage.settings.work_dir.join("count")).unwrap();
    assert_eq!(count, "started\n");
}

#[rstest]
#[tokio::test]
async fn a_lapsed_lease_starts_nothing(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    stage.script("job", "echo > ../../../ran");
    let mut order = order(1, spec("job", ""));
    order.lease_until = Some(SystemClock.since_boot());
    let started = stage.runner().start(&order).await;
    assert!(
        matches!(&started, Err(RunError::Away(why)) if why.contains("its lease was over")),
        "{started:?}"
    );
    assert!(!stage.settings.work_dir.join("ran").exists());
    let standing = stage.runner().look_up(order.key).await.unwrap();
    assert_eq!(standing, RunState::Gone);
}

#[rstest]
#[tokio::test]
async fn of_the_unknown_nothing_can_be_said(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    let run = key(5, 5);
    let standing = stage.runner().look_up(run).await.unwrap();
    assert_eq!(standing, RunState::Gone);
    stage.runner().ended(run).await.unwrap();
    stage.runner().stop(run).await.unwrap();
    stage.runner().forget(run, true).await.unwrap();
    let report = stage.runner().collect(run).await.unwrap();
    assert_eq!((report.verdict, report.started_at), (Verdict::Lost, None));
}

#[rstest]
#[tokio::test]
async fn folders_are_kept_as_configured(#[values(Way::Direct, Way::Socket)] way: Way) {
    let cases = [
        (KeepWork::Never, [false, false]),
        (KeepWork::Failed, [false, true]),
        (KeepWork::Always, [true, true]),
    ];
    for (keep_work, kept) in cases {
        let stage = Stage::with(way, |settings| settings.keep_work = keep_work).await;
        stage.script("job", "echo words");
        for (record, (failed, kept)) in (1..).zip([false, true].into_iter().zip(kept)) {
            let order = order(record, spec("job", ""));
            stage.run_order(&order).await.unwrap();
            let run = order.key;
            stage.runner().forget(run, failed).await.unwrap();
            stage.runner().forget(run, failed).await.unwrap();
            assert_eq!(stage.runner().runs().await.unwrap(), []);
            let output = format!("kept/{run}/work/stdout");
            let output = stage.settings.work_dir.join(output);
            assert_eq!(output.exists(), kept, "{keep_work:?} {failed}");
            let tended = stage.runner().tend_kept(&[]).await.unwrap();
            assert_eq!(tended.runs.contains(&run), kept, "{tended:?}");
            assert_eq!(tended.bytes > 0, kept, "{tended:?}");
            let tended = stage.runner().tend_kept(&[run.record]).await.unwrap();
            assert_eq!(tended, Kept::default());
            assert!(!output.exists());
        }
    }
}
