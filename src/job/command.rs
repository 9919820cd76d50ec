//! Rules that a job must keep so that any machine could run it: its words, its files, its program's
//! path. What depends on the machine (whether the program is there, how much all words may take) is
//! for the runner.

use std::path::{Component, Path};

use super::{File, JobSpec};

/// The longest name of a file that file systems take, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// The longest word that the kernel hands to a program, in bytes (`MAX_ARG_STRLEN`, with a NUL).
const MAX_WORD_BYTES: usize = 128 * 1024 - 1;

/// What a program writes to, as its job names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The words of a job's parameters, or why they are none.
pub fn words(parameters: &str) -> Result<Vec<String>, String> {
    let words = shlex::split(parameters)
        .ok_or("jobPars has a quote that is not closed, or ends in a backslash")?;
    if words.iter().any(|word| word.contains('\0')) {
        return Err("jobPars contains a NUL".to_owned());
    }
    if let Some(long) = words.iter().find(|word| word.len() > MAX_WORD_BYTES) {
        let bytes = long.len();
        let what =
            format!("jobPars has a word of {bytes} bytes; the kernel takes {MAX_WORD_BYTES}");
        return Err(what);
    }
    Ok(words)
}

/// Whether a logical name can be that of a file in the program's folder, and of nothing else.
fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= MAX_NAME_BYTES && !name.contains(['/', '\0'])
}

/// Why a program's path cannot lead into a folder of programs.
pub fn check_path(path: &str) -> Result<(), String> {
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if path.contains('\0') || !Path::new(path).components().all(inside) {
        let what = "a program's path is relative and has no `..`";
        return Err(format!("{path:?} leads out of the folders: {what}"));
    }
    Ok(())
}

/// Why no output can have its name.
pub fn check_outputs(spec: &JobSpec) -> Result<(), String> {
    let mut outputs = spec.outputs.iter();
    outputs.try_for_each(|output| file_name("output", output).map(drop))
}

/// The name of a stream's file in the program's folder, or why the job's name for it is none.
pub fn stream_name(spec: &JobSpec, stream: Stream) -> Result<String, String> {
    let (file, default) = match stream {
        Stream::Stdout => (&spec.stdout, "stdout"),
        Stream::Stderr => (&spec.stderr, "stderr"),
    };
    match file {
        Some(file) => file_name(default, file),
        None => Ok(default.to_owned()),
    }
}

/// Why no machine can ever run it.
pub fn check(spec: &JobSpec) -> Result<(), String> {
    words(&spec.parameters)?;
    check_outputs(spec)?;
    check_path(&spec.transformation.path)?;
    stream_name(spec, Stream::Stdout)?;
    stream_name(spec, Stream::Stderr)?;
    Ok(())
}

fn file_name(what: &str, file: &File) -> Result<String, String> {
    let name = &file.logical_name;
    if is_file_name(name) {
        Ok(name.clone())
    } else {
        Err(format!("{name:?} cannot be the name of a file ({what})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_longest_word_is_the_kernels() {
        let run = |arguments: &[String]| Command::new("/bin/true").args(arguments).status();
        let longest = words(&"a".repeat(MAX_WORD_BYTES)).unwrap();
        assert!(run(&longest).unwrap().success());
        let longer = "a".repeat(MAX_WORD_BYTES + 1);
        assert!(words(&longer).is_err());
        assert!(run(&[longer]).is_err());
    }
}
