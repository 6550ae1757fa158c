//! SQLite's one writing connection, and a transaction on it. Each way to its thread and back costs more than most statements do: the
//! first statement of a transaction begins it, and the last may end it. A pool of sqlx would ask whether the connection is still there
//! each time that it is given back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteQueryResult, SqliteRow};
use sqlx::{ConnectOptions, Connection, Either, Executor, Sqlite};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::store::sql::Statement;
use crate::store::value::Value;

/// How long a transaction may wait for those before it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connection, when nobody uses it; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::store) struct Writer {
    options: Arc<SqliteConnectOptions>,
    place: Arc<Mutex<Place>>,
}

#[derive(Debug, Default)]
struct Place {
    connection: Option<SqliteConnection>,
    is_closed: bool,
}

impl Writer {
    /// Connects with the first transaction.
    pub(in crate::store) fn lazy(options: SqliteConnectOptions) -> Self {
        Self { options: Arc::new(options), place: Arc::default() }
    }

    /// Connects now, so that what is wrong is heard at the start.
    pub(in crate::store) async fn open(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let writer = Self::lazy(options);
        drop(writer.begin().await?);
        Ok(writer)
    }

    /// Waits for its turn.
    pub(in crate::store) async fn begin(&self) -> Result<SqliteTx, sqlx::Error> {
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.place).lock_owned()).await;
        let mut place = place.map_err(|_| sqlx::Error::PoolTimedOut)?;
        if place.is_closed {
            return Err(sqlx::Error::PoolClosed);
        }
        let connection = match place.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(SqliteTx { place, connection: Some(connection), state: State::Outside })
    }

    /// Closes the connection once it is idle, and lends it no more.
    pub(in crate::store) async fn close(&self) {
        let mut place = self.place.lock().await;
        place.is_closed = true;
        if let Some(connection) = place.connection.take() {
            let _ = connection.close().await;
        }
    }
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was said yet, or it is over.
    Outside,
    /// It is under way.
    Inside,
    /// A statement is under way or has failed at a place where the connection may be in or out of a transaction.
    Unclear,
}

/// A transaction on the writing connection. When the disk is full SQLite rolls back by itself, and a connection whose state is thus in
/// doubt must not be used again: it is closed, which rolls back whatever is open, and a new one takes its place.
#[derive(Debug)]
pub(in crate::store) struct SqliteTx {
    place: OwnedMutexGuard<Place>,
    /// Present until it is dropped.
    connection: Option<SqliteConnection>,
    state: State,
}

impl SqliteTx {
    /// Runs a statement; gives its rows, and how many it touched.
    pub(in crate::store) async fn run(
        &mut self,
        statement: Statement,
        args: impl IntoIterator<Item = Value>,
    ) -> Result<(Vec<SqliteRow>, u64), sqlx::Error> {
        match self.state {
            State::Outside => {
                let done = self.cross(bind(statement.opening(), args)).await?;
                self.state = State::Inside;
                Ok((done.rows, done.touched))
            }
            State::Inside => {
                let done = all(self.connection()?, bind(statement.text(), args)).await?;
                Ok((done.rows, done.touched))
            }
            State::Unclear => Err(broken()),
        }
    }

    /// Makes it durable.
    pub(in crate::store) async fn commit(mut self) -> Result<(), sqlx::Error> {
        match self.state {
            State::Outside => {}
            State::Inside => drop(self.cross(sqlx::query("COMMIT")).await?),
            State::Unclear => return Err(broken()),
        }
        self.state = State::Outside;
        Ok(())
    }

    /// Runs a last statement and makes all durable; gives its rows.
    pub(in crate::store) async fn commit_with(
        mut self,
        statement: Statement,
        args: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        if self.state != State::Inside {
            let (rows, _) = self.run(statement, args).await?;
            return self.commit().await.map(|()| rows);
        }
        let done = self.cross(bind(statement.closing(), args)).await?;
        self.state = State::Outside;
        Ok(done.rows)
    }

    /// Runs all of a transaction in one way; says how many rows its last change touched.
    pub(in crate::store) async fn whole(
        mut self,
        text: &'static str,
        args: impl IntoIterator<Item = Value>,
    ) -> Result<u64, sqlx::Error> {
        let done = self.cross(bind(text, args)).await?;
        self.state = State::Outside;
        // A COMMIT leaves the count as it is.
        Ok(done.touched)
    }

    /// Runs what begins or ends the transaction: until it has been done, nobody knows on which side the connection is.
    async fn cross(&mut self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<Done, sqlx::Error> {
        self.state = State::Unclear;
        all(self.connection()?, query).await
    }

    pub(in crate::store) fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.connection.as_mut().ok_or_else(broken)
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        if self.state == State::Outside {
            self.place.connection = self.connection.take();
        }
    }
}

fn broken() -> sqlx::Error {
    sqlx::Error::Protocol("a statement of this transaction has failed".to_owned())
}

/// What became of statements that were run together.
#[derive(Debug, Default)]
struct Done {
    rows: Vec<SqliteRow>,
    /// How many rows the last one touched.
    touched: u64,
}

async fn all(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> Result<Done, sqlx::Error> {
    let mut steps = connection.fetch_many(query);
    let mut done = Done::default();
    while let Some(step) = steps.try_next().await? {
        match step {
            Either::Left(result) => done.touched = SqliteQueryResult::rows_affected(&result),
            Either::Right(row) => done.rows.push(row),
        }
    }
    Ok(done)
}

fn bind(text: &'static str, args: impl IntoIterator<Item = Value>) -> Query<'static, Sqlite, SqliteArguments> {
    let mut query = sqlx::query(text);
    for value in args {
        query = match value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Blob(value) => query.bind(value),
        };
    }
    query
}
