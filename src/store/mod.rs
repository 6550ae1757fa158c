//! The only SQL: SQLite and PostgreSQL from one text. Knows rows, not what they mean.

pub mod audit;
pub mod keys;
pub mod policy;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::domain::fault::{Classify, Fault};

/// A database; cheap to clone.
#[derive(Clone, Debug)]
pub enum Store {
    /// One file.
    Sqlite(SqlitePool),
    /// A server.
    Postgres(PgPool),
}

/// Runs the same statement on whichever engine it is.
macro_rules! on {
    ($store:expr, $pool:ident => $body:expr) => {
        match $store {
            $crate::store::Store::Sqlite($pool) => $body,
            $crate::store::Store::Postgres($pool) => $body,
        }
    };
}
pub(crate) use on;

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL names no database that we know.
    #[error("database.url must start with sqlite: or postgres://")]
    UnknownEngine,
    /// A name that must be unique is taken.
    #[error("the name is taken")]
    Taken,
    /// A row that must be there is not.
    #[error("row is not there")]
    Missing,
    /// The schema cannot be brought up to date.
    #[error("migration failed: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The database failed or cannot be reached.
    #[error("database: {0}")]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(database) if database.is_unique_violation() => Self::Taken,
            _ => Self::Database(error),
        }
    }
}

impl Classify for StoreError {
    fn fault(&self) -> Fault {
        match self {
            Self::Taken => Fault::Conflict,
            Self::Missing => Fault::NotFound,
            Self::Database(_) => Fault::Unavailable,
            Self::UnknownEngine | Self::Migration(_) => Fault::Internal,
        }
    }
}

impl Store {
    /// Connects; makes the file where it is SQLite. Nothing is migrated.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // NORMAL loses acknowledged commits in a power cut.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(10))
                .foreign_keys(true);
            let pool = SqlitePoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(10));
            Ok(Self::Sqlite(pool.connect_with(options).await?))
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url)?.application_name("mailwarden");
            let pool = PgPoolOptions::new().max_connections(8).acquire_timeout(Duration::from_secs(5));
            Ok(Self::Postgres(pool.connect_with(options).await?))
        } else {
            Err(StoreError::UnknownEngine)
        }
    }

    /// Brings the schema up to this version.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(pool) => sqlx::migrate!("migrations/sqlite").run(pool).await?,
            Self::Postgres(pool) => sqlx::migrate!("migrations/postgres").run(pool).await?,
        }
        Ok(())
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(self, pool => sqlx::query("SELECT 1").execute(pool).await?);
        Ok(())
    }

    /// Asks the engine to prepare every statement that we ever send. Gives the first that it does not understand.
    pub async fn prepare_all(&self) -> Result<usize, (String, StoreError)> {
        use sqlx::Executor;
        let all: Vec<&'static str> =
            policy::statements().chain(audit::STATEMENTS.iter().copied()).chain(keys::STATEMENTS.iter().copied()).collect();
        for text in &all {
            let prepared = on!(self, pool => pool.prepare(sqlx::SqlStr::from_static(text)).await.map(drop));
            prepared.map_err(|error| ((*text).to_owned(), StoreError::from(error)))?;
        }
        Ok(all.len())
    }
}
