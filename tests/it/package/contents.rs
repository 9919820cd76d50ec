//! What is in the package.

use std::process::Command;

use super::Package;
use crate::rig::process::program;

#[test]
fn two_builds_give_the_same_bytes() {
    let [one, other] = [(); 2].map(|()| Package::build("1.2.3-1"));
    let [one, other] = [one, other].map(|package| std::fs::read(package.file).unwrap());
    assert!(one == other, "{} and {} bytes", one.len(), other.len());
}

#[test]
fn lintian_finds_no_error() {
    let package = Package::build("1.2.3-1");
    let lintian = Command::new(program("lintian", "lintian"))
        .args(["--allow-root", "--fail-on", "error,warning"])
        // There is no bug in Debian's tracker that a first upload would close.
        .args(["--suppress-tags", "initial-upload-closes-no-bugs"])
        .arg(&package.file)
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&lintian.stdout);
    assert!(lintian.status.success(), "{found}");
}

/// Each file that operators are told of, and a manual page for each command.
#[test]
fn an_operator_finds_what_the_readme_names() {
    let package = Package::build("1.2.3-1");
    let listed = Command::new(program("dpkg-deb", "dpkg"))
        .arg("--contents")
        .arg(&package.file)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for file in [
        "usr/bin/gristmill",
        "etc/gristmill/gristmill.toml",
        "etc/gristmill/conf.d/10-runner.toml",
        "usr/lib/systemd/system/gristmill.service",
        "usr/lib/systemd/system/gristmill-runner.service",
        "usr/lib/systemd/system/gristmill-jobs.service",
        "usr/lib/sysusers.d/gristmill.conf",
        "usr/lib/tmpfiles.d/gristmill.conf",
        "usr/share/man/man1/gristmill.1.gz",
        "usr/share/man/man1/gristmill-job-list.1.gz",
        "usr/share/bash-completion/completions/gristmill",
        "usr/share/zsh/vendor-completions/_gristmill",
        "usr/share/fish/vendor_completions.d/gristmill.fish",
        "usr/share/gristmill/prosody.cfg.lua",
        "usr/share/gristmill/ejabberd.yml",
        "usr/share/gristmill/grafana-dashboard.json",
        "usr/share/gristmill/alerts.yml",
        "usr/share/gristmill/windmill.xsd",
        "usr/share/doc/gristmill/copyright",
        "usr/share/doc/gristmill/README.md",
        "usr/share/doc/gristmill/docs/production.md",
        "usr/share/doc/gristmill/docs/operations.md",
    ] {
        assert!(
            listed
                .lines()
                .any(|line| line.ends_with(&format!("./{file}"))),
            "no {file} in\n{listed}"
        );
    }
}
