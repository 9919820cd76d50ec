//! A life of the package in a small Debian: installed, configured, upgraded, removed, purged.

use super::Package;
use crate::rig::tree::Tree;

const JOB: &str = r#"<executeJobs xmlns="urn:windmill:executor:1"><job jobID="17" attempt="1">
<jobName>n</jobName><transformation><transUses>u</transUses><transHome>h</transHome>
<transPath>t</transPath></transformation><jobPars>p</jobPars></job></executeJobs>"#;

/// What the site has written: configuration, a secret, and a job in the store.
fn configure(tree: &Tree) {
    tree.does(
        "cat > /etc/gristmill/conf.d/50-site.toml <<'END'
[xmpp]
jid = \"executor@grid.test/panda\"
[[supervisor]]
jid = \"supervisor@grid.test\"
owner = \"prodsys\"
END
         echo '# the site was here' >> /etc/gristmill/gristmill.toml
         mkdir -p /etc/credstore
         umask 077; echo mill > /etc/credstore/gristmill.xmpp-password",
    );
    std::fs::write(tree.root().join("srv/job.xml"), JOB).unwrap();
    tree.does(
        "install -d -o gristmill -g gristmill -m 0750 /var/lib/gristmill
         install -d -o gristmill-runner -g gristmill-runner /var/lib/gristmill-runner/work
         runuser -u gristmill -- gristmill migrate
         runuser -u gristmill -- gristmill job submit --owner prodsys /srv/job.xml",
    );
}

fn the_site_is_untouched(tree: &Tree) {
    let kept = tree.does(
        "cat /etc/gristmill/gristmill.toml /etc/gristmill/conf.d/50-site.toml
         cat /etc/credstore/gristmill.xmpp-password
         ls -d /var/lib/gristmill/buffer.db /var/lib/gristmill-runner/work",
    );
    for word in ["the site was here", "executor@grid.test/panda", "mill"] {
        assert!(kept.contains(word), "no {word:?} in\n{kept}");
    }
}

fn the_job_is_there(tree: &Tree) {
    let jobs = tree.does("runuser -u gristmill -- gristmill job list --json");
    assert!(
        jobs.contains("\"17\"") && jobs.lines().count() == 1,
        "{jobs}"
    );
}

#[test]
fn state_survives_all_but_purge() {
    let [old, new] = ["0.0.9-1", "9.0.0-1"].map(Package::build);
    let tree = Tree::new();
    let [old, new] = [old, new].map(|package| tree.take_in(&package.file));

    tree.does(&format!("dpkg --install {old}"));
    tree.does("id gristmill && id gristmill-runner");
    let unconfigured = tree.run("gristmill config check");
    assert_eq!(unconfigured.status.code(), Some(3), "{unconfigured:?}");
    assert!(String::from_utf8_lossy(&unconfigured.stderr).contains("xmpp.jid"));
    configure(&tree);
    the_job_is_there(&tree);

    tree.does(&format!("dpkg --install {new}"));
    the_site_is_untouched(&tree);
    the_job_is_there(&tree);
    tree.does("systemd-analyze verify --man=no gristmill.service gristmill-runner.service gristmill-jobs.service");

    tree.does("dpkg --remove gristmill");
    assert!(!tree.holds("/usr/bin/gristmill"));
    the_site_is_untouched(&tree);

    tree.does(&format!("dpkg --install {new}"));
    the_job_is_there(&tree);

    tree.does("dpkg --purge gristmill");
    for gone in [
        "/var/lib/gristmill",
        "/var/lib/gristmill-runner",
        "/etc/gristmill",
        "/etc/credstore/gristmill.xmpp-password",
        "/usr/lib/systemd/system/gristmill.service",
    ] {
        assert!(!tree.holds(gone), "{gone} is left");
    }
}
