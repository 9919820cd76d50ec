//! What holders and rescuers must know.

use std::time::Duration;

use gristmill::buffer::{Holder, Lease, Leases, Orders, Renewed};
use gristmill::job::{RecordId, State, Step, Token};

use super::{Mill, change, holder, named};
use crate::buffer::write::{NOW, at, job_id, owner};

pub async fn leases_tell_who_holds_what(mill: &Mill) {
    assert!(mill.claims.leases().await.unwrap().is_empty());
    mill.ready(&["1", "2", "3", "4"]).await;
    let one = mill.claim(1, 0).await.remove(0);
    let two = mill.claim_by(&named("mill-2"), 1, 0).await.remove(0);
    let gone = mill.claim(1, 0).await.remove(0);
    mill.advance(
        vec![change(&two, Step::Start), change(&gone, Step::Trash)],
        1,
    )
    .await;
    mill.claims.renew(&[(two.id, two.token)]).await.unwrap();
    let mut leases = mill.claims.leases().await.unwrap();
    leases.sort_by_key(|lease| lease.id);
    let lease = |id, state, renewal, holder: Holder| Lease {
        id,
        token: Token(1),
        renewal,
        state,
        holder,
        promised: None,
    };
    let wanted = [
        lease(one.id, State::Claimed, 0, holder()),
        lease(two.id, State::Running, 1, named("mill-2")),
    ];
    assert_eq!(leases, wanted);
}

pub async fn a_claim_tells_the_longest_lengths_of_its_holder(mill: &Mill) {
    let lengths = |claimed, running, grace| Leases {
        claimed: Duration::from_secs(claimed),
        running: Duration::from_secs(running),
        grace: Duration::from_secs(grace),
    };
    let promise = async |leases| mill.claims.promise(&holder(), leases).await.unwrap();
    let promised = async || mill.claims.leases().await.unwrap()[0].promised;
    promise(lengths(90, 90, 90)).await;
    // Without claims nobody lives by what was promised before.
    promise(lengths(30, 900, 10)).await;
    mill.running("a").await;
    assert_eq!(promised().await, Some(lengths(30, 900, 10)));
    promise(lengths(60, 60, 20)).await;
    assert_eq!(promised().await, Some(lengths(60, 900, 20)));
}

pub async fn renewals_are_counted(mill: &Mill) {
    let (one, two) = (mill.claimed("1").await, mill.running("2").await);
    let gone = mill.claimed("3").await;
    mill.advance(vec![change(&gone, Step::GiveBack)], 1).await;
    let since = mill.record(one.id).await.since;
    let claims = [
        (one.id, one.token),
        (one.id, Token(9)),
        (RecordId::MAX, Token(1)),
        (gone.id, gone.token),
        (two.id, two.token),
    ];
    let (held, lost) = (Renewed::Held, Renewed::Lost);
    for _ in 0..3 {
        let renewed = mill.claims.renew(&claims).await.unwrap();
        assert_eq!(renewed, [held, lost, lost, lost, held]);
    }
    let mut leases = mill.claims.leases().await.unwrap();
    leases.retain(|lease| lease.renewal == 3);
    assert_eq!(leases.len(), 2);
    assert_eq!(mill.record(one.id).await.since, since);
    // A claim begins to count anew.
    mill.advance(vec![change(&one, Step::GiveBack)], 2).await;
    mill.claim(10, 3).await;
    let leases = mill.claims.leases().await.unwrap();
    let again = leases.iter().find(|lease| lease.id == one.id).unwrap();
    assert_eq!((again.token, again.renewal), (Token(2), 0));
    assert!(mill.claims.renew(&[]).await.unwrap().is_empty());
}

async fn orders(mill: &Mill, claims: &[(RecordId, Token)]) -> Orders {
    mill.claims
        .orders(&holder(), "d@x/y", claims)
        .await
        .unwrap()
}

pub async fn a_holder_hears_of_kills_and_losses(mill: &Mill) {
    assert_eq!(orders(mill, &[]).await, Orders::default());
    let (one, two) = (mill.running("1").await, mill.claimed("2").await);
    mill.ready(&["3"]).await;
    let theirs = mill.claim_by(&named("mill-2"), 1, 0).await.remove(0);
    let mine = [(one.id, one.token), (two.id, two.token)];
    assert_eq!(orders(mill, &mine).await, Orders::default());

    let wishes = [(job_id("1"), one.id), (job_id("3"), theirs.id)];
    mill.buffer
        .kill(&owner("o"), &wishes, at(NOW))
        .await
        .unwrap();
    let heard = orders(mill, &mine).await;
    assert_eq!((heard.kill, heard.lost), (vec![one.id], vec![]));

    mill.advance(vec![change(&two, Step::GiveBack)], 1).await;
    let asked = [
        mine[0],
        mine[1],
        (one.id, Token(7)),
        (RecordId::MAX, Token(1)),
        (theirs.id, theirs.token),
    ];
    let heard = orders(mill, &asked).await;
    assert_eq!(heard.lost, asked[1..]);
    mill.advance(vec![change(&one, Step::Cancel)], 1).await;
    let heard = orders(mill, &mine[..1]).await;
    assert_eq!((heard.kill, heard.lost), (vec![], vec![mine[0]]));
}

pub async fn a_store_keeps_a_name_of_its_own(mill: &Mill) {
    let name = mill.claims.store_id().await.unwrap();
    assert_eq!(mill.claims.store_id().await.unwrap(), name);
    let place = mill.place.another();
    let other = place.open().await;
    assert_ne!(other.store_id().await.unwrap(), name);
}
