//! What a configuration names on this machine: found here, by `config check` as by `serve` and
//! `runner` before they begin anything, so that nothing that passes the one ends the others. It
//! changes nothing. What may heal by itself (a server that is away, a place that is taken) is not
//! looked at; rights are those of the user who asks, so root is told less than the daemon's user.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::buffer::StoreUrl;
use crate::config::{Config, Loaded};
use crate::error::{Code, Report};
use crate::http::Listen;
use crate::runner::socket::user_id;
use crate::xmpp::{self, Security};

/// A folder in which everybody could put a socket of their own.
const WRITABLE_FOR_EVERYBODY: u32 = 0o002;

/// What is wrong with a key's value.
struct Fault {
    code: Code,
    key: &'static str,
    what: String,
    hint: &'static str,
}

type Checked = Result<(), Fault>;

/// Whether a daemon can begin with it, its secrets apart: they may come by a pipe, which can be read
/// once.
pub fn check_daemon(loaded: &Loaded) -> Result<(), Report> {
    let config = &loaded.config;
    let named = || -> Checked {
        store(config)?;
        authorities(config)?;
        listen(&config.http.listen)?;
        capture(&config.capture.control)?;
        if !config.conductor.enabled {
            return Ok(());
        }
        if config.runner.in_process {
            return work_dir(&config.runner.process.work_dir, may_write);
        }
        users("runner.user", config.runner.user.iter())
    };
    named().map_err(|fault| fault.report(loaded))
}

/// Whether a runner in a process of its own can begin with it.
pub fn check_runner(loaded: &Loaded) -> Result<(), Report> {
    let runner = &loaded.config.runner;
    let named = || -> Checked {
        users("runner.allow_users", runner.allow_users.iter())?;
        // It is the runner's user who must be able to, who may not be the one who asks.
        work_dir(&runner.process.work_dir, |_| Ok(()))?;
        socket(&runner.socket)
    };
    named().map_err(|fault| fault.report(loaded))
}

impl Fault {
    fn report(self, loaded: &Loaded) -> Report {
        loaded.fault(self.code, self.key, self.what, self.hint)
    }
}

fn store(config: &Config) -> Checked {
    let StoreUrl::Sqlite(file) = &config.buffer.url else {
        return Ok(());
    };
    let fault = |what| Fault {
        code: Code::StoreInvalid,
        key: "buffer.url",
        what,
        hint: "name a file in a folder that is there",
    };
    if file.is_dir() {
        return Err(fault(format!("{} is a folder", file.display())));
    }
    in_a_folder(file)
        .and_then(|()| may_write(&folder_of(file)))
        .map_err(fault)
}

/// The certificate authorities that are to be trusted.
fn authorities(config: &Config) -> Checked {
    let (xmpp, buffer) = (&config.xmpp, &config.buffer);
    let of_xmpp = xmpp.ca_file.iter().map(|file| ("xmpp.ca_file", file));
    let of_xmpp = of_xmpp.filter(|_| xmpp.security != Security::Plaintext);
    let of_store = buffer.ca_file.iter().map(|file| ("buffer.ca_file", file));
    let of_store = of_store.filter(|_| matches!(buffer.url, StoreUrl::Mysql(_)));
    for (key, file) in of_xmpp.chain(of_store) {
        xmpp::check_authorities(file).map_err(|why| Fault {
            code: Code::AuthoritiesUnusable,
            key,
            what: format!("{}: {why}", file.display()),
            hint: "name a file with certificates in PEM form, which the daemon's user may read",
        })?;
    }
    Ok(())
}

fn listen(listen: &Listen) -> Checked {
    let what = match listen {
        Listen::Off => return Ok(()),
        Listen::Unix(path) => in_a_folder(path)
            .and_then(|()| no_other_than_a_socket(path))
            .and_then(|()| may_write(&folder_of(path))),
        // The address, at any port: the configured one may be a running daemon's.
        Listen::Tcp(address) => TcpListener::bind((address.ip(), 0))
            .map(drop)
            .map_err(|error| format!("{}: {error}", address.ip())),
    };
    what.map_err(|what| Fault {
        code: Code::ListenUnusable,
        key: "http.listen",
        what,
        hint: "name a loopback address of this machine, or a socket in a folder that is there",
    })
}

fn capture(control: &Path) -> Checked {
    if !control.is_dir() {
        return Ok(());
    }
    Err(Fault {
        code: Code::CaptureControl,
        key: "capture.control",
        what: format!("{} is a folder", control.display()),
        hint: "name a file in it",
    })
}

/// It is made where it is not there.
fn work_dir(folder: &Path, may_write: impl Fn(&Path) -> Result<(), String>) -> Checked {
    let mut there = folder.ancestors().filter(|part| part.exists());
    let what = match there.next() {
        Some(part) if part.is_dir() => may_write(part),
        Some(part) => Err(format!("{} is no folder", part.display())),
        None => Ok(()),
    };
    what.map_err(|what| Fault {
        code: Code::WorkDirUnusable,
        key: "runner.process.work_dir",
        what,
        hint: "name a folder, which the runner makes where it is not there",
    })
}

fn users<'a>(key: &'static str, names: impl Iterator<Item = &'a String>) -> Checked {
    for name in names {
        user_id(name).map_err(|error| Fault {
            code: Code::UserUnknown,
            key,
            what: error.to_string(),
            hint: "name a user that `getent passwd` shows, or give the user's number",
        })?;
    }
    Ok(())
}

/// The runner makes the socket's folder, and none above it.
fn socket(path: &Path) -> Checked {
    let fault = |what| Fault {
        code: Code::SocketUnusable,
        key: "runner.socket",
        what,
        hint: "name a socket in a folder that is the runner's, and not writable by everybody",
    };
    no_other_than_a_socket(path).map_err(fault)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    match fs::metadata(folder) {
        Ok(found) if found.permissions().mode() & WRITABLE_FOR_EVERYBODY != 0 => Err(fault(
            format!("everybody may write in {}", folder.display()),
        )),
        Ok(_) => in_a_folder(path).map_err(fault),
        Err(_) => in_a_folder(folder).map_err(fault),
    }
}

fn folder_of(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// A disk that may not be written to just now is not known to be wrong.
fn may_write(folder: &Path) -> Result<(), String> {
    match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Err(Errno::ACCESS) => Err(format!("you may not write in {}", folder.display())),
        _ => Ok(()),
    }
}

/// Whether a file can stand there; where that cannot be seen it is not known to be wrong.
fn in_a_folder(file: &Path) -> Result<(), String> {
    let folder = folder_of(file);
    match fs::metadata(&folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        Ok(_) => Err(format!("{} is no folder", folder.display())),
        Err(error) => Err(format!("{}: {error}", folder.display())),
    }
}

fn no_other_than_a_socket(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err(format!("{} is no socket", path.display()))
        }
        _ => Ok(()),
    }
}
