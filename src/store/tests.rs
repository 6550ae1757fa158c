//! SQLite prepares every statement (`tests/it/statements.rs` asks PostgreSQL); the migrations are twins.

use crate::store::{Store, sql};

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
    let sqlite = include_str!("../../migrations/sqlite/0001_init.sql");
    let twin = sqlite.replace(") STRICT;", ");").replace(" INTEGER", " BIGINT").replace(" BLOB", " BYTEA");
    assert_eq!(twin, include_str!("../../migrations/postgres/0001_init.sql"));
}
