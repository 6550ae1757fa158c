//! SQLite prepares every statement (`tests/it/statements.rs` asks PostgreSQL); the migrations are twins.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sqlx::Row as _;

use crate::store::value::Row;
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

/// The migrations of one engine, by the names of their files.
fn migrations(engine: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.file_name().unwrap().display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn migrations_are_twins() {
    let (sqlite, postgres) = (migrations("sqlite"), migrations("postgres"));
    assert!(sqlite.len() >= 11 && sqlite.keys().eq(postgres.keys()), "{:?} {:?}", sqlite.keys(), postgres.keys());
    for (name, text) in sqlite {
        let twin = text.replace(") STRICT;", ");").replace(" INTEGER", " BIGINT").replace(" BLOB", " BYTEA");
        assert_eq!(Some(&twin), postgres.get(&name), "{name}");
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
    store.migrate().await.unwrap();
    let Pools::Sqlite { write, read, .. } = &store.0 else { panic!("not SQLite") };
    let mut writer = write.begin().await.unwrap();
    settled(writer.connection().unwrap()).await;
    stands(writer.connection().unwrap(), "PRAGMA temp_store", "2").await; // MEMORY, also after a migration
    let asked = read.with(async |reader| {
        settled(reader).await;
        Ok(())
    });
    asked.await.unwrap();
}

async fn settled(connection: &mut sqlx::SqliteConnection) {
    for (text, expected) in [
        ("PRAGMA journal_mode", "wal"),
        ("PRAGMA synchronous", "2"), // FULL
        ("PRAGMA busy_timeout", "5000"),
        ("PRAGMA foreign_keys", "1"),
    ] {
        stands(connection, text, expected).await;
    }
}

async fn stands(connection: &mut sqlx::SqliteConnection, text: &'static str, expected: &str) {
    let row = sqlx::query(text).fetch_one(connection).await.unwrap();
    let found = row.try_get::<String, _>(0).or_else(|_| row.try_get::<i64, _>(0).map(|number| number.to_string()));
    assert_eq!(found.unwrap(), expected, "{text}");
}

#[tokio::test]
async fn readers_take_turns_and_a_failed_or_abandoned_reading_holds_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.path().join("m.db").display())).await.unwrap();
    store.migrate().await.unwrap();
    let Pools::Sqlite { read, .. } = &store.0 else { panic!("not SQLite") };
    for _ in 0..20 {
        let failed = read.with(async |reader| sqlx::query("SELECT no_such_thing").fetch_all(reader).await.map(drop));
        assert!(failed.await.is_err());
        let abandoned = read.with(async |_| std::future::pending::<Result<(), sqlx::Error>>().await);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), abandoned).await.is_err());
    }
    let all = futures_util::future::join_all((0..50).map(|_| store.policy_epoch())).await;
    assert!(all.into_iter().all(|epoch| epoch.unwrap() == 0));
    store.close().await;
    assert!(store.policy_epoch().await.is_err(), "a closed database gives nothing");
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
        tx.execute(sql::EPOCH_BUMP, &[]).await.unwrap();
        let Begun::Sqlite(inner) = &mut tx.0 else { panic!("not SQLite") };
        sqlx::raw_sql("ROLLBACK").execute(inner.connection().unwrap()).await.unwrap();
        assert!(tx.commit().await.is_err());
    }
    let mut tx = store.begin().await.unwrap();
    tx.execute(sql::EPOCH_BUMP, &[]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.policy_epoch().await.unwrap(), 1);
}

#[tokio::test]
async fn the_first_statement_begins_and_the_last_may_end_a_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.path().join("m.db").display())).await.unwrap();
    store.migrate().await.unwrap();
    let (bump, sweep) = (sql::EPOCH_BUMP, sql::HANDLE_SWEEP);
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.execute(bump, &[]).await.unwrap(), 1);
    // What the last one touched, and not those before it.
    assert_eq!(tx.execute(sweep, &[0.into()]).await.unwrap(), 0);
    assert_eq!(store.policy_epoch().await.unwrap(), 0, "nobody else sees it yet");
    let moved_to = |row: Option<Row>| row.expect("the counter").int(0).unwrap();
    assert_eq!(moved_to(tx.commit_with(bump, &[]).await.unwrap()), 2);
    assert_eq!(store.policy_epoch().await.unwrap(), 2);
    let first_and_last = store.begin().await.unwrap().commit_with(bump, &[]).await.unwrap();
    assert_eq!(moved_to(first_and_last), 3);
    assert_eq!(store.policy_epoch().await.unwrap(), 3);
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.execute(sweep, &[0.into()]).await.unwrap(), 0, "what was touched before it began is not its own");
    drop(tx);
    store.begin().await.unwrap().commit().await.unwrap();

    // A first statement that fails leaves it open whether there is a transaction: nothing goes on from there.
    let mut tx = store.begin().await.unwrap();
    let nothing = [None::<&str>.into(), "x".into(), "x".into(), 0.into()];
    assert!(tx.execute(sql::USED_ADD, &nothing).await.is_err(), "a NULL where none may be");
    assert!(tx.execute(bump, &[]).await.is_err());
    assert!(tx.commit().await.is_err());
    assert_eq!(store.policy_epoch().await.unwrap(), 3);
    store.begin().await.unwrap().commit_with(bump, &[]).await.unwrap();
    assert_eq!(store.policy_epoch().await.unwrap(), 4);
}
