//! What a program says of itself while it runs: lines in a file of its run's folder.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::OFlags;

use super::super::wrapper::folder::{self, Folder, HEARD, PROGRESS};
use super::super::{Heard, MAX_RUN_EVENTS, News};
use crate::job::{Event, Level, Progress};

/// So much is read in one look, in bytes.
const LOOK_BYTES: u64 = 4 * 1024 * 1024;
/// So much is read at a time, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// A longer line is cut, in bytes.
const MAX_LINE_BYTES: usize = 4096;
/// A longer text is cut, in characters.
const MAX_TEXT_CHARS: usize = 500;
/// The code of a program's own events.
const CODE: &str = "program";
/// What is kept of how far a run was heard is not longer, in bytes.
const MAX_HEARD_BYTES: u64 = 100;

/// The news of the run in a folder since `heard`, which is kept there; `None`: since what was kept
/// last. For the others see [`read`].
pub(super) fn of_run(
    folder: &Path,
    heard: Option<Heard>,
    most: u64,
    ended: bool,
    now: Timestamp,
) -> io::Result<News> {
    let folder = Folder::open(folder);
    match folder.and_then(|folder| of_folder(&folder, heard, most, ended, now)) {
        // It never started, or was forgotten.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(News {
            heard: heard.unwrap_or_default(),
            ..News::default()
        }),
        news => news,
    }
}

fn of_folder(
    folder: &Folder,
    heard: Option<Heard>,
    most: u64,
    ended: bool,
    now: Timestamp,
) -> io::Result<News> {
    let kept = kept(folder)?;
    let heard = heard.unwrap_or(kept);
    if heard != kept {
        let text = format!("{} {} {}", heard.position, heard.told, heard.left_out);
        folder.write(HEARD, text.as_bytes())?;
    }
    let file = folder.file(PROGRESS, OFlags::RDONLY)?;
    read(&file, heard, most, ended, now)
}

/// How far it was heard. Versions before this one kept the position alone.
fn kept(folder: &Folder) -> io::Result<Heard> {
    let Some(text) = folder.read(HEARD, MAX_HEARD_BYTES)? else {
        return Ok(Heard::default());
    };
    let text = String::from_utf8_lossy(&text);
    let numbers: Result<Vec<u64>, _> = text.split_ascii_whitespace().map(str::parse).collect();
    match numbers.as_deref() {
        Ok([position]) => Ok(Heard {
            position: *position,
            ..Heard::default()
        }),
        Ok([position, told, left_out]) => Ok(Heard {
            position: *position,
            told: usize::try_from(*told).unwrap_or(usize::MAX),
            left_out: *left_out,
        }),
        _ => Err(folder::foreign(HEARD, "it holds no numbers")),
    }
}

/// The news of a program's file since `heard`, as far as one look goes. A line counts once it is
/// whole, too long to be waited for, or the last of a program that has `ended`. Beyond `most` bytes
/// nothing is read, for a program cannot have written that.
fn read(file: &File, heard: Heard, most: u64, ended: bool, now: Timestamp) -> io::Result<News> {
    let mut news = News {
        heard,
        ..News::default()
    };
    let left = most.saturating_sub(heard.position);
    let room = left.min(LOOK_BYTES);
    // Of a line that was cut the rest is passed over.
    let mut is_rest = is_within_line(file, heard.position)?;
    let mut reader = file;
    reader.seek(SeekFrom::Start(heard.position))?;
    let mut lines = BufReader::with_capacity(CHUNK_BYTES, reader.take(room));
    let mut read = 0;
    let over = loop {
        let line = Line::read(&mut lines)?;
        read += line.length;
        // What ends a look ends no line.
        let is_last = !line.is_whole && (read < room || room == left);
        let is_cut = line.length > line.kept.len() as u64;
        if line.length == 0 || !(line.is_whole || is_cut || is_rest || is_last && ended) {
            break is_last;
        }
        news.heard.position += line.length;
        if !std::mem::replace(&mut is_rest, false) {
            news.hear(&String::from_utf8_lossy(&line.kept), now);
        }
        if !line.is_whole {
            break is_last;
        }
    };
    let left_out = news.heard.left_out;
    if over && ended && left_out > 0 {
        let text = format!("the program told of {left_out} more events, which are not kept");
        news.events.push(event(Level::Warning, &text, now));
        news.heard.left_out = 0;
    }
    Ok(news)
}

/// Whether a position is neither at the beginning of a line nor beyond the file.
fn is_within_line(file: &File, position: u64) -> io::Result<bool> {
    let Some(before) = position.checked_sub(1) else {
        return Ok(false);
    };
    let mut byte = [0];
    Ok(file.read_at(&mut byte, before)? == 1 && byte != *b"\n")
}

/// A line as it was read.
#[derive(Default)]
struct Line {
    /// Its beginning.
    kept: Vec<u8>,
    /// Of all of it, in bytes.
    length: u64,
    /// Whether its end was read.
    is_whole: bool,
}

impl Line {
    fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        let mut line = Self::default();
        while !line.is_whole {
            let bytes = reader.fill_buf()?;
            if bytes.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', bytes);
            let length = end.map_or(bytes.len(), |end| end + 1);
            let kept = length.min(MAX_LINE_BYTES - line.kept.len());
            line.kept
                .extend_from_slice(bytes.get(..kept).unwrap_or_default());
            line.is_whole = end.is_some();
            line.length += length as u64;
            reader.consume(length);
        }
        Ok(line)
    }
}

impl News {
    /// Takes note of a line; one that is neither progress nor event says nothing.
    fn hear(&mut self, line: &str, now: Timestamp) {
        let levels = [
            ("event:", Level::Event),
            ("warning:", Level::Warning),
            ("error:", Level::Error),
        ];
        let spoken = levels
            .iter()
            .find_map(|(word, level)| Some((level, line.strip_prefix(word)?)));
        if let Some((level, text)) = spoken {
            if self.heard.told < MAX_RUN_EVENTS {
                self.heard.told += 1;
                self.events.push(event(*level, text, now));
            } else {
                self.heard.left_out += 1;
            }
        } else if let Some(progress) = progress(line) {
            self.progress = Some(progress);
        }
    }
}

fn event(level: Level, text: &str, at: Timestamp) -> Event {
    Event {
        at,
        level,
        code: CODE.to_owned(),
        text: clean(text),
    }
}

/// `0.25 words`: a number from 0 to 1, and what the program does just now.
fn progress(line: &str) -> Option<Progress> {
    let (number, words) = line
        .trim_start()
        .split_once([' ', '\t', '\n'])
        .unwrap_or((line, ""));
    let share: f64 = number.parse().ok()?;
    if !(0.0..=1.0).contains(&share) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 1000"
    )]
    let permille = (share * 1000.0).round() as u16;
    Some(Progress {
        permille,
        words: clean(words),
    })
}

/// Without control characters, and not too long.
fn clean(text: &str) -> String {
    let readable = text.trim().chars().take(MAX_TEXT_CHARS);
    readable
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn at(position: u64) -> Heard {
        Heard {
            position,
            ..Heard::default()
        }
    }

    fn look(file: &File, heard: Heard, ended: bool) -> News {
        read(file, heard, u64::MAX, ended, Timestamp::UNIX_EPOCH).unwrap()
    }

    fn news(content: &[u8], position: u64, ended: bool) -> News {
        look(&file(content), at(position), ended)
    }

    /// All that a program has said that has ended.
    fn all(file: &File) -> News {
        let mut all = News::default();
        loop {
            let news = look(file, all.heard, true);
            all.progress = news.progress.or(all.progress);
            all.events.extend(news.events);
            if news.heard == all.heard {
                return all;
            }
            all.heard = news.heard;
        }
    }

    fn texts(news: &News) -> Vec<(Level, &str)> {
        let events = news.events.iter();
        events.map(|event| (event.level, &*event.text)).collect()
    }

    #[test]
    fn lines_are_progress_or_events() {
        let said = "0.25 reading\nevent: opened x\nwarning: odd\nerror:bad\nchatter\n2 much\n0.5\n";
        let news = news(said.as_bytes(), 0, false);
        let progress = news.progress.as_ref().unwrap();
        assert_eq!((progress.permille, &*progress.words), (500, ""));
        let expected = [
            (Level::Event, "opened x"),
            (Level::Warning, "odd"),
            (Level::Error, "bad"),
        ];
        assert_eq!(texts(&news), expected);
        assert_eq!(news.heard.position, said.len() as u64);
    }

    #[test]
    fn half_a_line_waits_for_its_end() {
        let first = news(b"0.1 a\n0.2 b", 0, false);
        assert_eq!(
            (first.heard.position, first.progress.unwrap().permille),
            (6, 100)
        );
        let rest = news(b"0.1 a\n0.2 b", 6, true);
        assert_eq!(
            (rest.heard.position, rest.progress.unwrap().permille),
            (11, 200)
        );
    }

    #[test]
    fn nonsense_is_no_progress() {
        for line in ["nan x", "inf", "-0.1 x", "1.01 x", "", " ", "0.5x"] {
            assert_eq!(progress(line), None, "{line:?}");
        }
        assert_eq!(progress("1 done").unwrap().permille, 1000);
    }

    #[test]
    fn invalid_utf8_and_control_characters_are_replaced() {
        let news = news(b"event: a\xff\x00b\x1b[1m\n", 0, false);
        assert_eq!(texts(&news), [(Level::Event, "a\u{fffd} b [1m")]);
    }

    #[test]
    fn of_a_flood_the_first_events_are_told_and_how_many_more_there_were() {
        let news = all(&file(&b"warning: again\n".repeat(500_000)));
        assert_eq!(news.events.len(), MAX_RUN_EVENTS + 1);
        let last = news.events.last().unwrap();
        let text = "the program told of 499900 more events, which are not kept";
        assert_eq!((last.level, &*last.text), (Level::Warning, text));
    }

    #[test]
    fn the_latest_progress_counts_however_much_was_said() {
        let mut said = b"0.4 begun\n".repeat(1_000_000);
        said.extend_from_slice(b"warning: late\n0.9 done");
        let news = all(&file(&said));
        assert_eq!(news.progress.as_ref().unwrap().permille, 900);
        assert_eq!(texts(&news), [(Level::Warning, "late")]);
    }

    #[test]
    fn a_long_line_is_cut_and_reading_goes_on() {
        for length in [MAX_LINE_BYTES - 7, 1_100_000, 10_000_000] {
            let mut said = b"event: ".to_vec();
            said.resize(said.len() + length, b'x');
            let open = file(&said);
            let cut = look(&open, Heard::default(), false);
            assert_eq!(cut.events.len(), usize::from(length > MAX_LINE_BYTES));
            said.extend_from_slice(b"\nwarning: late\n");
            let news = all(&file(&said));
            let expected = ["x".repeat(MAX_TEXT_CHARS), "late".to_owned()];
            assert!(news.events.iter().map(|event| &event.text).eq(&expected));
        }
    }

    #[test]
    fn what_no_program_can_have_written_is_not_read() {
        let said = file(b"event: a\nevent: b\n");
        let news = read(&said, at(9), 9, true, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((news.events.len(), news.heard), (0, at(9)));
    }
}
