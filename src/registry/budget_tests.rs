//! Budgets and seats: exact across sessions and nodes, counted by the hour and day, and nothing leaks.

use futures_util::future::join_all;

use crate::crypto::random;
use crate::domain::bounds::Bounds;
use crate::domain::budget::{Budgeted, Budgets, Span};
use crate::domain::event::{Actor, EventCode};
use crate::domain::freeze::Level;
use crate::domain::id::SessionId;
use crate::domain::session::SessionInfo;
use crate::registry::tests::House;
use crate::registry::{Purse, Registry, Seat};

const HOUR: i64 = 3_600_000;

fn budgets(text: &str) -> Budgets {
    serde_json::from_str(text).unwrap()
}

fn purse(text: &str) -> Purse {
    Purse::of(&Bounds { budgets: Some(budgets(text)), ..Bounds::default() })
}

/// Another node on the same database.
fn node(house: &House) -> Registry {
    let Registry { store, vault, audit, dialer, clock, entropy, .. } = &house.registry;
    Registry::new(store.clone(), vault.clone(), audit.clone(), dialer.clone(), clock.clone(), entropy.clone())
}

/// Takes until it is refused; says how many it got.
async fn all(node: &Registry, info: &SessionInfo, text: &str, what: Budgeted) -> u64 {
    let mut purse = purse(text);
    let mut got = 0;
    while node.take(info, &mut purse, what, 1).await.unwrap().is_ok() {
        got += 1;
    }
    got
}

#[tokio::test]
async fn sm_06_two_nodes_together_take_what_the_hour_holds_and_not_one_more() {
    let house = House::new().await;
    let info = house.session(&house.granted().await);
    let nodes = [house.registry.clone(), node(&house)];
    let text = r#"{"recipients":{"hour":100}}"#;
    let each = nodes.iter().cycle().take(8).map(|node| all(node, &info, text, Budgeted::Recipients));
    assert_eq!(join_all(each).await.into_iter().sum::<u64>(), 100);
    for node in &nodes {
        assert_eq!(all(node, &info, text, Budgeted::Recipients).await, 0, "in a new session");
    }
    assert_eq!(house.recorded(EventCode::BudgetExhausted).await, 1, "told once");
    house.clock.advance(HOUR);
    assert_eq!(all(&nodes[1], &info, text, Budgeted::Recipients).await, 100, "in the next hour");
    assert_eq!(house.recorded(EventCode::BudgetExhausted).await, 2);
}

#[tokio::test]
async fn a_used_up_budget_freezes_its_client_once_whoever_meets_it() {
    let house = House::new().await;
    let granted = house.granted().await;
    let info = house.session(&granted);
    let nodes = [house.registry.clone(), node(&house)];
    let text = r#"{"recipients":{"hour":20},"on_exhausted":"freeze"}"#;
    let each = nodes.iter().cycle().take(8).map(|node| all(node, &info, text, Budgeted::Recipients));
    assert_eq!(join_all(each).await.into_iter().sum::<u64>(), 20);
    let freezes = nodes[1].list_freezes().await.unwrap();
    let [freeze] = freezes.as_slice() else { panic!("{freezes:?}") };
    assert_eq!((freeze.level, freeze.made_by.as_str(), freeze.thaws_at), (Level::Cut, "system", None));
    assert_eq!((&freeze.target.client, &freeze.target.mailbox), (&Some(granted.0.id), &Some(granted.1.id)));
    assert_eq!(freeze.reason, format!("budget recipients=20/hour of grant {} is used up", granted.2.id));
    house.registry.end_freeze(&Actor::System, &freeze.id).await.unwrap();
    assert_eq!(all(&nodes[1], &info, text, Budgeted::Recipients).await, 0);
    assert_eq!(house.recorded(EventCode::FreezeAdded).await, 1, "who thawed it is not contradicted in this hour");
    house.clock.advance(HOUR);
    assert_eq!(all(&nodes[0], &info, text, Budgeted::Recipients).await, 20);
    assert_eq!(house.recorded(EventCode::FreezeAdded).await, 2, "in the next one it is");
}

#[tokio::test]
async fn a_day_holds_what_it_holds_however_many_hours_it_has() {
    let house = House::new().await;
    let info = house.session(&house.granted().await);
    let text = r#"{"messages_sent":{"hour":3,"day":7}}"#;
    let day = 24 * HOUR;
    house.clock.advance(day - house.clock.now().0.rem_euclid(day));
    let mut got = Vec::new();
    for _ in 0..4 {
        got.push(all(&house.registry, &info, text, Budgeted::MessagesSent).await);
        house.clock.advance(HOUR);
    }
    assert_eq!(got, [3, 3, 1, 0]);
    house.clock.advance(20 * HOUR);
    assert_eq!(all(&house.registry, &info, text, Budgeted::MessagesSent).await, 3, "the next day");
}

#[tokio::test]
async fn what_is_taken_ahead_is_never_more_than_there_is_and_goes_back() {
    let house = House::new().await;
    let (registry, info) = (&house.registry, house.session(&house.granted().await));
    let text = r#"{"messages_read":{"hour":100}}"#;
    let mut first = purse(text);
    assert!(registry.take(&info, &mut first, Budgeted::MessagesRead, 1).await.unwrap().is_ok());
    let held = house.number("SELECT used FROM budget_uses").await;
    assert!((2..=100).contains(&held), "a few were taken ahead: {held}");
    let others = all(&node(&house), &info, text, Budgeted::MessagesRead).await;
    assert_eq!(i64::try_from(others).unwrap() + held, 100);
    registry.empty_purse(&info, &mut first).await.unwrap();
    assert_eq!(house.number("SELECT used FROM budget_uses").await, i64::try_from(others).unwrap() + 1);
    assert_eq!(all(registry, &info, text, Budgeted::MessagesRead).await, 99 - others);
    // What an answer turned out to hold counts whole.
    let mut late = purse(text);
    registry.used(&info, &mut late, Budgeted::MessagesRead, 50).await.unwrap();
    assert_eq!(house.number("SELECT used FROM budget_uses").await, 150);
}

#[tokio::test]
async fn what_was_taken_ahead_in_one_hour_is_not_used_in_the_next() {
    let house = House::new().await;
    let (registry, info) = (&house.registry, house.session(&house.granted().await));
    let mut purse = purse(r#"{"bytes":{"hour":1000,"day":1500}}"#);
    assert!(registry.take(&info, &mut purse, Budgeted::Bytes, 900).await.unwrap().is_ok());
    house.clock.advance(HOUR);
    assert!(registry.take(&info, &mut purse, Budgeted::Bytes, 600).await.unwrap().is_ok(), "the day holds 1500");
    assert!(registry.take(&info, &mut purse, Budgeted::Bytes, 1).await.unwrap().is_err());
    assert_eq!(house.number("SELECT used FROM budget_uses WHERE span = 3600000 ORDER BY begun_at LIMIT 1").await, 900);
    assert_eq!(house.number("SELECT used FROM budget_uses WHERE span = 86400000").await, 1500);
}

#[tokio::test]
async fn a_budget_of_nothing_lets_nothing_through() {
    let house = House::new().await;
    let info = house.session(&house.granted().await);
    for what in Budgeted::ALL {
        let text = format!(r#"{{"{}":{{"day":0}}}}"#, what.as_str());
        let mut purse = purse(&text);
        let refused = if what == Budgeted::Folders {
            house.registry.take_folder(&info, &mut purse, "INBOX").await.unwrap()
        } else {
            house.registry.reach(&info, &mut purse, what, 1).await.unwrap()
        };
        assert!(refused.is_err(), "{text}");
    }
    assert_eq!(house.recorded(EventCode::BudgetExhausted).await, 5);
    assert!(!Purse::of(&Bounds::default()).is_counted(), "a grant without budgets costs nothing");
}

#[tokio::test]
async fn a_folder_counts_once_in_an_hour_and_once_in_a_day() {
    let house = House::new().await;
    let info = house.session(&house.granted().await);
    let day = 24 * HOUR;
    house.clock.advance(day - house.clock.now().0.rem_euclid(day));
    let text = r#"{"folders":{"hour":2,"day":3}}"#;
    let opened = async |names: &[&str]| {
        let mut opened = Vec::new();
        for name in names {
            let mut purse = purse(text);
            opened.push(node(&house).take_folder(&info, &mut purse, name).await.unwrap().is_ok());
        }
        opened
    };
    assert_eq!(opened(&["A", "B", "A", "C", "B"]).await, [true, true, true, false, true]);
    house.clock.advance(HOUR);
    assert_eq!(opened(&["C", "B", "D", "C", "A"]).await, [true, true, false, true, false]);
    house.clock.advance(HOUR);
    assert_eq!(opened(&["A", "D", "C", "B"]).await, [true, false, true, false], "D is the day's fourth");
}

#[tokio::test]
async fn what_is_left_is_told_and_what_is_over_is_forgotten() {
    let house = House::new().await;
    let granted = house.granted().await;
    let (info, grant) = (house.session(&granted), &granted.2.id);
    let limits = budgets(r#"{"recipients":{"hour":5,"day":100},"bytes":{"day":9},"sessions":3}"#);
    let left = async || serde_json::to_string(&house.registry.budget_left(grant, &limits).await.unwrap()).unwrap();
    assert_eq!(left().await, r#"{"recipients":{"hour":5,"day":100},"bytes":{"day":9}}"#);
    let mut purse = Purse::of(&Bounds { budgets: Some(limits), ..Bounds::default() });
    house.registry.take(&info, &mut purse, Budgeted::Recipients, 3).await.unwrap().unwrap();
    house.registry.put_back(&info, &mut purse, Budgeted::Recipients, 1).await.unwrap();
    house.registry.used(&info, &mut purse, Budgeted::Bytes, 20).await.unwrap();
    house.registry.take_folder(&info, &mut self::purse(r#"{"folders":{"hour":1}}"#), "A").await.unwrap().unwrap();
    assert_eq!(left().await, r#"{"recipients":{"hour":3,"day":98},"bytes":{"day":0}}"#);
    assert_eq!(house.registry.sweep_budgets().await.unwrap(), 0);
    house.clock.advance(2 * HOUR + 1);
    assert_eq!(house.registry.sweep_budgets().await.unwrap(), 3, "two counters of hours and a folder");
    house.clock.advance(25 * HOUR);
    assert_eq!(house.registry.sweep_budgets().await.unwrap(), 2);
}

/// A seat for a new session, if there is one.
async fn seat(node: &Registry, house: &House, info: &SessionInfo) -> Option<Seat> {
    node.take_seat(&info.grant_id, &SessionId::new(&house.clock, &random::system()), 3).await.unwrap()
}

#[tokio::test]
async fn gw_15_seats_are_exact_on_two_nodes_and_a_thousand_sessions_leave_all_of_them() {
    let house = House::new().await;
    let info = house.session(&house.granted().await);
    let nodes = [house.registry.clone(), node(&house)];
    for round in 0..50 {
        let seats = join_all(nodes.iter().cycle().take(20).map(|node| seat(node, &house, &info))).await;
        assert_eq!(seats.iter().flatten().count(), 3, "round {round}");
        drop(seats);
        for node in &nodes {
            node.give_back_seats().await.unwrap();
        }
        assert_eq!(house.number("SELECT COUNT(*) FROM session_seats").await, 0);
    }
}

#[tokio::test]
async fn gw_15_a_dead_nodes_seats_are_free_after_a_while_and_a_living_ones_are_not() {
    let house = House::new().await;
    let granted = house.granted().await;
    let (mut info, living, dead) = (house.session(&granted), house.registry.clone(), node(&house));
    let id = info.id.clone();
    let kept = living.take_seat(&info.grant_id, &id, 3).await.unwrap().unwrap();
    let running = living.sessions().open(info.clone(), house.standing(&granted));
    info.id = SessionId::new(&house.clock, &random::system());
    let lost = [seat(&dead, &house, &info).await.unwrap(), seat(&dead, &house, &info).await.unwrap()];
    for _ in 0..4 {
        house.clock.advance(5_000);
        living.look_through_seats().await.unwrap();
        assert!(seat(&living, &house, &info).await.is_none());
    }
    house.clock.advance(1);
    let again = [seat(&living, &house, &info).await.unwrap(), seat(&living, &house, &info).await.unwrap()];
    assert!(seat(&living, &house, &info).await.is_none(), "the living node's own is still taken");
    assert_eq!(*running.ended().borrow(), None);
    // A row that nobody stands behind goes; a session whose row is gone ends.
    assert_eq!(house.edit("UPDATE session_seats SET session_id = 'ses_00000000000a' WHERE session_id = (SELECT MIN(session_id) FROM session_seats)").await, 1);
    living.look_through_seats().await.unwrap();
    assert_eq!(house.number("SELECT COUNT(*) FROM session_seats").await, 2);
    assert!(running.ended().borrow().is_some(), "it would be one too many");
    drop((kept, lost, again));
}

#[tokio::test]
async fn who_looks_sees_what_is_used_and_held_and_changes_nothing() {
    let house = House::new().await;
    let info = house.session(&house.granted().await);
    let (registry, other, grant) = (house.registry.clone(), node(&house), &info.grant_id);
    let day = 24 * HOUR;
    house.clock.advance(day - house.clock.now().0.rem_euclid(day));
    let rows = async || {
        let mut rows = Vec::new();
        for text in [
            "SELECT COUNT(*) FROM budget_uses",
            "SELECT COUNT(*) FROM budget_folders",
            "SELECT COUNT(*) FROM session_seats",
        ] {
            rows.push(house.number(text).await);
        }
        rows
    };
    let looked = async || {
        let used = other.budget_used(grant).await.unwrap();
        let [hour, day] = Span::ALL.map(|span| used.of(Budgeted::Recipients, span));
        (hour, day, other.folder_counted(grant, "A", used.at).await.unwrap())
    };
    assert_eq!(looked().await, (0, 0, vec![]));
    assert_eq!((rows().await, registry.seats_taken(grant).await.unwrap()), (vec![0, 0, 0], 0));
    let mut purse = purse(r#"{"recipients":{"hour":5,"day":9},"folders":{"hour":1,"day":1}}"#);
    registry.take(&info, &mut purse, Budgeted::Recipients, 2).await.unwrap().unwrap();
    registry.take_folder(&info, &mut purse, "A").await.unwrap().unwrap();
    assert_eq!(looked().await, (2, 2, vec![Span::Hour, Span::Day]));
    assert!(other.folder_counted(grant, "B", house.clock.now()).await.unwrap().is_empty());
    house.clock.advance(HOUR);
    assert_eq!(looked().await, (0, 2, vec![Span::Day]));
    let seats = [seat(&registry, &house, &info).await.unwrap(), seat(&other, &house, &info).await.unwrap()];
    let taken = async || [registry.seats_taken(grant).await.unwrap(), other.seats_taken(grant).await.unwrap()];
    assert_eq!(taken().await, [2, 2]);
    let [left, dead] = seats;
    drop(left);
    assert_eq!((taken().await, rows().await[2]), ([1, 2], 2), "one was left here, and its row is there still");
    house.clock.advance(20_001);
    assert_eq!((taken().await, rows().await[2]), ([0, 0], 2), "of dead nodes nothing counts");
    drop(dead);
}
