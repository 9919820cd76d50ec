//! Daemons that claim nothing new: drained ones, and those whose host is not fit to start jobs.

use gristmill::buffer::{Drain, Holder, Note, OpenBreaker};

use super::{Mill, holder};
use crate::buffer::write::{NOW, at};

fn drain(daemon: Option<&str>, on: bool) -> Drain {
    Drain {
        daemon: daemon.map(str::to_owned),
        on,
        note: Note {
            who: "ada".to_owned(),
            reason: Some("a new disk".to_owned()),
        },
        since: at(NOW),
    }
}

async fn drains(mill: &Mill, daemon: &str) -> bool {
    let orders = mill.claims.orders(&holder(), daemon, &[]).await;
    orders.unwrap().drain
}

pub async fn a_daemon_hears_that_it_drains(mill: &Mill) {
    let set = |daemon, on| async move {
        let drain = drain(daemon, on);
        mill.operations.set_drain(drain).await.unwrap();
    };
    assert!(!drains(mill, "a@x/1").await);
    set(Some("a@x/1"), true).await;
    assert!(drains(mill, "a@x/1").await);
    assert!(!drains(mill, "A@x/1").await);
    set(None, true).await;
    assert!(drains(mill, "b@x/1").await);
    set(Some("a@x/1"), false).await;
    set(Some("a@x/1"), false).await;
    assert!(drains(mill, "a@x/1").await);
    set(None, false).await;
    assert!(!drains(mill, "a@x/1").await && !drains(mill, "b@x/1").await);
}

pub async fn drains_are_listed(mill: &Mill) {
    assert!(mill.operations.drains().await.unwrap().is_empty());
    let (all, one) = (drain(None, true), drain(Some("a@x/1"), true));
    let anew = Drain {
        note: Note {
            who: "eve".to_owned(),
            reason: None,
        },
        since: at(NOW + 1),
        ..one.clone()
    };
    let ended = Drain {
        on: false,
        ..all.clone()
    };
    for drain in [&one, &all, &anew] {
        mill.operations.set_drain(drain.clone()).await.unwrap();
    }
    let drains = mill.operations.drains().await.unwrap();
    assert_eq!(drains, [all, anew.clone()]);
    mill.operations.set_drain(ended.clone()).await.unwrap();
    assert_eq!(mill.operations.drains().await.unwrap(), [ended, anew]);
}

pub async fn open_breakers_are_listed(mill: &Mill) {
    let open = |name: &str, reason: &str| OpenBreaker {
        holder: Holder::new(name.to_owned()).unwrap(),
        daemon: format!("executor@x/{name}"),
        reason: reason.to_owned(),
        since: at(NOW),
        seen: at(NOW + 1),
    };
    let note = |holder: Holder, open: Option<OpenBreaker>| async move {
        let noted = mill.claims.note_breaker(&holder, open.as_ref()).await;
        noted.unwrap();
        mill.operations.breakers().await.unwrap()
    };
    let (a, b) = (open("a", "no \u{2603}"), open("b", "empty"));
    assert_eq!(note(a.holder.clone(), None).await, []);
    let only_b = vec![b.clone()];
    assert_eq!(note(b.holder.clone(), Some(b.clone())).await, only_b);
    let both = [a.clone(), b.clone()];
    assert_eq!(note(a.holder.clone(), Some(a.clone())).await, both);
    let later = OpenBreaker {
        seen: at(NOW + 60),
        ..open("a", "full")
    };
    let both = [later.clone(), b.clone()];
    assert_eq!(note(a.holder.clone(), Some(later)).await, both);
    assert_eq!(note(a.holder.clone(), None).await, only_b);
    // Longer than what is kept of a text.
    let long = open("b", &"x".repeat(100_000));
    let kept = note(b.holder, Some(long)).await.remove(0).reason;
    assert!(!kept.is_empty() && kept.len() < 100_000, "{}", kept.len());
}
