//! PostgreSQL understands every statement that the store ever sends.

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
