//! Whoever edits, deletes, reorders or cuts off records is noticed.

use tempfile::TempDir;

use crate::audit::{Audit, AuditError, Filter};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::secret::{MacKey, Secret};
use crate::store::Store;

async fn five() -> (TempDir, Store, Audit, sqlx::SqlitePool) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("m.db").display());
    let store = Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    let key = Secret::<MacKey>::from_bytes(vec![3; 32]);
    let mut tx = store.begin().await.unwrap();
    Audit::create_head(&mut tx, &key).await.unwrap();
    tx.commit().await.unwrap();
    let audit = Audit::start(store.clone(), Clock::manual(Timestamp(1)), &key).await.unwrap();
    for seq in 1..=5 {
        let event =
            AuditEvent::new(EventCode::TokenIssued, Actor::System, Outcome::Success).detail("name", "a\r\nb\u{202e}c");
        assert_eq!(audit.record(event).await.unwrap(), seq);
    }
    let raw = sqlx::SqlitePool::connect(&url).await.unwrap();
    (folder, store, audit, raw)
}

async fn first_bad(sql: &'static str) -> i64 {
    let (_folder, _store, audit, raw) = five().await;
    assert_eq!(audit.verify().await.unwrap().events, 5);
    sqlx::raw_sql(sql).execute(&raw).await.unwrap();
    match audit.verify().await {
        Err(AuditError::Broken { first_bad_seq }) => first_bad_seq,
        other => panic!("{sql}: {other:?}"),
    }
}

#[tokio::test]
async fn every_kind_of_tampering_names_the_first_bad_record() {
    assert_eq!(first_bad("UPDATE audit_events SET outcome = 'denied' WHERE seq = 3").await, 3);
    assert_eq!(first_bad("UPDATE audit_events SET source = '' WHERE seq = 4").await, 4);
    assert_eq!(first_bad("DELETE FROM audit_events WHERE seq = 2").await, 2);
    assert_eq!(first_bad("DELETE FROM audit_events WHERE seq = 5").await, 5);
    assert_eq!(first_bad("DELETE FROM audit_events").await, 1);
    let swap = "UPDATE audit_events SET seq = 99 WHERE seq = 3; UPDATE audit_events SET seq = 3 WHERE seq = 4; \
        UPDATE audit_events SET seq = 4 WHERE seq = 99";
    assert_eq!(first_bad(swap).await, 3);
}

#[tokio::test]
async fn a_changed_head_stops_all_recording() {
    let (_folder, _store, audit, raw) = five().await;
    sqlx::raw_sql("DELETE FROM audit_events WHERE seq = 5; UPDATE audit_head SET seq = 4").execute(&raw).await.unwrap();
    assert!(matches!(audit.verify().await, Err(AuditError::BadHead)));
    let event = AuditEvent::new(EventCode::TokenIssued, Actor::System, Outcome::Success);
    assert!(matches!(audit.record(event).await, Err(AuditError::BadHead)));
}

#[tokio::test]
async fn waiting_events_are_grouped_and_each_learns_its_own_place() {
    let (_folder, _store, audit, _raw) = five().await;
    let waiting: Vec<_> = (0..300)
        .map(|_| {
            let audit = audit.clone();
            tokio::spawn(async move {
                audit.record(AuditEvent::new(EventCode::CredentialUsed, Actor::System, Outcome::Success)).await.unwrap()
            })
        })
        .collect();
    let mut places = Vec::new();
    for task in waiting {
        places.push(task.await.unwrap());
    }
    places.sort_unstable();
    assert_eq!(places, (6..=305).collect::<Vec<_>>());
    assert_eq!(audit.verify().await.unwrap().events, 305);
    let one = audit.list(Filter { limit: 1, ..Filter::default() }).await.unwrap();
    assert_eq!(one[0].detail["name"], "a\\u{d}\\u{a}b\\u{202e}c");
}
