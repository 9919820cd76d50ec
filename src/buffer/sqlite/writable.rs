//! Whether the file takes writes.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, ffi};
use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use rustix::process::geteuid;

use crate::buffer::BufferError;

/// A group of commits needs that much room at least, in bytes.
const LEAST_ROOM: u64 = 256 << 10;

/// Input/output errors of writing.
const WRITE_ERRORS: [i32; 6] = [
    ffi::SQLITE_IOERR_WRITE,
    ffi::SQLITE_IOERR_FSYNC,
    ffi::SQLITE_IOERR_DIR_FSYNC,
    ffi::SQLITE_IOERR_TRUNCATE,
    ffi::SQLITE_IOERR_SHMSIZE,
    ffi::SQLITE_IOERR_SHMOPEN,
];

/// Whether an error is that the file takes no writes.
pub(super) fn is_refusal(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::ReadOnly || WRITE_ERRORS.contains(&error.extended_code)
    })
}

/// Looks whether the daemon could write, without writing.
pub(super) fn look(connection: &Connection) -> Result<(), BufferError> {
    let path = Path::new(connection.path().unwrap_or_default());
    let refused = |why: &str| BufferError::ReadOnly(format!("{}: {why}", path.display()));
    let unseen = |why: rustix::io::Errno| refused(&why.to_string());
    access(path, Access::WRITE_OK).map_err(unseen)?;
    let disk = statvfs(path).map_err(unseen)?;
    if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(refused("its file system is read-only"));
    }
    // The rest is kept for root.
    let blocks = if geteuid().is_root() {
        disk.f_bfree
    } else {
        disk.f_bavail
    };
    let room = blocks.saturating_mul(disk.f_frsize);
    // Some file systems do not count blocks.
    if disk.f_blocks > 0 && room < LEAST_ROOM {
        let why = format!("its disk has {room} bytes left");
        return Err(BufferError::Full(format!("{}: {why}", path.display())));
    }
    Ok(())
}
