//! The key that signs audit checkpoints: its private half never leaves the vault's process, its public half is for everybody.

use crate::crypto::sign::{self, Signer};
use crate::domain::client::TokenAlg;
use crate::domain::secret::{PrivateKey, Secret};
use crate::store::sql;
use crate::vault::envelope::{Place, Sealed};
use crate::vault::{Vault, VaultError, key_name};

impl Vault {
    /// Opens the checkpoint key; makes it when there is none. Nodes that start together agree on one.
    pub async fn checkpoint_signer(&self) -> Result<Signer, VaultError> {
        if let Some(signer) = self.stored_checkpoint_signer().await? {
            return Ok(signer);
        }
        let key = sign::generate(TokenAlg::EdDsa).map_err(|_| VaultError::KeyUnusable)?;
        let signer = Signer::from_pkcs8(TokenAlg::EdDsa, &key).map_err(|_| VaultError::KeyUnusable)?;
        let kid = key_name(signer.public_key());
        let sealed = self.keys.seal(&place(&kid), &key, &self.entropy)?;
        let mut tx = self.store.begin().await?;
        let row = [
            kid.as_str().into(),
            self.keys.kek_id.as_str().into(),
            sealed.wrapped_dek.as_slice().into(),
            sealed.sealed.as_slice().into(),
            self.clock.now().0.into(),
        ];
        tx.execute(sql::AUDIT_KEY_ADD, &row).await?;
        tx.commit().await?;
        self.stored_checkpoint_signer().await?.ok_or(VaultError::KeyUnusable)
    }

    async fn stored_checkpoint_signer(&self) -> Result<Option<Signer>, VaultError> {
        let Some(row) = self.store.row(sql::AUDIT_KEY_GET, &[]).await? else { return Ok(None) };
        let kid = row.text(0)?;
        let sealed = Sealed { wrapped_dek: row.blob(1)?, sealed: row.blob(2)? };
        let key: Secret<PrivateKey> = self.keys.open(&place(&kid), &sealed)?;
        let signer = Signer::from_pkcs8(TokenAlg::EdDsa, &key).map_err(|_| VaultError::KeyUnusable)?;
        Ok(Some(signer))
    }
}

fn place(kid: &str) -> Place<'_> {
    Place { purpose: "checkpoint-key", subject: kid, version: TokenAlg::EdDsa.as_str().to_owned() }
}
