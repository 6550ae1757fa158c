//! The keys that sign access tokens: one active per algorithm, sealed in the vault.

use crate::crypto::sign::{self, Signer};
use crate::domain::client::TokenAlg;
use crate::domain::clock::Timestamp;
use crate::domain::id::KekId;
use crate::domain::secret::{PrivateKey, Secret};
use crate::registry::{Registry, RegistryError};
use crate::store::sql;
use crate::vault::key_name;

/// What may be told of a signing key.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// Its name in token headers and in the key set.
    pub kid: String,
    /// The algorithm it signs with.
    pub alg: TokenAlg,
    /// Whether it signs.
    pub state: String,
    /// The key encryption key that it is wrapped under.
    pub kek_id: KekId,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Registry {
    /// All signing keys in force, without the keys.
    pub async fn list_signing_keys(&self) -> Result<Vec<SigningKey>, RegistryError> {
        let mut keys = Vec::new();
        for row in self.store.rows(sql::KEY_LIST, &[]).await? {
            let (alg, kek_id) = (TokenAlg::parse(&row.text(1)?), row.text(3)?.parse());
            keys.push(SigningKey {
                kid: row.text(0)?,
                alg: alg.ok_or(RegistryError::Internal("unknown algorithm of a signing key"))?,
                state: row.text(2)?,
                kek_id: kek_id.map_err(|_| RegistryError::Internal("unknown key encryption key of a signing key"))?,
                created_at: Timestamp(row.int(6)?),
            });
        }
        Ok(keys)
    }

    /// The active signing keys with their names; made when there are none. Nodes that start together agree on one key each.
    pub async fn signing_keys(&self) -> Result<Vec<(String, TokenAlg, Secret<PrivateKey>)>, RegistryError> {
        let mut keys = self.stored_keys().await?;
        if keys.len() < 2 {
            for alg in [TokenAlg::EdDsa, TokenAlg::Es256] {
                self.make_key(alg).await?;
            }
            keys = self.stored_keys().await?;
        }
        Ok(keys)
    }

    async fn stored_keys(&self) -> Result<Vec<(String, TokenAlg, Secret<PrivateKey>)>, RegistryError> {
        let mut keys = Vec::new();
        for row in self.store.rows(sql::KEY_LIST, &[]).await? {
            let kid = row.text(0)?;
            let alg =
                TokenAlg::parse(&row.text(1)?).ok_or(RegistryError::Internal("unknown algorithm of a signing key"))?;
            let key = self.vault.open_private_key(&kid, alg, row.blob(4)?, row.blob(5)?)?;
            keys.push((kid, alg, key));
        }
        Ok(keys)
    }

    async fn make_key(&self, alg: TokenAlg) -> Result<(), RegistryError> {
        let bad = |_| RegistryError::Internal("a signing key could not be made");
        let key = sign::generate(alg).map_err(bad)?;
        let kid = key_name(Signer::from_pkcs8(alg, &key).map_err(bad)?.public_key());
        let (wrapped, sealed) = self.vault.seal_private_key(&kid, alg, &key)?;
        let mut tx = self.store.begin().await?;
        let row = [
            kid.as_str().into(),
            alg.as_str().into(),
            "active".into(),
            self.vault.kek_id().as_str().into(),
            wrapped.as_slice().into(),
            sealed.as_slice().into(),
            self.clock.now().0.into(),
        ];
        tx.execute(sql::KEY_ADD, &row).await?;
        Ok(tx.commit().await?)
    }
}
