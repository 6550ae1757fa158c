//! What is sealed: credentials and signing keys; and which installation the KEK must belong to.

use crate::domain::clock::Timestamp;
use crate::domain::credential::SealedCredential;
use crate::store::{Store, StoreError, on};

const INSTALL: &str = "INSERT INTO installation (id, installation_id, kek_id, proof, epoch) VALUES (1, $1, $2, $3, 0)";
const INSTALLATION: &str = "SELECT installation_id, kek_id, proof FROM installation WHERE id = 1";
const NEXT_VERSION: &str = "SELECT COALESCE(MAX(version), 0) + 1 FROM credentials WHERE mailbox_id = $1";
const RETIRE: &str = "UPDATE credentials SET state = 'previous' WHERE mailbox_id = $1 AND state = 'current'";
const INSERT: &str = "INSERT INTO credentials (id, mailbox_id, version, state, kek_id, wrapped_dek, sealed, created_at) \
                      VALUES ($1, $2, $3, 'current', $4, $5, $6, $7)";
const CURRENT: &str = "SELECT id, version, kek_id, wrapped_dek, sealed FROM credentials \
                       WHERE mailbox_id = $1 AND state = 'current' ORDER BY version DESC LIMIT 1";
const SHRED: &str = "DELETE FROM credentials WHERE mailbox_id = $1";
const INSERT_KEY: &str = "INSERT INTO signing_keys (kid, alg, sealed, created_at) VALUES ($1, $2, $3, $4)";
const KEYS: &str = "SELECT kid, alg, sealed FROM signing_keys ORDER BY created_at, kid";

/// Every statement of this file.
pub(super) const STATEMENTS: [&str; 9] =
    [INSTALL, INSTALLATION, NEXT_VERSION, RETIRE, INSERT, CURRENT, SHRED, INSERT_KEY, KEYS];

/// Which installation this is.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct InstallationRow {
    /// Its id.
    pub installation_id: String,
    /// The KEK that belongs to it.
    pub kek_id: String,
    /// What only that KEK can make.
    pub proof: Vec<u8>,
}

/// A sealed credential as stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct CredentialRow {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: i64,
    /// The KEK that wraps its DEK.
    pub kek_id: String,
    /// The wrapped DEK.
    pub wrapped_dek: Vec<u8>,
    /// The sealed credential.
    pub sealed: Vec<u8>,
}

/// A sealed signing key as stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SigningKeyRow {
    /// Its `kid`.
    pub kid: String,
    /// Its algorithm.
    pub alg: String,
    /// The sealed private key.
    pub sealed: Vec<u8>,
}

impl Store {
    /// Writes down which installation this is.
    pub async fn install(&self, row: &InstallationRow) -> Result<(), StoreError> {
        on!(self, pool => sqlx::query(INSTALL).bind(&row.installation_id).bind(&row.kek_id).bind(&row.proof).execute(pool).await?);
        Ok(())
    }

    /// Which installation this is, if it was made. An empty database, without tables, is none.
    pub async fn installation(&self) -> Result<Option<InstallationRow>, StoreError> {
        let found = on!(self, pool => sqlx::query_as(INSTALLATION).fetch_optional(pool).await);
        match found {
            Err(sqlx::Error::Database(_)) => Ok(None),
            other => Ok(other?),
        }
    }

    /// The version that the next credential of a mailbox gets.
    pub async fn next_version(&self, mailbox_id: &str) -> Result<i64, StoreError> {
        let (version,): (i64,) = on!(self, pool => sqlx::query_as(NEXT_VERSION).bind(mailbox_id).fetch_one(pool).await?);
        Ok(version)
    }

    /// Makes a credential the current one; the one before stays as `previous`. Both or nothing.
    pub async fn put_credential(&self, credential: &SealedCredential) -> Result<(), StoreError> {
        on!(self, pool => {
            let mut tx = pool.begin().await?;
            sqlx::query(RETIRE).bind(credential.mailbox_id.as_str()).execute(&mut *tx).await?;
            sqlx::query(INSERT)
                .bind(credential.id.as_str()).bind(credential.mailbox_id.as_str()).bind(credential.version)
                .bind(credential.kek_id.as_str()).bind(&credential.wrapped_dek).bind(&credential.sealed).bind(credential.created_at.0)
                .execute(&mut *tx).await?;
            tx.commit().await?;
        });
        Ok(())
    }

    /// The credential that logs in now.
    pub async fn current_credential(&self, mailbox_id: &str) -> Result<Option<CredentialRow>, StoreError> {
        Ok(on!(self, pool => sqlx::query_as(CURRENT).bind(mailbox_id).fetch_optional(pool).await?))
    }

    /// Forgets every credential of a mailbox, wrapped DEKs included.
    pub async fn shred_credentials(&self, mailbox_id: &str) -> Result<(), StoreError> {
        on!(self, pool => sqlx::query(SHRED).bind(mailbox_id).execute(pool).await?);
        Ok(())
    }

    /// Stores a sealed signing key.
    pub async fn put_signing_key(&self, row: &SigningKeyRow, now: Timestamp) -> Result<(), StoreError> {
        on!(self, pool => sqlx::query(INSERT_KEY).bind(&row.kid).bind(&row.alg).bind(&row.sealed).bind(now.0).execute(pool).await?);
        Ok(())
    }

    /// All signing keys, oldest first.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        Ok(on!(self, pool => sqlx::query_as(KEYS).fetch_all(pool).await?))
    }
}
