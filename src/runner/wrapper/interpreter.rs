//! What a program lacks that the kernel does not execute: it says "no such file" of a script that is
//! there and whose interpreter is not.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// So much of a program the kernel looks at, in bytes.
const MAX_BYTES: u64 = 256;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
const ELF: &[u8] = b"\x7fELF";

/// What the program's first bytes tell of why it was not executed.
pub fn guess(program: &Path, error: &io::Error) -> Option<String> {
    let errno = Errno::from_io_error(error)?;
    let start = read_start(program).ok()??;
    match start.strip_prefix(b"#!") {
        Some(line) => script(line, errno),
        None => other(&start, errno).map(str::to_owned),
    }
}

/// `None`: it is not a file.
fn read_start(program: &Path) -> io::Result<Option<Vec<u8>>> {
    // A pipe in its place would wait for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(program)?;
    let mut start = Vec::new();
    let is_file = file.metadata()?.is_file();
    file.take(MAX_BYTES).read_to_end(&mut start)?;
    Ok(is_file.then_some(start))
}

/// Of a script; `line`: what follows its `#!`.
fn script(line: &[u8], errno: Errno) -> Option<String> {
    let line = line.split(|byte| *byte == b'\n').next()?;
    let words = line.trim_ascii_start();
    let name = words
        .split(|byte| matches!(byte, b' ' | b'\t' | 0))
        .next()?;
    let name = String::from_utf8_lossy(name);
    let what = match errno {
        Errno::NOENT => format!("its interpreter {name:?} is missing"),
        Errno::ACCESS => format!("its interpreter {name:?} may not be executed"),
        Errno::NOEXEC | Errno::LOOP | Errno::NOTDIR | Errno::ISDIR => {
            format!("{name:?} cannot be its interpreter")
        }
        _ => return None,
    };
    let guess = if line.ends_with(b"\r") {
        Cow::from("; its first line ends with a carriage return: written with Windows line ends?")
    } else {
        Cow::default()
    };
    Some(what + &guess)
}

/// Of what is not a script.
fn other(start: &[u8], errno: Errno) -> Option<&'static str> {
    let marked = start.strip_prefix(BYTE_ORDER_MARK);
    match errno {
        Errno::NOENT if start.starts_with(ELF) => {
            Some("the dynamic loader that it was linked for is missing")
        }
        Errno::NOEXEC if start.is_empty() => Some("it is empty"),
        Errno::NOEXEC if start.starts_with(ELF) => Some("it was built for another kind of machine"),
        Errno::NOEXEC if marked.is_some_and(|text| text.starts_with(b"#!")) => {
            Some("a byte order mark stands before its `#!`")
        }
        Errno::NOEXEC => Some("it is no program of this machine, and does not begin with `#!`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess_of(start: &[u8], errno: Errno) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, start).unwrap();
        guess(&program, &errno.into())
    }

    #[test]
    fn the_interpreter_is_named() {
        let (windows, long) = ("#!/bin/sh\r\nexit 0\r\n", format!("#!/{}", "x".repeat(400)));
        let cases = [
            (
                windows,
                Errno::NOENT,
                "its interpreter \"/bin/sh\\r\" is missing",
            ),
            (windows, Errno::NOENT, "Windows line ends"),
            (
                "#! \t/no/such -e -x\n",
                Errno::NOENT,
                "\"/no/such\" is missing",
            ),
            ("#!/no/such", Errno::NOENT, "\"/no/such\" is missing"),
            ("#!/etc/passwd\n", Errno::ACCESS, "may not be executed"),
            ("#!\n", Errno::NOEXEC, "\"\" cannot be its interpreter"),
            (&long, Errno::NOEXEC, "cannot be its interpreter"),
            ("\x7fELF...", Errno::NOENT, "dynamic loader"),
            ("\x7fELF...", Errno::NOEXEC, "another kind of machine"),
            ("\u{feff}#!/bin/sh\n", Errno::NOEXEC, "byte order mark"),
            ("", Errno::NOEXEC, "it is empty"),
            ("echo hello\n", Errno::NOEXEC, "does not begin with `#!`"),
        ];
        for (start, errno, what) in cases {
            let guess = guess_of(start.as_bytes(), errno).unwrap_or_default();
            assert!(guess.contains(what), "{start:?} {errno}: {guess}");
            assert_eq!(guess.contains("Windows"), start == windows, "{guess}");
        }
    }

    #[test]
    fn what_says_nothing_gives_no_guess() {
        assert_eq!(guess_of(b"#!/bin/sh\n", Errno::TOOBIG), None);
        assert_eq!(guess_of(b"echo hello\n", Errno::NOENT), None);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(guess(folder.path(), &Errno::NOENT.into()), None);
        assert_eq!(
            guess(&folder.path().join("absent"), &Errno::NOENT.into()),
            None
        );
        let pipe = folder.path().join("pipe");
        let kind = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        assert_eq!(guess(&pipe, &Errno::NOENT.into()), None);
    }
}
