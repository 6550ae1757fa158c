//! The database: SQLite or PostgreSQL behind one SQL text. Only this module knows sqlx.

mod readers;
pub mod sql;
pub mod value;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Executor, PgPool, Postgres, SqlSafeStr, Transaction};

use crate::domain::fault::{Classify, Fault};
use crate::store::readers::Readers;
use crate::store::sql::{Append, Statement};
use crate::store::value::{Inner, Row, Value};
use crate::store::writer::{SqliteTx, Writer};

/// The database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address of the database is neither `sqlite:PATH` nor `postgres://...`.
    #[error("database must be sqlite:PATH or postgres://...")]
    BadUrl,
    /// Another process has opened this SQLite file.
    #[error("this SQLite database is in use by another process; several nodes need PostgreSQL")]
    InUse,
    /// Such an object exists already.
    #[error("an object with this name exists already")]
    Conflict,
    /// The database cannot be reached or failed.
    #[error("database: {0}")]
    Database(#[source] Box<sqlx::Error>),
    /// The schema cannot be brought up to date.
    #[error("migration: {0}")]
    Migration(#[source] Box<sqlx::migrate::MigrateError>),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
            Self::Conflict
        } else {
            Self::Database(Box::new(error))
        }
    }
}

impl Classify for StoreError {
    fn fault(&self) -> Fault {
        match self {
            Self::BadUrl => Fault::Internal,
            Self::Conflict => Fault::Conflict,
            Self::InUse | Self::Database(_) | Self::Migration(_) => Fault::Unavailable,
        }
    }
}

/// A handle to the database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(Pools);

#[derive(Clone, Debug)]
enum Pools {
    /// SQLite has one writer: one connection writes, so that nobody waits in `SQLITE_BUSY`.
    Sqlite {
        read: Readers,
        write: Writer,
        /// Held until the last handle goes: a second process would not see what this one keeps in memory (RL-27).
        _lock: Option<Arc<File>>,
    },
    Postgres(PgPool),
}

/// A transaction. Dropped without [`Tx::commit`], it leaves nothing.
#[derive(Debug)]
pub struct Tx(Begun);

#[derive(Debug)]
enum Begun {
    Sqlite(SqliteTx),
    Postgres(Transaction<'static, Postgres>),
}

macro_rules! bound {
    ($statement:expr, $args:expr) => {
        bound_owned!($statement.text(), $args.iter().cloned())
    };
}

macro_rules! bound_owned {
    ($text:expr, $args:expr) => {{
        let mut query = sqlx::query($text);
        for value in $args {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Blob(value) => query.bind(value),
            };
        }
        query
    }};
}

impl Store {
    /// Opens `sqlite:PATH` (made when absent, readable by its owner only) or `postgres://...`.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::BadUrl)?;
            let pool =
                PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(5)).connect_with(options);
            return Ok(Self(Pools::Postgres(pool.await?)));
        }
        let path = sqlite_path(url)?;
        let io = |error| StoreError::Database(Box::new(sqlx::Error::Io(error)));
        create_private(path).map_err(io)?;
        let lock = create_private(&format!("{path}.lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let options = sqlite_options(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("secure_delete", "ON");
        // What it notes of a statement's changes, to take them back, is small, and has no business in a folder for temporary files.
        let write = Writer::open(options.clone().pragma("temp_store", "MEMORY")).await?;
        let read = Readers::open(options, 8).await?;
        Ok(Self(Pools::Sqlite { read, write, _lock: Some(Arc::new(lock)) }))
    }

    /// Opens what [`Store::open`] made, to look at it only: beside a process that has it open, and with no way to change a SQLite file.
    pub async fn open_reading(url: &str) -> Result<Self, StoreError> {
        if !url.starts_with("sqlite:") {
            return Self::open(url).await;
        }
        let options = sqlite_options(sqlite_path(url)?).read_only(true);
        let read = Readers::open(options.clone(), 1).await?;
        let write = Writer::lazy(options);
        Ok(Self(Pools::Sqlite { write, read, _lock: None }))
    }

    /// Whether no other process can have it open (SQLite).
    pub fn is_exclusive(&self) -> bool {
        matches!(self.0, Pools::Sqlite { .. })
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match &self.0 {
            Pools::Sqlite { write, .. } => {
                let mut tx = write.begin().await?;
                let connection = tx.connection()?;
                // Building an index sorts a table of whatever size.
                connection.execute("PRAGMA temp_store = FILE").await?;
                let outcome = sqlx::migrate!("migrations/sqlite").run(&mut *connection).await;
                connection.execute("PRAGMA temp_store = MEMORY").await?;
                outcome
            }
            Pools::Postgres(pool) => sqlx::migrate!("migrations/postgres").run(pool).await,
        }
        .map_err(|error| StoreError::Migration(Box::new(error)))
    }

    /// Runs a reading statement.
    pub async fn rows(&self, statement: Statement, args: &[Value]) -> Result<Vec<Row>, StoreError> {
        Ok(match &self.0 {
            Pools::Sqlite { read, .. } => {
                let query = bound!(statement, args);
                let rows = read.with(async move |connection| query.fetch_all(connection).await).await?;
                rows.into_iter().map(|row| Row(Inner::Sqlite(row))).collect()
            }
            Pools::Postgres(pool) => {
                let rows = bound!(statement, args).fetch_all(pool).await?;
                rows.into_iter().map(|row| Row(Inner::Postgres(row))).collect()
            }
        })
    }

    /// Runs a reading statement that gives at most one row.
    pub async fn row(&self, statement: Statement, args: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(statement, args).await?.into_iter().next())
    }

    /// Begins a transaction that may read and then write.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(Tx(match &self.0 {
            Pools::Sqlite { write, .. } => Begun::Sqlite(write.begin().await?),
            Pools::Postgres(pool) => Begun::Postgres(pool.begin().await?),
        }))
    }

    /// Puts records at the end of the audit chain and makes them durable; `false`, with nothing done, when its head is another one.
    pub async fn append(&self, append: Append, args: Vec<Value>) -> Result<bool, StoreError> {
        let added = match &self.0 {
            Pools::Sqlite { write, .. } => write.begin().await?.whole(append.sqlite(), args).await?,
            Pools::Postgres(pool) => bound_owned!(append.postgres(), args).execute(pool).await?.rows_affected(),
        };
        Ok(added > 0)
    }

    /// The counter that every change of policy moves.
    pub async fn policy_epoch(&self) -> Result<i64, StoreError> {
        self.row(sql::PING, &[]).await?.map_or(Ok(0), |row| row.int(0))
    }

    /// Asks the engine to prepare `statement`, without running it.
    pub async fn prepare(&self, statement: Statement) -> Result<(), StoreError> {
        match &self.0 {
            Pools::Sqlite { read, .. } => {
                let text = statement.text().into_sql_str();
                read.with(async move |connection| connection.prepare(text).await.map(drop)).await?;
            }
            Pools::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                (&mut *connection).prepare(statement.text().into_sql_str()).await?;
            }
        }
        Ok(())
    }

    /// Closes all connections once they are idle.
    pub async fn close(&self) {
        match &self.0 {
            Pools::Sqlite { read, write, .. } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Runs a statement; says how many rows it touched.
    pub async fn execute(&mut self, statement: Statement, args: &[Value]) -> Result<u64, StoreError> {
        Ok(match &mut self.0 {
            Begun::Sqlite(tx) => tx.run(statement, args.iter().cloned()).await?.1,
            Begun::Postgres(tx) => bound!(statement, args).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Runs a statement with many values, which it keeps; says how many rows it touched.
    pub async fn execute_owned(&mut self, statement: Statement, args: Vec<Value>) -> Result<u64, StoreError> {
        Ok(match &mut self.0 {
            Begun::Sqlite(tx) => tx.run(statement, args).await?.1,
            Begun::Postgres(tx) => bound_owned!(statement.text(), args).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Runs a statement that gives rows.
    pub async fn rows(&mut self, statement: Statement, args: &[Value]) -> Result<Vec<Row>, StoreError> {
        Ok(match &mut self.0 {
            Begun::Sqlite(tx) => {
                let (rows, _) = tx.run(statement, args.iter().cloned()).await?;
                rows.into_iter().map(|row| Row(Inner::Sqlite(row))).collect()
            }
            Begun::Postgres(tx) => {
                let rows = bound!(statement, args).fetch_all(&mut **tx).await?;
                rows.into_iter().map(|row| Row(Inner::Postgres(row))).collect()
            }
        })
    }

    /// Runs a statement that gives at most one row.
    pub async fn row(&mut self, statement: Statement, args: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(statement, args).await?.into_iter().next())
    }

    /// Runs a last statement, which gives at most one row, and makes all durable.
    pub async fn commit_with(self, statement: Statement, args: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(match self.0 {
            Begun::Sqlite(tx) => {
                let rows = tx.commit_with(statement, args.iter().cloned()).await?;
                rows.into_iter().next().map(|row| Row(Inner::Sqlite(row)))
            }
            Begun::Postgres(mut tx) => {
                let rows = bound!(statement, args).fetch_all(&mut *tx).await?;
                tx.commit().await?;
                rows.into_iter().next().map(|row| Row(Inner::Postgres(row)))
            }
        })
    }

    /// Makes it durable.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.0 {
            Begun::Sqlite(tx) => tx.commit().await?,
            Begun::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// All SQL texts there are.
pub fn statements() -> Vec<&'static str> {
    sql::ALL.iter().map(|statement| statement.text()).collect()
}

/// The path in `sqlite:PATH` or `sqlite://PATH`.
fn sqlite_path(url: &str) -> Result<&str, StoreError> {
    let path = url.strip_prefix("sqlite:").ok_or(StoreError::BadUrl)?;
    Ok(path.strip_prefix("//").unwrap_or(path))
}

fn sqlite_options(path: &str) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(5))
}

fn create_private(path: &str) -> std::io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
