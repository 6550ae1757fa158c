//! Running sessions as every node sees them.

use std::collections::HashMap;

use crate::crypto::random;
use crate::domain::id::NodeId;
use crate::domain::session::EndReason;
use crate::registry::Sessions;
use crate::registry::roster::Written;
use crate::registry::tests::{HERE, House};

#[tokio::test]
async fn sessions_are_listed_oldest_first_within_a_second_too() {
    let house = House::new().await;
    let granted = house.granted().await;
    let (mut opened, mut handles) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let info = house.session(&granted);
        opened.push(info.id.clone());
        handles.push(house.registry.sessions().open(info, house.standing(&granted)));
        house.clock.advance(1);
    }
    let listed = house.registry.list_sessions().await.unwrap();
    assert!(listed.iter().map(|(_, info)| &info.id).eq(&opened), "{opened:?} {listed:?}");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_from_another_node_and_a_dead_node_is_forgotten() {
    let house = House::new().await;
    let granted = house.granted().await;
    let here = &house.registry;
    let mut other = here.clone();
    other.sessions = Sessions::default();
    other.node = NodeId::new(&house.clock, &random::system());
    let info = house.session(&granted);
    let handle = here.sessions().open(info.clone(), house.standing(&granted));
    let mut written = Written::default();
    let (mut seen, mut ends) = (None, HashMap::new());
    assert!(!other.kill_session(&info.id).await.unwrap(), "not on the roster yet");
    here.keep_roster(&mut written).await.unwrap();
    here.check_sessions(&mut seen, &mut ends).await.unwrap();
    let listed = other.list_sessions().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].0, &listed[0].1.id, listed[0].1.source), (&here.node, &info.id, HERE));

    assert!(other.kill_session(&info.id).await.unwrap());
    assert_eq!(*handle.ended().borrow(), None);
    here.check_sessions(&mut seen, &mut ends).await.unwrap();
    assert_eq!(*handle.ended().borrow(), Some(EndReason::Killed));
    drop(handle);
    here.keep_roster(&mut written).await.unwrap();
    assert!(other.list_sessions().await.unwrap().is_empty());

    let _second = here.sessions().open(house.session(&granted), house.standing(&granted));
    here.keep_roster(&mut written).await.unwrap();
    house.clock.advance(15_000);
    here.keep_roster(&mut written).await.unwrap();
    house.clock.advance(15_000);
    assert_eq!(other.list_sessions().await.unwrap().len(), 1, "the node has been seen since");
    house.clock.advance(15_000);
    assert!(other.list_sessions().await.unwrap().is_empty(), "it is dead");
    // Another node clears its rows away; when it wakes up it writes them again.
    let _busy = other.sessions().open(house.session(&granted), house.standing(&granted));
    house.clock.advance(60_000);
    other.keep_roster(&mut Written::default()).await.unwrap();
    for _ in 0..2 {
        here.keep_roster(&mut written).await.unwrap();
    }
    assert_eq!(other.list_sessions().await.unwrap().len(), 2);
    here.leave_roster().await.unwrap();
    assert_eq!(other.list_sessions().await.unwrap().len(), 1);
}
