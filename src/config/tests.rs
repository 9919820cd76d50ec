use std::fs;
use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;

use super::*;
use crate::error::Kind;

const LEAST: &str = "[xmpp]\njid = \"executor@grid.example/panda\"\n\
                     [[supervisor]]\njid = \"supervisor@grid.example\"\n";

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn load_file(text: &str) -> Result<Loaded, Report> {
    let folder = folder_with(&[("gristmill.toml", text)]);
    load(&Sources {
        file: FileChoice::Named(folder.path().join("gristmill.toml")),
        ..Sources::default()
    })
}

#[test]
fn the_least_configuration_is_two_jids() {
    let config = load_file(LEAST).unwrap().config;
    assert_eq!(config.xmpp.max_stanza, 256 * 1024);
    assert_eq!(config.bridge.max_request, 4 * 1024 * 1024);
    assert_eq!(config.bridge.max_age, Duration::from_mins(10));
    assert_eq!(
        config.supervisor[0].owner().unwrap().as_str(),
        "supervisor@grid.example"
    );
}

#[test]
fn later_layers_win_and_are_named() {
    let folder = folder_with(&[
        (
            "gristmill.toml",
            &format!("{LEAST}[bridge]\njobs_wanted = 1\nqueue = 1\n"),
        ),
        (
            "conf.d/10-site.toml",
            "[bridge]\njobs_wanted = 2\nmax_age = \"1m\"\n",
        ),
        ("conf.d/notes.txt", "not a layer"),
    ]);
    let loaded = load(&Sources {
        file: FileChoice::Named(folder.path().join("gristmill.toml")),
        environment: vec![
            ("GRISTMILL_BRIDGE__JOBS_WANTED".into(), "3".into()),
            ("GRISTMILL_BUFFER__URL".into(), "sqlite:/tmp/x.db".into()),
        ],
        flags: vec![("bridge.jobs_wanted".into(), "4".into())],
    })
    .unwrap();
    assert_eq!(loaded.config.bridge.jobs_wanted, 4);
    assert_eq!(loaded.config.bridge.queue, 1);
    let source = |key: &str| loaded.sources[key].to_string();
    assert_eq!(source("bridge.jobs_wanted"), "--set");
    assert_eq!(source("buffer.url"), "environment GRISTMILL_BUFFER__URL");
    assert!(source("bridge.max_age").ends_with("conf.d/10-site.toml:3:1"));
    assert!(source("bridge.queue").ends_with("gristmill.toml:7:1"));
    assert_eq!(source("bridge.strict"), "default");
}

/// An editor's lock is a link to what is no file; other systems' files are no text.
#[test]
fn names_that_begin_with_a_dot_are_no_layers() {
    let folder = folder_with(&[
        ("gristmill.toml", LEAST),
        ("conf.d/10-site.toml", "[bridge]\njobs_wanted = 2\n"),
        ("conf.d/._10-site.toml", "\0\u{5}\u{16}\u{7}"),
        ("conf.d/.toml", "not a layer"),
    ]);
    let link = folder.path().join("conf.d/.#10-site.toml");
    std::os::unix::fs::symlink("operator@host.4711:1", link).unwrap();
    let loaded = load(&Sources {
        file: FileChoice::Named(folder.path().join("gristmill.toml")),
        ..Sources::default()
    });
    assert_eq!(loaded.unwrap().config.bridge.jobs_wanted, 2);
}

/// Also where it is the same address.
#[test]
fn an_address_that_is_configured_is_no_default() {
    let is_default = |text: &str| {
        let config = load_file(text).unwrap().config;
        config.http.listen_is_default
    };
    assert!(is_default(LEAST));
    let configured = format!("{LEAST}[http]\nlisten = \"127.0.0.1:8470\"\n");
    assert!(!is_default(&configured));
}

#[test]
fn a_named_file_must_be_there() {
    let missing = FileChoice::Named("/nonexistent/gristmill.toml".into());
    let report = load(&Sources {
        file: missing,
        ..Sources::default()
    })
    .unwrap_err();
    assert_eq!(report.kind(), Kind::Configuration);
    assert!(report.to_string().contains("/nonexistent/gristmill.toml"));
}

#[test]
fn secrets_come_from_files_that_are_closed_to_others() {
    let folder = folder_with(&[("open", "x\n"), ("closed", "pass word \n"), ("empty", "\n")]);
    let at = |name: &str, mode| {
        let path = folder.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        secrets::read(&path)
    };
    assert_eq!(at("closed", 0o640).unwrap().expose_secret(), "pass word ");
    assert!(
        at("open", 0o644)
            .unwrap_err()
            .to_string()
            .contains("chmod 600")
    );
    assert!(
        at("empty", 0o600)
            .unwrap_err()
            .to_string()
            .contains("empty")
    );
}

#[test]
fn the_default_file_names_every_key() {
    let uncommented: Vec<_> = DEFAULTS
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest,
            _ => line,
        })
        .collect();
    let uncommented = uncommented.join("\n");
    let loaded = load_file(&uncommented).unwrap();
    assert!(loaded.config.xmpp.password_file.is_some());
    assert_eq!(
        loaded.config.supervisor[0].owner.as_deref(),
        Some("prodsys")
    );
}
