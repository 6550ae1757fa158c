//! SQLite's reading connections. A pool of sqlx asks a connection whether it is still there each time that it is given back, which
//! costs as much as what was read; a file does not hang up as a server may. A connection whose use failed or was given up is closed.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::Semaphore;

/// The connections that nobody uses, and room for so many in use; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::store) struct Readers(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    options: SqliteConnectOptions,
    places: Semaphore,
    free: Mutex<Vec<SqliteConnection>>,
}

impl Readers {
    /// Connects once, so that what is wrong is heard at the start.
    pub(in crate::store) async fn open(options: SqliteConnectOptions, most: usize) -> Result<Self, sqlx::Error> {
        let free = Mutex::new(vec![options.connect().await?]);
        Ok(Self(Arc::new(Parts { options, places: Semaphore::new(most), free })))
    }

    /// Lends a connection to `work`.
    pub(in crate::store) async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let place = self.0.places.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let kept = self.take();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.0.options.connect().await?,
        };
        let outcome = work(&mut connection).await?;
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        drop(place);
        Ok(outcome)
    }

    /// Closes what is not in use and lends no more.
    pub(in crate::store) async fn close(&self) {
        self.0.places.close();
        while let Some(connection) = self.take() {
            let _ = connection.close().await;
        }
    }

    fn take(&self) -> Option<SqliteConnection> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}
