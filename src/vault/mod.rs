//! The vault: envelope encryption. A credential is sealed under a DEK of its own, the DEK wrapped under the KEK; both are tied to
//! installation, mailbox, version and purpose. There is no way to read a credential out: it is only lent to a login.

pub mod kek;

use std::sync::Arc;

use crate::crypto::hash::{Mac, framed};
use crate::crypto::{aead, kdf};
use crate::domain::client::TokenAlg;
use crate::domain::clock::Clock;
use crate::domain::credential::{CredentialState, SealedCredential};
use crate::domain::entropy::Entropy;
use crate::domain::fault::{Classify, Fault};
use crate::domain::id::{CredentialId, InstallationId, KekId, MailboxId};
use crate::domain::secret::{Dek, Kek, MacKey, Password, PrivateKey, Secret};
use crate::store::keys::{InstallationRow, SigningKeyRow};
use crate::store::{Store, StoreError};

/// The vault, unlocked; cheap to clone.
#[derive(Clone, Debug)]
pub struct Vault(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    installation: String,
    kek_id: KekId,
    wrap: Secret<Kek>,
    rows: Mac,
    secrets: Mac,
    audit: Secret<MacKey>,
    clock: Clock,
    entropy: Entropy,
}

/// A credential, opened for one login. Wiped when dropped.
#[derive(Debug)]
pub struct CredentialLease {
    password: Secret<Password>,
    /// Which version it is.
    pub version: i64,
}

impl CredentialLease {
    /// What logs in.
    pub fn password(&self) -> &Secret<Password> {
        &self.password
    }
}

/// Why the vault did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// No usable KEK: no start.
    #[error("no key encryption key: {0}")]
    NoKek(String),
    /// The database was not made by `init`.
    #[error("the database is not initialised; run `mailwarden init` first")]
    NotInitialised,
    /// The database was made before.
    #[error("the database is initialised already; its KEK and operators stand")]
    AlreadyInitialised,
    /// The KEK is another installation's.
    #[error("this KEK does not belong to this database; set vault.kek to the one it was initialised with")]
    WrongKek,
    /// The mailbox has no credential.
    #[error("the mailbox has no credential")]
    NoCredential,
    /// A sealed value was changed or moved.
    #[error("a sealed value does not open: it was changed or moved")]
    Tampered,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for VaultError {
    fn fault(&self) -> Fault {
        match self {
            Self::NoKek(_) | Self::NotInitialised | Self::WrongKek | Self::Tampered => Fault::Internal,
            Self::AlreadyInitialised => Fault::Conflict,
            Self::NoCredential => Fault::Upstream,
            Self::Store(error) => error.fault(),
        }
    }
}

impl Vault {
    /// Binds an empty database to a KEK.
    pub async fn create(store: &Store, kek: Secret<Kek>, clock: &Clock, entropy: &Entropy) -> Result<(), VaultError> {
        if store.installation().await?.is_some() {
            return Err(VaultError::AlreadyInitialised);
        }
        let installation_id = InstallationId::new(clock, entropy).to_string();
        let kek_id = KekId::new(clock, entropy).to_string();
        let proof = proof(&kek, &installation_id, &kek_id);
        Ok(store.install(&InstallationRow { installation_id, kek_id, proof }).await?)
    }

    /// Unlocks the vault of a database with its KEK. Nothing is written, whatever the outcome.
    pub async fn unlock(store: &Store, kek: Secret<Kek>, clock: &Clock, entropy: &Entropy) -> Result<Self, VaultError> {
        let row = store.installation().await?.ok_or(VaultError::NotInitialised)?;
        if !proof_key(&kek).verify(&proof_text(&row.installation_id, &row.kek_id), &row.proof) {
            return Err(VaultError::WrongKek);
        }
        Ok(Self(Arc::new(Parts {
            store: store.clone(),
            kek_id: row.kek_id.parse().map_err(|_| VaultError::Tampered)?,
            wrap: kdf::derive(&kek, b"mailwarden wrap 1"),
            rows: Mac::new(&kdf::derive(&kek, framed(&[b"mailwarden rows 1", row.installation_id.as_bytes()]).as_slice())),
            secrets: Mac::new(&kdf::derive(&kek, b"mailwarden secrets 1")),
            audit: kdf::derive(&kek, b"mailwarden audit 1"),
            installation: row.installation_id,
            clock: clock.clone(),
            entropy: entropy.clone(),
        })))
    }

    /// The key that the audit log's head is MACed with.
    pub fn audit_mac(&self) -> Mac {
        Mac::new(&self.0.audit)
    }

    /// The MAC of a policy row (VL-12).
    pub fn row_mac(&self, table: &str, id: &str, body: &str) -> [u8; 32] {
        self.0.rows.sign(&framed(&[table.as_bytes(), id.as_bytes(), body.as_bytes()]))
    }

    /// Whether a policy row is ours.
    pub fn row_is_ours(&self, table: &str, id: &str, body: &str, mac: &[u8]) -> bool {
        self.0.rows.verify(&framed(&[table.as_bytes(), id.as_bytes(), body.as_bytes()]), mac)
    }

    /// The keyed digest under which a secret of ours is kept (CA-04).
    pub fn digest(&self, purpose: &str, secret: &[u8]) -> [u8; 32] {
        self.0.secrets.sign(&framed(&[purpose.as_bytes(), secret]))
    }

    /// Whether `digest` is that of `secret`, in constant time (CA-05).
    pub fn digest_matches(&self, purpose: &str, secret: &[u8], digest: &[u8; 32]) -> bool {
        self.0.secrets.verify(&framed(&[purpose.as_bytes(), secret]), digest)
    }

    /// Seals a credential and makes it the mailbox's current one. Gives its version.
    pub async fn seal_credential(&self, mailbox: &MailboxId, password: &Secret<Password>) -> Result<i64, VaultError> {
        let parts = &*self.0;
        let version = parts.store.next_version(mailbox.as_str()).await?;
        let dek = Secret::<Dek>::from_bytes(parts.entropy.bytes::<32>().to_vec());
        let seal = |key, purpose| self.aad(key, mailbox, version, purpose);
        let kek_id = parts.kek_id.as_str();
        let sealed = aead::seal(&dek, password, &seal(kek_id, "credential"), &parts.entropy).map_err(|_| VaultError::Tampered)?;
        let wrapped_dek = aead::seal(&parts.wrap, &dek, &seal(kek_id, "dek"), &parts.entropy).map_err(|_| VaultError::Tampered)?;
        let credential = SealedCredential {
            id: CredentialId::new(&parts.clock, &parts.entropy),
            mailbox_id: mailbox.clone(),
            version,
            state: CredentialState::Current,
            kek_id: parts.kek_id.clone(),
            wrapped_dek,
            sealed,
            created_at: parts.clock.now(),
        };
        parts.store.put_credential(&credential).await?;
        Ok(version)
    }

    /// Opens a mailbox's current credential for one login.
    pub async fn lease(&self, mailbox: &MailboxId) -> Result<CredentialLease, VaultError> {
        let parts = &*self.0;
        let row = parts.store.current_credential(mailbox.as_str()).await?.ok_or(VaultError::NoCredential)?;
        let aad = |purpose| self.aad(&row.kek_id, mailbox, row.version, purpose);
        let dek: Secret<Dek> = aead::open(&parts.wrap, &row.wrapped_dek, &aad("dek")).map_err(|_| VaultError::Tampered)?;
        let password = aead::open(&dek, &row.sealed, &aad("credential")).map_err(|_| VaultError::Tampered)?;
        Ok(CredentialLease { password, version: row.version })
    }

    /// Forgets a mailbox's credentials with their DEKs.
    pub async fn shred(&self, mailbox: &MailboxId) -> Result<(), VaultError> {
        Ok(self.0.store.shred_credentials(mailbox.as_str()).await?)
    }

    /// Seals and stores a signing key.
    pub async fn put_signing_key(&self, kid: &str, alg: TokenAlg, key: &Secret<PrivateKey>) -> Result<(), VaultError> {
        let sealed = aead::seal(&self.0.wrap, key, &self.key_aad(kid, alg), &self.0.entropy).map_err(|_| VaultError::Tampered)?;
        let row = SigningKeyRow { kid: kid.to_owned(), alg: alg.as_str().to_owned(), sealed };
        Ok(self.0.store.put_signing_key(&row, self.0.clock.now()).await?)
    }

    /// Opens all signing keys, oldest first.
    pub async fn signing_keys(&self) -> Result<Vec<(String, TokenAlg, Secret<PrivateKey>)>, VaultError> {
        let rows = self.0.store.signing_keys().await?;
        rows.into_iter()
            .map(|row| {
                let alg = TokenAlg::parse(&row.alg).ok_or(VaultError::Tampered)?;
                let key = aead::open(&self.0.wrap, &row.sealed, &self.key_aad(&row.kid, alg)).map_err(|_| VaultError::Tampered)?;
                Ok((row.kid, alg, key))
            })
            .collect()
    }

    fn aad(&self, kek_id: &str, mailbox: &MailboxId, version: i64, purpose: &str) -> Vec<u8> {
        let version = version.to_be_bytes();
        framed(&[self.0.installation.as_bytes(), mailbox.as_str().as_bytes(), &version, purpose.as_bytes(), kek_id.as_bytes()])
    }

    fn key_aad(&self, kid: &str, alg: TokenAlg) -> Vec<u8> {
        framed(&[self.0.installation.as_bytes(), b"signing key", kid.as_bytes(), alg.as_str().as_bytes()])
    }
}

fn proof_key(kek: &Secret<Kek>) -> Mac {
    Mac::new(&kdf::derive(kek, b"mailwarden proof 1"))
}

fn proof_text(installation_id: &str, kek_id: &str) -> Vec<u8> {
    framed(&[installation_id.as_bytes(), kek_id.as_bytes()])
}

fn proof(kek: &Secret<Kek>, installation_id: &str, kek_id: &str) -> Vec<u8> {
    proof_key(kek).sign(&proof_text(installation_id, kek_id)).to_vec()
}
