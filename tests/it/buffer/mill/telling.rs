//! Changes that supervisors are told unasked.

use gristmill::buffer::TakeNotices;
use gristmill::job::{Action, HeldFrom, State, Step};

use super::operating::moved;
use super::{LIMITS, Mill, change};
use crate::buffer::write::{NOW, at, owner};

/// How often the word for each noted job has changed.
async fn noted(mill: &Mill) -> Vec<u64> {
    let request = TakeNotices {
        owner: owner("o"),
        most: 100,
        again: LIMITS.backoff,
        now: at(NOW),
    };
    let notices = mill.notices.take_notices(request).await.unwrap();
    notices.into_iter().map(|notice| notice.changes).collect()
}

pub async fn whoever_listens_hears_of_new_words(mill: &Mill) {
    mill.notices.listen("d@x/1", &[owner("o")]).await.unwrap();
    // Pending, claimed or not.
    let job = mill.claimed("1").await;
    mill.advance(vec![change(&job, Step::GiveBack)], 0).await;
    let job = mill.claim(1, 0).await.remove(0);
    let both = vec![change(&job, Step::Start), change(&job, Step::GiveBack)];
    mill.advance(both, 0).await;
    assert!(noted(mill).await.is_empty());

    let job = mill.claim(1, 0).await.remove(0);
    mill.advance(vec![change(&job, Step::Start)], 0).await;
    assert_eq!(noted(mill).await, [1]);
    let stale = change(&job, Step::Start);
    mill.advance(vec![stale], 0).await;
    assert!(noted(mill).await.is_empty());
    mill.advance(vec![change(&job, Step::Succeed)], 0).await;
    assert_eq!(noted(mill).await, [2]);
    let again = mill.operate(job.id, Action::Rerun).await;
    assert_eq!(again, moved(State::Ready));
    assert_eq!(noted(mill).await, [3]);
    let held = mill.operate(job.id, Action::Hold).await;
    assert_eq!(held, moved(State::Held(HeldFrom::Ready)));
    assert!(noted(mill).await.is_empty());
    let trashed = mill.operate(job.id, Action::Trash).await;
    assert_eq!(trashed, moved(State::Trashed));
    assert_eq!(noted(mill).await, [4]);
}
