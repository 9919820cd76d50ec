//! Where a runner listens.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use tokio::net::UnixListener;

/// The longest path of a socket, in bytes: the kernel's 107, and room for a name beside it.
pub const MAX_PATH_BYTES: usize = 90;

/// For the runner's user and its group, to which the daemon belongs.
const SOCKET_MODE: u32 = 0o660;
const FOLDER_MODE: u32 = 0o750;
const WRITABLE_FOR_EVERYBODY: u32 = 0o002;

/// Why nobody can listen at a place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Somebody listens there.
    #[error("{0}: another runner listens there")]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{0}: there is something that is no socket")]
    NoSocket(PathBuf),
    /// Others could put a socket of their own there.
    #[error(
        "{0}: the folder must belong to the runner's user or to root, and not be writable by everybody"
    )]
    OpenFolder(PathBuf),
    /// The folder or the socket cannot be made.
    #[error("{path}: {source}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Listens at a place. A socket that nobody listens on, which a runner that is gone has left
/// there, is replaced; at no time the place is empty or open to more than its mode says.
pub fn listen(path: &Path) -> Result<UnixListener, PlaceError> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| PlaceError::Unusable { path, source }
    };
    check_folder(path.parent().unwrap_or(Path::new("/")))?;
    check_free(path)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = Path::new(&beside);
    let listener = StdListener::bind(beside).map_err(unusable(beside))?;
    fs::set_permissions(beside, Permissions::from_mode(SOCKET_MODE))
        .and_then(|()| fs::rename(beside, path))
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| UnixListener::from_std(listener))
        .map_err(unusable(path))
}

fn check_folder(folder: &Path) -> Result<(), PlaceError> {
    let unusable = |source| PlaceError::Unusable {
        path: folder.to_owned(),
        source,
    };
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(error)),
        _ => (),
    }
    let found = fs::metadata(folder).map_err(unusable)?;
    let ours = [0, geteuid().as_raw()].contains(&found.uid());
    if !ours || found.mode() & WRITABLE_FOR_EVERYBODY != 0 {
        return Err(PlaceError::OpenFolder(folder.to_owned()));
    }
    Ok(())
}

fn check_free(path: &Path) -> Result<(), PlaceError> {
    let unusable = |source| PlaceError::Unusable {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unusable(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(PlaceError::NoSocket(path.to_owned()));
        }
        Ok(_) => (),
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(PlaceError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(unusable(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("inner/runner.sock");
        (folder, socket)
    }

    #[tokio::test]
    async fn what_a_dead_runner_left_is_replaced_and_a_living_one_is_not() {
        let (_folder, socket) = folder();
        let first = listen(&socket).unwrap();
        assert!(matches!(listen(&socket), Err(PlaceError::InUse(_))));
        drop(first);
        assert!(socket.exists());
        let _second = listen(&socket).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&socket), SOCKET_MODE);
        assert_eq!(mode(socket.parent().unwrap()), FOLDER_MODE);
        assert_eq!(fs::read_dir(socket.parent().unwrap()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn nothing_but_a_socket_is_replaced() {
        let (_folder, socket) = folder();
        fs::create_dir(socket.parent().unwrap()).unwrap();
        fs::write(&socket, "precious").unwrap();
        assert!(matches!(listen(&socket), Err(PlaceError::NoSocket(_))));
        assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_folder_that_is_open_to_everybody_is_refused() {
        let (_folder, socket) = folder();
        let inner = socket.parent().unwrap();
        fs::create_dir(inner).unwrap();
        fs::set_permissions(inner, Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(listen(&socket), Err(PlaceError::OpenFolder(_))));
    }
}
