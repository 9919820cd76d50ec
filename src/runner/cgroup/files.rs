//! The kernel's files that tell of cgroups.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// More than this is none of these files, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// The cgroup of version 2 in `/proc/PID/cgroup`, as a path below the root of the tree that this
/// process sees; `None`: it is in none, or outside of that tree.
pub(super) fn own_path(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let inside = path.starts_with('/') && !path.starts_with("/..");
    inside.then_some(path)
}

/// The number behind a key, in a file of lines with a key and a number each.
pub(super) fn value(text: &str, key: &str) -> Option<u64> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let mut values = lines.filter(|(name, _)| *name == key);
    values.next()?.1.parse().ok()
}

/// Those of `words` that a file does not have.
pub(super) fn missing<'a>(text: &str, words: &[&'a str]) -> Vec<&'a str> {
    let has = |word: &str| text.split_ascii_whitespace().any(|there| there == word);
    words.iter().copied().filter(|word| !has(word)).collect()
}

/// What a file says.
pub(super) fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?
        .take(MAX_BYTES)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Tells the kernel something, by a file that is there.
pub(super) fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).open(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_cgroup_is_the_one_of_version_2() {
        let cases = [
            ("0::/\n", Some("/")),
            (
                "0::/system.slice/a.service\n",
                Some("/system.slice/a.service"),
            ),
            ("12:pids:/a\n1:name=systemd:/b\n0::/c:d\n", Some("/c:d")),
            ("4:memory:/a\n", None),
            ("0::/../beside\n", None),
            ("0::\n", None),
            ("", None),
        ];
        for (text, path) in cases {
            assert_eq!(own_path(text), path, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_found_by_their_whole_key() {
        let stat = "usage_usec 2500000\nuser_usec 2400000\nsystem_usec 100000\n";
        assert_eq!(value(stat, "usage_usec"), Some(2_500_000));
        assert_eq!(value(stat, "usec"), None);
        let events = "low 0\nhigh 0\nmax 812\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(value(events, "oom"), Some(3));
        assert_eq!(value(events, "oom_kill"), Some(2));
        assert_eq!(value("populated 1\nfrozen 0\n", "populated"), Some(1));
        assert_eq!(value("max max\n", "max"), None);
        assert_eq!(value("", "max"), None);
    }

    #[test]
    fn controllers_are_whole_words() {
        let wanted = ["memory", "pids"];
        assert!(missing("cpuset cpu io memory pids\n", &wanted).is_empty());
        assert_eq!(missing("cpu memory2\n", &wanted), wanted);
        assert_eq!(missing("pids", &wanted), ["memory"]);
    }
}
