//! The package's units on a kernel with cgroup v2: what happens to them leaves the jobs alone.

use std::fs;

use crate::package::Package;
use crate::rig::guest::{Found, take_script_in};
use crate::rig::tree::Tree;

const JOBS: &str = "/gristmill.slice/gristmill-jobs.slice/gristmill-jobs.service";

/// What systemd starts once it is up.
const CHECK: &str = "[Service]
Type=oneshot
ExecStart=/srv/units.sh
";

/// A guest with an installed package; its supervisor's server is away.
fn found() -> Found {
    let package = Package::build("0.1.0-1");
    let tree = Tree::new();
    let file = tree.take_in(&package.file);
    tree.does(&format!("dpkg --install {file} && rm {file}"));
    tree.does(
        "cat > /etc/gristmill/conf.d/50-site.toml <<'END'
[xmpp]
jid = \"executor@grid.test/panda\"
server = \"127.0.0.1:5222\"
[[supervisor]]
jid = \"supervisor@grid.test\"
owner = \"prodsys\"
[buffer]
# An emulated processor takes its time.
timeout = \"30s\"
[conductor]
lease = \"2m\"
retry_after = \"1s\"
slots = 2
[runner.process]
grace = \"1s\"
[runner.process.limits]
memory = \"32 MiB\"
processes = 20
[http]
listen = \"unix:/run/gristmill/http.sock\"
END
         mkdir -p /etc/credstore; umask 077
         echo mill > /etc/credstore/gristmill.xmpp-password",
    );
    let units = tree.root().join("etc/systemd/system");
    let wanted = units.join("multi-user.target.wants");
    fs::create_dir_all(&wanted).unwrap();
    fs::write(units.join("check.service"), CHECK).unwrap();
    std::os::unix::fs::symlink("../check.service", wanted.join("check.service")).unwrap();
    take_script_in(&tree, "cgroup/units.sh");
    Found::out(&tree, "/usr/lib/systemd/systemd")
}

#[test]
fn limits_outlive_whatever_happens_to_the_units() {
    let found = found();
    assert!(found.text("held").contains(&format!("{JOBS}\"}}")));
    let run = format!("/sys/fs/cgroup{JOBS}/1-1");
    let limits = format!("{run}/memory.max:{}\n{run}/pids.max:20", 32 << 20);
    for when in ["held", "restarted", "killed"] {
        let said = found.text(when);
        assert!(
            said.ends_with(&limits),
            "{when}: {said}\n{}",
            found.text("log")
        );
    }
    assert!(found.text("restarted").starts_with("well"));
    found.result("patient", Some("memory-limit"));
    assert_eq!(found.text("starts"), "started");
    for (job, record) in [("beside", 2), ("afterwards", 3)] {
        found.result(job, None);
        let cgroup = found.text(&format!("{job}.cgroup"));
        assert!(
            cgroup.starts_with(&format!("0::{JOBS}/{record}-")),
            "{cgroup}"
        );
    }
    assert_eq!(found.text("left"), "keeper/");
}
