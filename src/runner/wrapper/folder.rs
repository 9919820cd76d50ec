//! What stands where in a run's folder.

use std::ffi::CString;

/// Locked while the run lives; how it started and ended.
pub const JOURNAL: &str = "journal";
/// What the daemon wants of the wrapper.
pub const CONTROL: &str = "control";
/// What the program says of itself.
pub const PROGRESS: &str = "progress";
/// How much of that was heard and kept.
pub const HEARD: &str = "heard";
/// The names of the files that it must leave behind; missing if there are none.
pub const OUTPUTS: &str = "outputs";
/// The program's own folder.
pub const WORK: &str = "work";

/// The longest name of a file that file systems take, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Whether a logical name can be that of a file in the program's folder, and of nothing else.
pub fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= MAX_NAME_BYTES
        && !name.contains('/')
        && CString::new(name).is_ok()
}
