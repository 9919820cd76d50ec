//! What a program says of itself while it runs: lines in a file of its run's folder.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use jiff::Timestamp;

use super::super::News;
use crate::job::{Event, Level, Progress};

/// More than this is not read of one run, in bytes.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;
/// So much is read at a time, in bytes.
const CHUNK: u64 = 64 * 1024;
/// So many events are told at a time.
const MAX_EVENTS: usize = 100;
/// A longer text is cut, in characters.
const MAX_TEXT_CHARS: usize = 500;
/// The code of a program's own events.
const CODE: &str = "program";

/// The news of a program's file since position `heard`. A line counts once it is whole, or when
/// its program has `ended`.
pub(super) fn read(file: &File, heard: u64, ended: bool, now: Timestamp) -> io::Result<News> {
    let mut news = News {
        heard,
        ..News::default()
    };
    if heard > MAX_BYTES {
        return Ok(news);
    }
    let mut text = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(heard))?;
    let most = CHUNK.min(MAX_BYTES - heard);
    file.take(most).read_to_end(&mut text)?;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        // A line that fills all that is read at a time is not waited for.
        let whole = line.ends_with(b"\n") || ended || line.len() as u64 == most;
        if !whole || news.events.len() == MAX_EVENTS {
            break;
        }
        news.heard += line.len() as u64;
        news.hear(&String::from_utf8_lossy(line), now);
    }
    if news.heard == MAX_BYTES {
        news.heard += 1;
        let text = format!("what the program says beyond {MAX_BYTES} bytes is not read");
        news.events.push(event(Level::Warning, &text, now));
    }
    Ok(news)
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
            self.events.push(event(*level, text, now));
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

    fn news(content: &[u8], heard: u64, ended: bool) -> News {
        read(&file(content), heard, ended, Timestamp::UNIX_EPOCH).unwrap()
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
        assert_eq!(news.heard, said.len() as u64);
    }

    #[test]
    fn half_a_line_waits_for_its_end() {
        let first = news(b"0.1 a\n0.2 b", 0, false);
        assert_eq!((first.heard, first.progress.unwrap().permille), (6, 100));
        let rest = news(b"0.1 a\n0.2 b", 6, true);
        assert_eq!((rest.heard, rest.progress.unwrap().permille), (11, 200));
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
    fn a_flood_is_capped() {
        let line = b"event: again and again\n";
        let flood = file(&line.repeat(60_000));
        let read = |heard| read(&flood, heard, false, Timestamp::UNIX_EPOCH).unwrap();
        let (mut heard, mut last) = (0, None);
        loop {
            let news = read(heard);
            assert!(news.events.len() <= MAX_EVENTS + 1);
            if news.heard == heard {
                break;
            }
            heard = news.heard;
            last = news.events.last().cloned();
        }
        let last = last.unwrap();
        assert_eq!(last.level, Level::Warning);
        assert!(heard <= MAX_BYTES + 1);
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let long = vec![b'x'; 200_000];
        let news = news(&long, 0, false);
        assert_eq!(news.heard, CHUNK);
    }
}
