//! Keeps the credentials: each version sealed under its own DEK, each DEK wrapped under the KEK, all bound to their place.

mod checkpoint_key;
mod envelope;
pub mod kek;

#[cfg(test)]
mod tests;

pub use crate::crypto::sign::key_name;

use std::sync::Arc;

use crate::audit::Audit;
use crate::crypto::hash::{Mac, framed};
use crate::crypto::kdf::derive;
use crate::domain::client::TokenAlg;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::credential::{CredentialState, SealedCredential};
use crate::domain::entropy::Entropy;
use crate::domain::fault::{Classify, Fault};
use crate::domain::id::{CredentialId, InstallationId, KekId, MailboxId};
use crate::domain::secret::{Kek, MacKey, Password, PrivateKey, Secret};
use crate::store::value::{Row, Value};
use crate::store::{Store, StoreError, Tx, sql};
use crate::vault::envelope::{Place, Sealed};

/// The vault cannot be opened, or something in it does not open.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The KEK cannot be read.
    #[error("key encryption key is not usable: {0}")]
    KekUnusable(String),
    /// This database was made with another KEK.
    #[error("this is not the key encryption key that the database was made with; nothing was changed")]
    WrongKek,
    /// The database holds no installation yet.
    #[error("the database is not initialised; run `mailwarden init`")]
    NotInitialised,
    /// The database holds an installation already.
    #[error("the database is initialised already")]
    AlreadyInitialised,
    /// The mailbox has no credential.
    #[error("the mailbox has no credential")]
    NoCredential,
    /// A sealed value does not open in the place where it was found.
    #[error("a sealed value does not open: it was changed, moved, or has an unknown format")]
    DoesNotOpen,
    /// A sealed value has an envelope format that this version does not know.
    #[error(
        "a sealed value has the envelope format {0}, which this version does not know; a newer version may have written it"
    )]
    UnknownFormat(u8),
    /// A private key cannot be made or read.
    #[error("the checkpoint key is not usable")]
    KeyUnusable,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for VaultError {
    fn fault(&self) -> Fault {
        match self {
            Self::KekUnusable(_) | Self::WrongKek | Self::NotInitialised => Fault::Unavailable,
            Self::AlreadyInitialised => Fault::Conflict,
            Self::NoCredential | Self::DoesNotOpen | Self::UnknownFormat(_) | Self::KeyUnusable => Fault::Internal,
            Self::Store(error) => error.fault(),
        }
    }
}

/// A handle to the unlocked vault; cheap to clone.
#[derive(Clone, Debug)]
pub struct Vault {
    store: Store,
    keys: Arc<Keys>,
    clock: Clock,
    entropy: Entropy,
}

#[derive(Debug)]
struct Keys {
    installation: InstallationId,
    kek_id: KekId,
    /// Derived from the KEK for this installation: the KEK itself is dropped after unlocking.
    wrapping: Secret<Kek>,
    audit: Secret<MacKey>,
    rows: Mac,
    digests: Mac,
}

/// A password on loan, for one login. Wiped on drop.
#[derive(Debug)]
pub struct CredentialLease {
    version: i64,
    password: Secret<Password>,
}

impl CredentialLease {
    /// The password.
    pub fn password(&self) -> &Secret<Password> {
        &self.password
    }

    /// Which version of the mailbox's credential it is.
    pub fn version(&self) -> i64 {
        self.version
    }
}

impl Vault {
    /// Makes a new installation in an empty, migrated database.
    pub async fn create(store: Store, kek: Secret<Kek>, clock: Clock, entropy: Entropy) -> Result<Self, VaultError> {
        let installation = InstallationId::new(&clock, &entropy);
        let kek_id = KekId::new(&clock, &entropy);
        let check = kek_check(&kek, &installation, &kek_id);
        let mut tx = store.begin().await?;
        if tx.row(sql::INSTALLATION_GET, &[]).await?.is_some() {
            return Err(VaultError::AlreadyInitialised);
        }
        let row = [installation.as_str().into(), kek_id.as_str().into(), check.as_slice().into(), clock.now().0.into()];
        tx.execute(sql::INSTALLATION_ADD, &row).await?;
        let vault = Self { store, keys: Arc::new(Keys::derive(&kek, installation, kek_id)), clock, entropy };
        Audit::create_head(&mut tx, &vault.keys.audit).await?;
        tx.commit().await?;
        Ok(vault)
    }

    /// Unlocks the installation in the database. Reads only: a wrong KEK changes nothing.
    pub async fn unlock(store: Store, kek: Secret<Kek>, clock: Clock, entropy: Entropy) -> Result<Self, VaultError> {
        let row = store.row(sql::INSTALLATION_GET, &[]).await?.ok_or(VaultError::NotInitialised)?;
        let installation: InstallationId = row.text(0)?.parse().map_err(|_| VaultError::WrongKek)?;
        let kek_id: KekId = row.text(1)?.parse().map_err(|_| VaultError::WrongKek)?;
        let check = Mac::new(&derive::<Kek, MacKey>(&kek, b"mailwarden/1 check"));
        if !check.verify(&framed(&[installation.as_str().as_bytes(), kek_id.as_str().as_bytes()]), &row.blob(2)?) {
            return Err(VaultError::WrongKek);
        }
        Ok(Self { store, keys: Arc::new(Keys::derive(&kek, installation, kek_id)), clock, entropy })
    }

    /// The installation's id.
    pub fn installation(&self) -> &InstallationId {
        &self.keys.installation
    }

    /// The key of the audit chain's head.
    pub fn audit_key(&self) -> &Secret<MacKey> {
        &self.keys.audit
    }

    /// The key for the MACs of policy rows.
    pub fn row_mac(&self) -> &Mac {
        &self.keys.rows
    }

    /// A keyed digest of `text`, for what must be recognised and never shown again. `purpose` keeps uses apart.
    pub fn digest(&self, purpose: &str, text: &str) -> [u8; 32] {
        self.keys.digests.sign(&framed(&[purpose.as_bytes(), text.as_bytes()]))
    }

    /// Whether `digest` is that of `text`, in constant time.
    pub fn digest_matches(&self, purpose: &str, text: &str, digest: &[u8]) -> bool {
        self.keys.digests.verify(&framed(&[purpose.as_bytes(), text.as_bytes()]), digest)
    }

    /// Seals `password` as the mailbox's next version and makes it current. The one before it is kept, older ones are shredded.
    pub async fn seal_credential(&self, mailbox: &MailboxId, password: &Secret<Password>) -> Result<i64, VaultError> {
        let mut tx = self.store.begin().await?;
        let version = self.seal_credential_in(&mut tx, mailbox, password).await?;
        tx.commit().await?;
        Ok(version)
    }

    /// The same, as part of a larger change.
    pub async fn seal_credential_in(
        &self,
        tx: &mut Tx,
        mailbox: &MailboxId,
        password: &Secret<Password>,
    ) -> Result<i64, VaultError> {
        let key = [mailbox.as_str().into()];
        let version = tx.row(sql::CREDENTIAL_TOP, &key).await?.map_or(Ok(0), |row| row.int(0))? + 1;
        let sealed = self.keys.seal(&self.credential_place(mailbox, version), password, &self.entropy)?;
        tx.execute(sql::CREDENTIAL_PRUNE, &key).await?;
        tx.execute(sql::CREDENTIAL_DEMOTE, &key).await?;
        let credential = SealedCredential {
            id: CredentialId::new(&self.clock, &self.entropy),
            mailbox_id: mailbox.clone(),
            version,
            state: CredentialState::Current,
            kek_id: self.keys.kek_id.clone(),
            wrapped_dek: sealed.wrapped_dek,
            sealed: sealed.sealed,
            created_at: self.clock.now(),
        };
        tx.execute(sql::CREDENTIAL_ADD, &credential_values(&credential)).await?;
        Ok(version)
    }

    /// Opens the mailbox's current credential for one login.
    pub async fn lease(&self, mailbox: &MailboxId) -> Result<CredentialLease, VaultError> {
        let row = self
            .store
            .row(sql::CREDENTIAL_LATEST, &[mailbox.as_str().into()])
            .await?
            .ok_or(VaultError::NoCredential)?;
        let credential = read_credential(&row)?;
        let sealed = Sealed { wrapped_dek: credential.wrapped_dek, sealed: credential.sealed };
        let password = self.keys.open(&self.credential_place(mailbox, credential.version), &sealed)?;
        Ok(CredentialLease { version: credential.version, password })
    }

    /// Which version of the mailbox's credential is current now, without opening it.
    pub async fn credential_version(&self, mailbox: &MailboxId) -> Result<Option<i64>, VaultError> {
        let row = self.store.row(sql::CREDENTIAL_VERSION, &[mailbox.as_str().into()]).await?;
        Ok(row.map(|row| row.int(0)).transpose()?)
    }

    /// Seals a signing key for the place `kid`: the wrapped DEK and the sealed key.
    pub fn seal_private_key(
        &self,
        kid: &str,
        alg: TokenAlg,
        key: &Secret<PrivateKey>,
    ) -> Result<(Vec<u8>, Vec<u8>), VaultError> {
        let sealed = self.keys.seal(&self.key_place(kid, alg), key, &self.entropy)?;
        Ok((sealed.wrapped_dek, sealed.sealed))
    }

    /// Opens what [`Vault::seal_private_key`] sealed for the same `kid` and algorithm.
    pub fn open_private_key(
        &self,
        kid: &str,
        alg: TokenAlg,
        wrapped_dek: Vec<u8>,
        sealed: Vec<u8>,
    ) -> Result<Secret<PrivateKey>, VaultError> {
        self.keys.open(&self.key_place(kid, alg), &Sealed { wrapped_dek, sealed })
    }

    /// The id of the KEK in use.
    pub fn kek_id(&self) -> &KekId {
        &self.keys.kek_id
    }

    fn credential_place<'a>(&'a self, mailbox: &'a MailboxId, version: i64) -> Place<'a> {
        Place { purpose: "credential", subject: mailbox.as_str(), version: version.to_string() }
    }

    fn key_place<'a>(&'a self, kid: &'a str, alg: TokenAlg) -> Place<'a> {
        Place { purpose: "signing-key", subject: kid, version: alg.as_str().to_owned() }
    }
}

impl Keys {
    fn derive(kek: &Secret<Kek>, installation: InstallationId, kek_id: KekId) -> Self {
        let info = |purpose: &str| framed(&[b"mailwarden/1", purpose.as_bytes(), installation.as_str().as_bytes()]);
        Self {
            wrapping: derive(kek, &info("wrap")),
            audit: derive(kek, &info("audit")),
            rows: Mac::new(&derive(kek, &info("rows"))),
            digests: Mac::new(&derive(kek, &info("digests"))),
            installation,
            kek_id,
        }
    }

    fn seal<K>(&self, place: &Place<'_>, plain: &Secret<K>, entropy: &Entropy) -> Result<Sealed, VaultError> {
        envelope::seal(&self.wrapping, (&self.installation, &self.kek_id), place, plain, entropy)
    }

    fn open<K>(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Secret<K>, VaultError> {
        envelope::open(&self.wrapping, (&self.installation, &self.kek_id), place, sealed)
    }
}

fn kek_check(kek: &Secret<Kek>, installation: &InstallationId, kek_id: &KekId) -> [u8; 32] {
    let key: Secret<MacKey> = derive(kek, b"mailwarden/1 check");
    Mac::new(&key).sign(&framed(&[installation.as_str().as_bytes(), kek_id.as_str().as_bytes()]))
}

fn credential_values(credential: &SealedCredential) -> Vec<Value> {
    vec![
        credential.id.as_str().into(),
        credential.mailbox_id.as_str().into(),
        credential.version.into(),
        credential.state.as_str().into(),
        credential.kek_id.as_str().into(),
        credential.wrapped_dek.as_slice().into(),
        credential.sealed.as_slice().into(),
        credential.created_at.0.into(),
    ]
}

fn read_credential(row: &Row) -> Result<SealedCredential, VaultError> {
    Ok(SealedCredential {
        id: row.text(0)?.parse().map_err(|_| VaultError::DoesNotOpen)?,
        mailbox_id: row.text(1)?.parse().map_err(|_| VaultError::DoesNotOpen)?,
        version: row.int(2)?,
        state: CredentialState::parse(&row.text(3)?).ok_or(VaultError::DoesNotOpen)?,
        kek_id: row.text(4)?.parse().map_err(|_| VaultError::DoesNotOpen)?,
        wrapped_dek: row.blob(5)?,
        sealed: row.blob(6)?,
        created_at: Timestamp(row.int(7)?),
    })
}
