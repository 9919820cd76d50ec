//! A folder with a sound configuration, for commands that find nobody there.

use std::fs;

use tempfile::TempDir;

use super::folder;
use super::gristmill::secret;

/// One over an XMPP server that is not there: `gristmill.toml`, and all that it names beside it.
pub fn site() -> TempDir {
    let site = folder::new();
    let folder = site.path().display();
    let config = format!(
        "[xmpp]\njid = \"executor@localhost/panda\"\nserver = \"127.0.0.1:1\"\n\
         password_file = \"{folder}/password\"\n\
         [[supervisor]]\njid = \"supervisor@localhost\"\n\
         [buffer]\nurl = \"sqlite:{folder}/buffer.db\"\n\
         [runner]\nsocket = \"{folder}/run/runner.sock\"\n\
         [runner.process]\nwork_dir = \"{folder}/work\"\ntransformations = [\"{folder}\"]\n\
         [http]\nlisten = \"unix:{folder}/http.sock\"\n\
         [capture]\ncontrol = \"{folder}/capture\"\n"
    );
    fs::write(site.path().join("gristmill.toml"), config).expect("a configuration");
    secret(&site.path().join("password"), "secret");
    site
}
