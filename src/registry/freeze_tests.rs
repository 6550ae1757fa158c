//! Freezes at one node: nothing slips past one that was just made, and a row that is not ours freezes everything.

use std::sync::Arc;

use crate::domain::client::TokenAlg;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::{Actor, EventCode};
use crate::domain::freeze::{Freeze, Freezes, Level, Target};
use crate::domain::id::ClientId;
use crate::domain::session::{EndReason, Protocol};
use crate::registry::freeze_board::FreezeBoard;
use crate::registry::tests::{HERE, House};
use crate::registry::{NewFreeze, Registry, RegistryError};

fn new(level: Level, client: Option<&ClientId>) -> NewFreeze {
    let target = Target { client: client.cloned(), ..Target::default() };
    NewFreeze { level, target, reason: "a drill".into(), thaw_after_secs: None }
}

async fn heed_freezes(registry: &Registry) {
    registry.obey_freezes().await.unwrap();
    registry.end_freezes().await.unwrap();
}

#[tokio::test]
async fn a_token_that_was_just_allowed_is_refused_once_its_client_is_frozen() {
    let house = House::new().await;
    let (registry, granted) = (&house.registry, house.granted().await);
    let (client, mailbox, _) = &granted;
    let claims = house.claims(&client.id);
    let frozen = |outcome: Result<(), RegistryError>| matches!(outcome, Err(RegistryError::Frozen(_)));
    for _ in 0..3 {
        registry.may_take_token(client, mailbox, None).await.unwrap();
        registry.admit(&claims, Protocol::Imap, HERE).await.unwrap();
        // Not a moment passes: what was seen before would still do for a yes.
        let freeze = registry.add_freeze(&Actor::System, new(Level::Drain, Some(&client.id))).await.unwrap();
        assert!(frozen(registry.may_take_token(client, mailbox, None).await));
        assert!(frozen(registry.admit(&claims, Protocol::Imap, HERE).await.map(drop)));
        registry.end_freeze(&Actor::System, &freeze.id).await.unwrap();
    }
    assert_eq!(house.recorded(EventCode::FreezeAdded).await, 3);
    assert_eq!(house.recorded(EventCode::FreezeEnded).await, 3);
}

#[tokio::test]
async fn a_freeze_made_at_another_node_is_seen_within_a_quarter_of_a_second() {
    let house = House::new().await;
    let (registry, granted) = (&house.registry, house.granted().await);
    let (client, mailbox, _) = &granted;
    registry.may_take_token(client, mailbox, None).await.unwrap();
    // Behind this node's back, and not ours.
    house
        .edit(
            "INSERT INTO freezes (id, level, reason, made_by, created_at, mac) \
             VALUES ('frz_000000000001', 'read-only', 'x', 'x', 0, x'00')",
        )
        .await;
    registry.may_take_token(client, mailbox, None).await.unwrap();
    house.clock.advance(250);
    assert!(registry.may_take_token(client, mailbox, None).await.is_err());
}

#[tokio::test]
async fn vl_12_a_freeze_edited_by_hand_cuts_everything_and_raises_one_alarm() {
    for edit in [
        "UPDATE freezes SET client_id = 'cli_000000000001'",
        "UPDATE freezes SET level = 'no-new-tokens'",
        "UPDATE freezes SET mailbox_id = 'mbx_000000000001'",
        "UPDATE freezes SET protocol = 'smtp'",
        "UPDATE freezes SET thaws_at = 1",
        "UPDATE freezes SET id = 'frz_000000000001'",
        "UPDATE freezes SET id = 'x'",
        "UPDATE freezes SET mac = x'00'",
    ] {
        let house = House::new().await;
        let (registry, granted) = (&house.registry, house.granted().await);
        let running = registry.sessions().open(house.session(&granted), house.standing(&granted));
        let (other, ..) = registry.add_client(&Actor::System, "other", TokenAlg::EdDsa, None).await.unwrap();
        registry.add_freeze(&Actor::System, new(Level::ReadOnly, Some(&other.id))).await.unwrap();
        assert_eq!(*running.ended().borrow(), None);
        assert_eq!(house.edit(edit).await, 1);
        for _ in 0..3 {
            heed_freezes(registry).await;
        }
        assert_eq!(*running.ended().borrow(), Some(EndReason::Frozen), "{edit}");
        assert_eq!(house.alarms().await, 1, "{edit}");
        assert_eq!(registry.end_all_freezes(&Actor::System).await.unwrap(), 1);
        assert_eq!(house.number("SELECT COUNT(*) FROM freezes").await, 0, "{edit}");
    }
}

#[tokio::test]
async fn a_timer_ends_a_freeze_on_time_and_its_end_is_recorded_once() {
    let house = House::new().await;
    let (registry, granted) = (&house.registry, house.granted().await);
    let timed = NewFreeze { thaw_after_secs: Some(10), ..new(Level::Cut, None) };
    registry.add_freeze(&Actor::System, timed).await.unwrap();
    house.clock.advance(9_999);
    heed_freezes(registry).await;
    assert!(registry.may_take_token(&granted.0, &granted.1, None).await.is_err());
    house.clock.advance(1);
    registry.may_take_token(&granted.0, &granted.1, None).await.unwrap();
    assert!(registry.list_freezes().await.unwrap().is_empty());
    for _ in 0..2 {
        heed_freezes(registry).await;
    }
    assert_eq!(house.recorded(EventCode::FreezeEnded).await, 1);
    assert_eq!(house.number("SELECT COUNT(*) FROM freezes").await, 0);
}

#[test]
fn an_earlier_reading_never_replaces_a_later_one() {
    let clock = Clock::manual(Timestamp(1_800_000_000_000));
    let board = FreezeBoard::new(&clock);
    let freeze = Freeze {
        id: "frz_000000000001".parse().unwrap(),
        level: Level::Cut,
        target: Target::default(),
        reason: "a drill".into(),
        made_by: "system".into(),
        created_at: clock.now(),
        thaws_at: None,
    };
    let (none, one) = (Arc::new(Freezes::default()), Arc::new([freeze].into_iter().collect::<Freezes>()));
    let (earlier, later) = (board.ticket(), board.ticket());
    board.post(&later, &one);
    board.post(&earlier, &none);
    assert_eq!(board.posted().iter().count(), 1);
    // What was read before a commit does not count as fresh after it.
    let before = board.ticket();
    board.expire();
    board.post(&before, &none);
    assert!(board.lately().is_none());
    assert_eq!(board.posted().iter().count(), 1, "running sessions keep to what they knew");
    board.post(&board.ticket(), &none);
    assert!(board.lately().is_some());
    clock.advance(250);
    assert!(board.lately().is_none());
}
