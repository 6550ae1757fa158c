//! PostgreSQL understands every statement that the store ever sends.

use mailwarden::audit::Audit;
use mailwarden::domain::clock::{Clock, Timestamp};
use mailwarden::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use mailwarden::domain::secret::{MacKey, Secret};
use mailwarden::store::{Store, sql};

use super::support::postgres::Postgres;

#[test]
fn postgres_prepares_every_statement() {
    let server = Postgres::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open(&server.url()).await.expect("connect");
        store.migrate().await.expect("migrate");
        assert!(!sql::ALL.is_empty());
        for statement in sql::ALL {
            store.prepare(*statement).await.unwrap_or_else(|error| panic!("{}: {error}", statement.text()));
        }
        store.migrate().await.expect("migrate again");
        store.close().await;
    });
}

/// The statements that append to the log have values of their own kinds, which preparing them alone would not tell.
#[test]
fn two_writers_of_one_log_on_postgres_take_turns_in_batches_of_every_size() {
    let server = Postgres::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open(&server.url()).await.expect("connect");
        store.migrate().await.expect("migrate");
        let (key, clock) = (Secret::<MacKey>::from_bytes(vec![3; 32]), Clock::manual(Timestamp(1_800_000_000_000)));
        let mut tx = store.begin().await.expect("a transaction");
        Audit::create_head(&mut tx, &key).await.expect("a head");
        tx.commit().await.expect("a head");
        let one = Audit::start(store.clone(), clock.clone(), &key).await.expect("a log");
        let other = Audit::start(store.clone(), clock, &key).await.expect("the same log");
        let event = || AuditEvent::new(EventCode::TokenIssued, Actor::System, Outcome::Success);
        let mut last = 0;
        for size in 1..=20 {
            for audit in [&one, &other, &other] {
                let together = (0..size).map(|_| audit.record(event()));
                let mut places = futures_util::future::try_join_all(together).await.expect("recorded");
                places.sort_unstable();
                assert_eq!(places, (last + 1..=last + size).collect::<Vec<_>>(), "{size} at once");
                last += size;
            }
        }
        assert_eq!(one.verify().await.expect("whole").events, last);
        store.close().await;
    });
}
