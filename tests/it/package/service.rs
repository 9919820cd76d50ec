//! The package's units under a systemd of their own.

use super::Package;
use crate::bundle::unpacked;
use crate::e2e_jobs::Scene;
use crate::rig::XmppServer;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR, EXECUTOR_JID, SUPERVISOR};
use crate::rig::machine::Machine;
use crate::rig::prosody::Prosody;
use crate::rig::tree::Tree;

/// An installed package, configured as docs/production.md says.
fn installed(server: &dyn XmppServer) -> Machine {
    let package = Package::build("0.1.0-1");
    let tree = Tree::new();
    let file = tree.take_in(&package.file);
    std::fs::copy(server.ca_file(), tree.root().join("etc/gristmill-ca.pem")).unwrap();
    let machine = Machine::boot(tree);
    machine.does(&format!("dpkg --install {file}"));
    machine.does(&format!(
        "cat > /etc/gristmill/conf.d/50-site.toml <<'END'
[xmpp]
jid = \"{EXECUTOR_JID}\"
server = \"{}\"
ca_file = \"/etc/gristmill-ca.pem\"
[[supervisor]]
jid = \"{}@grid.test\"
owner = \"prodsys\"
[http]
listen = \"unix:/run/gristmill/http.sock\"
END
         mkdir -p /usr/local/lib/gristmill
         umask 077
         echo '{}' > /etc/credstore/gristmill.xmpp-password",
        server.address(),
        SUPERVISOR.0,
        EXECUTOR.1,
    ));
    machine
}

/// Tells who it is and what it can reach, and takes some time.
const PROGRAM: &str = r#"#!/bin/sh
exec >>/var/lib/gristmill-runner/told 2>&1
echo "started as $(id -un)"
cat /etc/credstore/gristmill.xmpp-password && echo "read the secret"
cat /run/credentials/gristmill.service/xmpp-password && echo "read the credential"
ls /var/lib/gristmill && echo "saw the store"
touch /usr/local/lib/gristmill/mark && echo "changed a program"
touch /tmp/mark && echo "has a /tmp"
while [ ! -e /var/lib/gristmill-runner/go ]; do sleep 0.2; done
echo ended
"#;

/// systemd's line about the daemon says this.
fn says(word: &str) -> String {
    format!("systemctl show --value -p StatusText gristmill | grep -q '{word}'")
}

#[test]
fn jobs_run_beside_a_guarded_daemon_whatever_is_restarted() {
    let server = Prosody::start(ACCOUNTS);
    let machine = installed(&server);
    let program = machine.tree().root().join("usr/local/lib/gristmill/tell");
    std::fs::write(program, PROGRAM).unwrap();
    machine.does("chmod 755 /usr/local/lib/gristmill/tell");

    machine.does("systemctl enable --now gristmill");
    machine.waits_until(&says("XMPP online"));
    machine.does("systemctl reload gristmill && systemctl is-active gristmill");
    let mut scene = Scene::open(&server);
    scene.submit(&["tell"]);
    let told = "/var/lib/gristmill-runner/told";
    machine.waits_until(&format!("grep -q 'has a /tmp' {told}"));

    machine.does("systemctl restart gristmill-runner");
    machine.does("systemctl kill --signal KILL --kill-whom main gristmill");
    machine.waits_until("[ $(systemctl show --value -p NRestarts gristmill) -gt 0 ]");
    machine.waits_until("systemctl is-active gristmill gristmill-runner");
    machine.waits_until(&says("XMPP online, 1 running"));
    scene.supervisor.wait_until_served();
    machine.does("touch /var/lib/gristmill-runner/go");
    assert_eq!(scene.wait_until_finished(), ["finished succeeded"]);

    let told = machine.does(&format!("cat {told}"));
    let started = told.matches("started as gristmill-runner").count();
    assert_eq!(started, 1, "{told}");
    for reached in ["read the", "saw the store", "changed a program"] {
        assert!(!told.contains(reached), "{told}");
    }
    let bundle = "var/lib/bundle.tar.gz";
    machine.does(&format!("gristmill debug bundle --output /{bundle}"));
    let bundle = unpacked(&machine.tree().root().join(bundle));
    for line in [
        "Started gristmill",
        "gristmill::xmpp::link: online jid=",
        "gristmill::runner::socket",
    ] {
        assert!(
            bundle["log.txt"].contains(line),
            "no {line}: {}",
            bundle["log.txt"]
        );
    }
    assert!(bundle.values().all(|text| !text.contains(EXECUTOR.1)));
    machine.does("systemctl stop gristmill gristmill-runner");
    let results = machine.does("systemctl show --value -p Result gristmill gristmill-runner");
    let results: Vec<_> = results.split_whitespace().collect();
    assert_eq!(results, ["success"; 2]);
}
