//! SQLite prepares every statement (`tests/it/statements.rs` asks PostgreSQL); the migrations are twins.

use sqlx::Row;

use crate::store::{Begun, Pools, Store, StoreError, sql};

async fn prepares_all(url: &str) {
    let store = Store::open(url).await.unwrap();
    store.migrate().await.unwrap();
    for statement in sql::ALL {
        store.prepare(*statement).await.unwrap_or_else(|error| panic!("{}: {error}", statement.text()));
    }
    assert_eq!(store.policy_epoch().await.unwrap(), 0);
    store.migrate().await.unwrap();
}

#[tokio::test]
async fn sqlite_prepares_every_statement() {
    let folder = tempfile::tempdir().unwrap();
    prepares_all(&format!("sqlite:{}", folder.path().join("m.db").display())).await;
}

#[test]
fn migrations_are_twins() {
    let twins = [
        (
            include_str!("../../migrations/sqlite/0001_init.sql"),
            include_str!("../../migrations/postgres/0001_init.sql"),
        ),
        (
            include_str!("../../migrations/sqlite/0002_checkpoints.sql"),
            include_str!("../../migrations/postgres/0002_checkpoints.sql"),
        ),
        (
            include_str!("../../migrations/sqlite/0003_client_secret_uses.sql"),
            include_str!("../../migrations/postgres/0003_client_secret_uses.sql"),
        ),
        (
            include_str!("../../migrations/sqlite/0005_used_tokens.sql"),
            include_str!("../../migrations/postgres/0005_used_tokens.sql"),
        ),
        (
            include_str!("../../migrations/sqlite/0006_revoked_tokens.sql"),
            include_str!("../../migrations/postgres/0006_revoked_tokens.sql"),
        ),
        (
            include_str!("../../migrations/sqlite/0004_handles.sql"),
            include_str!("../../migrations/postgres/0004_handles.sql"),
        ),
    ];
    for (sqlite, postgres) in twins {
        let twin = sqlite.replace(") STRICT;", ");").replace(" INTEGER", " BIGINT").replace(" BLOB", " BYTEA");
        assert_eq!(twin, postgres);
    }
}

#[tokio::test]
async fn rl_27_a_second_opening_of_the_same_sqlite_file_is_refused_until_the_first_ends() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("m.db").display());
    let first = Store::open(&url).await.unwrap();
    assert!(matches!(Store::open(&url).await, Err(StoreError::InUse)));
    let clone = first.clone();
    drop(first);
    assert!(matches!(Store::open(&url).await, Err(StoreError::InUse)));
    drop(clone);
    Store::open(&url).await.unwrap();
}

#[tokio::test]
async fn sqlite_writes_ahead_and_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.path().join("m.db").display())).await.unwrap();
    let Pools::Sqlite { write, read, .. } = &store.0 else { panic!("not SQLite") };
    for pool in [write, read] {
        let pragma = async |text: &'static str| {
            let row = sqlx::query(text).fetch_one(pool).await.unwrap();
            row.try_get::<String, _>(0).or_else(|_| row.try_get::<i64, _>(0).map(|number| number.to_string())).unwrap()
        };
        assert_eq!(pragma("PRAGMA journal_mode").await, "wal");
        assert_eq!(pragma("PRAGMA synchronous").await, "2", "FULL");
        assert_eq!(pragma("PRAGMA busy_timeout").await, "5000");
        assert_eq!(pragma("PRAGMA foreign_keys").await, "1");
    }
}

#[tokio::test]
async fn a_transaction_that_was_given_up_leaves_nothing_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.path().join("m.db").display())).await.unwrap();
    store.migrate().await.unwrap();
    for _ in 0..3 {
        let mut tx = store.begin().await.unwrap();
        tx.execute(sql::EPOCH_BUMP, &[]).await.unwrap();
        drop(tx);
        // SQLite ends a transaction by itself when the disk is full; then even a rollback fails.
        let mut tx = store.begin().await.unwrap();
        let Begun::Sqlite(inner) = &mut tx.0 else { panic!("not SQLite") };
        sqlx::raw_sql("ROLLBACK").execute(&mut *inner.connection).await.unwrap();
        assert!(tx.commit().await.is_err());
    }
    let mut tx = store.begin().await.unwrap();
    tx.execute(sql::EPOCH_BUMP, &[]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.policy_epoch().await.unwrap(), 1);
}
