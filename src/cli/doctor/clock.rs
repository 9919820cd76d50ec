//! Clocks of others beside this machine's.

use jiff::{SignedDuration, Timestamp};

use super::finding::Finding;

/// Daemons of one store whose clocks differ by more wait too long, or not long enough, before they
/// try a job again; of a server whose clock does, what it has delayed looks older or younger.
const WARNING: SignedDuration = SignedDuration::from_secs(5);

/// Another clock told the time at some moment between two of ours.
pub(super) fn compare(
    subject: &'static str,
    whose: &str,
    before: Timestamp,
    there: Timestamp,
    after: Timestamp,
) -> Finding {
    let ahead = there.duration_since(after).max(SignedDuration::ZERO);
    let behind = before.duration_since(there).max(SignedDuration::ZERO);
    let off = ahead.max(behind);
    if off <= WARNING {
        return Finding::ok(subject, format!("{whose} and this machine's agree"));
    }
    let word = if ahead > behind { "ahead" } else { "behind" };
    let what = format!("{whose} is {off:#} {word} of this machine's");
    Finding::warning(subject, what, "set both by NTP (`timedatectl`)")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn clocks_may_differ_by_a_little() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let verdict = |there| compare("clock", "its", at(1000), at(there), at(1002)).verdict;
        for there in [995, 1001, 1007] {
            assert_eq!(verdict(there), Verdict::Ok, "{there}");
        }
        for there in [994, 1008, 5000] {
            assert_eq!(verdict(there), Verdict::Warning, "{there}");
        }
    }
}
