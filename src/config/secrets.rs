//! Secrets: read from files or systemd credentials when they are needed, never kept as settings.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::error::{Code, Report};
use crate::xmpp::password_oddity;

use super::{Buffer, Config, Xmpp};

/// Where systemd looks for the credentials of services.
const CREDENTIALS: &str = "/etc/credstore";
/// The longest secret, in bytes.
const MAX_BYTES: u64 = 4096;
/// The remedy for an odd password.
pub const ODD_REMEDY: &str = "write the password alone into its file, with `printf %s`";
/// The rights that make a file readable or writable for everybody.
const EVERYBODY: u32 = 0o006;

impl Xmpp {
    /// The account's password.
    pub fn password(&self) -> Result<SecretString, Report> {
        let found = find(self.password_file.as_deref(), "xmpp-password");
        let path = found.ok_or_else(|| {
            let what = "xmpp.password_file is missing";
            Report::new(Code::SecretMissing, what)
                .hint("name a file that holds the password, or keep it in /etc/credstore/gristmill.xmpp-password")
        })?;
        read(&path)
    }

    /// The same once more, for it may have been corrected; `None`: it came by what can be read only
    /// once.
    pub fn password_again(&self) -> Result<Option<SecretString>, Report> {
        let found = find(self.password_file.as_deref(), "xmpp-password");
        let is_file = found.is_some_and(|path| path.is_file());
        is_file.then(|| self.password()).transpose()
    }
}

impl Buffer {
    /// The store's password, where it has one.
    pub fn password(&self) -> Result<Option<SecretString>, Report> {
        let found = find(self.password_file.as_deref(), "buffer-password");
        found.map(|path| read(&path)).transpose()
    }
}

/// Describes odd passwords, each with its key.
pub fn oddities(config: &Config) -> Result<Vec<String>, Report> {
    let buffer = config.buffer.password()?;
    let passwords = [
        ("xmpp.password_file", Some(config.xmpp.password()?)),
        ("buffer.password_file", buffer),
    ];
    let odd = passwords.into_iter().filter_map(|(key, password)| {
        let odd = password_oddity(&password?)?;
        Some(format!("{key}: the password {odd}"))
    });
    Ok(odd.collect())
}

/// The configured file, else the credential: as systemd hands it to the service, or where it keeps
/// it, for an operator's commands.
fn find(configured: Option<&Path>, credential: &str) -> Option<PathBuf> {
    let handed = || {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
        Some(Path::new(&folder).join(credential)).filter(|path| path.exists())
    };
    let kept = || {
        let path = Path::new(CREDENTIALS).join(format!("gristmill.{credential}"));
        path.exists().then_some(path)
    };
    configured.map(Path::to_owned).or_else(handed).or_else(kept)
}

/// Reads a secret; one newline at its end is not part of it.
pub fn read(path: &Path) -> Result<SecretString, Report> {
    let shown = path.display();
    let report = |what: &str| Report::new(Code::SecretUnusable, format!("{shown}: {what}"));
    let unreadable = |error| report("the secret cannot be read").because(error);
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if is_open_to_everybody(&metadata) {
        return Err(report("everybody may read this secret").hint(format!("chmod 600 {shown}")));
    }
    let mut text = String::new();
    let mut limited = file.by_ref().take(MAX_BYTES + 1);
    limited.read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(report("is longer than 4096 bytes, which no password is"));
    }
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(report("the secret is empty"));
    }
    Ok(SecretString::from(secret))
}

fn is_open_to_everybody(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & EVERYBODY != 0
}
