//! Processes that conduct under one name: only a store that is shared has to tell them apart.

use gristmill::buffer::{Holder, Presence, Seen};

use super::super::place::Place;
use super::Mill;

fn presence(mark: i64, over: i64) -> Presence {
    Presence {
        holder: Holder::new("mill".to_owned()).unwrap(),
        seen: Seen {
            mark,
            folder: format!("boot 1 {mark} machine"),
            daemon: format!("daemon {mark}"),
        },
        over: [over, mark],
    }
}

pub async fn of_two_processes_the_second_finds_the_first(mill: &Mill) {
    let shared = matches!(mill.place, Place::Mysql { .. });
    let appear = async |mark, over| {
        let seen = mill.claims.appear(&presence(mark, over)).await.unwrap();
        seen.map(|seen| seen.mark)
    };
    let else_alone = |mark| shared.then_some(mark);
    assert_eq!(appear(1, 0).await, None);
    // Said again, for its answer may have been lost.
    assert_eq!(appear(1, 0).await, None);
    assert_eq!(appear(2, 1).await, None);
    for (mark, over) in [(7, 0), (7, 1), (1, 0)] {
        assert_eq!(
            appear(mark, over).await,
            else_alone(2),
            "{mark} over {over}"
        );
    }
    let seen = mill.claims.appear(&presence(7, 0)).await.unwrap();
    assert_eq!(seen, shared.then_some(presence(2, 1).seen));
    // It takes the place of one that is gone, which finds that out.
    assert_eq!(appear(7, 2).await, None);
    assert_eq!(appear(3, 2).await, else_alone(7));
    // Another holder is another one.
    let other = Presence {
        holder: Holder::new("other".to_owned()).unwrap(),
        ..presence(5, 0)
    };
    assert_eq!(mill.claims.appear(&other).await.unwrap(), None);
}
