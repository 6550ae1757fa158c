//! A wrong KEK opens nothing and changes nothing; a ciphertext opens only in its own place.

use tempfile::TempDir;

use crate::crypto::random;
use crate::domain::client::TokenAlg;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::id::MailboxId;
use crate::domain::secret::{Kek, Password, Secret};
use crate::store::Store;
use crate::vault::envelope::{Place, Sealed};
use crate::vault::{Vault, VaultError, kek};

fn key(byte: u8) -> Secret<Kek> {
    Secret::from_bytes(vec![byte; 32])
}

async fn fresh() -> (TempDir, Store, Vault, sqlx::SqlitePool) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("m.db").display());
    let store = Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    let clock = Clock::manual(Timestamp(1_800_000_000_000));
    let vault = Vault::create(store.clone(), key(1), clock, random::system()).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("m.db")).foreign_keys(false);
    let raw = sqlx::SqlitePool::connect_with(options).await.unwrap();
    (folder, store, vault, raw)
}

async fn mailbox(vault: &Vault, raw: &sqlx::SqlitePool, name: &'static str, password: &str) -> MailboxId {
    let id = MailboxId::new(&vault.clock, &vault.entropy);
    sqlx::query("INSERT INTO mailboxes VALUES ($1, $2, 'active', 'good', '{}', 0, 0, x'00')")
        .bind(id.as_str().to_owned())
        .bind(name)
        .execute(raw)
        .await
        .unwrap();
    vault.seal_credential(&id, &Secret::from_text(password.to_owned())).await.unwrap();
    id
}

fn is(password: &Secret<Password>, text: &str) -> bool {
    password.expose(|bytes| bytes == text.as_bytes())
}

#[tokio::test]
async fn vl_04_a_wrong_kek_is_told_clearly_and_the_database_stays_as_it_was() {
    let (folder, store, vault, raw) = fresh().await;
    let clock = vault.clock.clone();
    let before = std::fs::read(folder.path().join("m.db")).unwrap();
    let wrong = Vault::unlock(store.clone(), key(2), clock.clone(), random::system()).await;
    assert!(matches!(&wrong, Err(VaultError::WrongKek)));
    assert_eq!(std::fs::read(folder.path().join("m.db")).unwrap(), before);
    let again = Vault::create(store.clone(), key(2), clock.clone(), random::system()).await;
    assert!(matches!(again, Err(VaultError::AlreadyInitialised)));
    let id = mailbox(&vault, &raw, "a@b", "canary-one").await;
    let unlocked = Vault::unlock(store, key(1), clock, random::system()).await.unwrap();
    assert!(is(unlocked.lease(&id).await.unwrap().password(), "canary-one"));
    for name in ["m.db", "m.db-wal"] {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{name}");
    }
}

#[tokio::test]
async fn vl_01_a_ciphertext_opens_only_in_its_own_place() {
    for (moved, to_other) in [
        (
            "UPDATE credentials SET sealed = other.sealed, wrapped_dek = other.wrapped_dek FROM credentials other \
             WHERE credentials.mailbox_id = $1 AND other.mailbox_id = $2 AND other.state = 'current'",
            true,
        ),
        ("UPDATE credentials SET sealed = wrapped_dek, wrapped_dek = sealed WHERE mailbox_id = $1", false),
        ("UPDATE credentials SET mailbox_id = 'mbx_000000000000' WHERE mailbox_id = $1 AND state = 'current'", false),
        ("UPDATE credentials SET version = version + 10 WHERE mailbox_id = $1", false),
        (
            "UPDATE credentials SET sealed = other.sealed, wrapped_dek = other.wrapped_dek FROM credentials other \
             WHERE credentials.mailbox_id = $1 AND other.mailbox_id = $1 AND other.state = 'previous' AND $1 <> $2",
            false,
        ),
    ] {
        let (_folder, _store, vault, raw) = fresh().await;
        let (one, two) = (mailbox(&vault, &raw, "a@b", "p0").await, mailbox(&vault, &raw, "c@d", "p2").await);
        vault.seal_credential(&one, &Secret::from_text("p1".into())).await.unwrap();
        assert!(is(vault.lease(&one).await.unwrap().password(), "p1"));
        sqlx::query(moved).bind(one.as_str().to_owned()).bind(two.as_str().to_owned()).execute(&raw).await.unwrap();
        let refused = vault.lease(&one).await;
        assert!(matches!(refused, Err(VaultError::DoesNotOpen | VaultError::NoCredential)), "{moved}: {refused:?}");
        assert!(!to_other || is(vault.lease(&two).await.unwrap().password(), "p2"), "the other is as it was");
    }
}

#[tokio::test]
async fn vl_01_a_signing_key_does_not_open_as_another_nor_as_the_checkpoint_key() {
    let (_folder, _store, vault, raw) = fresh().await;
    let key = crate::crypto::sign::generate(TokenAlg::EdDsa).unwrap();
    let (wrapped, sealed) = vault.seal_private_key("kid", TokenAlg::EdDsa, &key).unwrap();
    assert!(vault.open_private_key("kid", TokenAlg::EdDsa, wrapped.clone(), sealed.clone()).is_ok());
    assert!(vault.open_private_key("kid", TokenAlg::Es256, wrapped.clone(), sealed.clone()).is_err());
    assert!(vault.open_private_key("other", TokenAlg::EdDsa, wrapped.clone(), sealed.clone()).is_err());
    let first = vault.checkpoint_signer().await.unwrap();
    assert_eq!(first.public_key(), vault.checkpoint_signer().await.unwrap().public_key(), "it is made once");
    sqlx::query("UPDATE audit_keys SET kid = 'kid', wrapped_dek = $1, sealed = $2")
        .bind(wrapped)
        .bind(sealed)
        .execute(&raw)
        .await
        .unwrap();
    assert!(matches!(vault.checkpoint_signer().await, Err(VaultError::DoesNotOpen)));
}

#[tokio::test]
async fn vl_02_every_version_is_sealed_under_a_key_of_its_own() {
    let (_folder, _store, vault, _raw) = fresh().await;
    let mailbox = MailboxId::new(&vault.clock, &vault.entropy);
    let place = || Place { purpose: "credential", subject: mailbox.as_str(), version: "1".to_owned() };
    let password = Secret::<Password>::from_text("p".into());
    let (one, two) = (
        vault.keys.seal(&place(), &password, &vault.entropy).unwrap(),
        vault.keys.seal(&place(), &password, &vault.entropy).unwrap(),
    );
    // In the same place with the same content, the key of one does not open the other.
    let crossed = Sealed { wrapped_dek: one.wrapped_dek, sealed: two.sealed };
    assert!(vault.keys.open::<Password>(&place(), &crossed).is_err());
}

#[tokio::test]
async fn vl_14_an_unknown_envelope_version_is_named() {
    let (_folder, _store, vault, raw) = fresh().await;
    let id = mailbox(&vault, &raw, "a@b", "p1").await;
    sqlx::raw_sql("UPDATE credentials SET wrapped_dek = CAST(x'02' || substr(wrapped_dek, 2) AS BLOB)")
        .execute(&raw)
        .await
        .unwrap();
    let refused = vault.lease(&id).await.unwrap_err();
    assert!(matches!(refused, VaultError::UnknownFormat(_)), "{refused:?}");
    assert!(refused.to_string().contains("newer version"), "{refused}");
}

#[cfg(unix)]
#[test]
fn vl_03_a_kek_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kek");
    kek::create_file(&path, &random::system()).unwrap();
    assert!(kek::create_file(&path, &random::system()).is_err());
    let reference = format!("file:{}", path.display());
    assert_eq!(kek::load(&reference, &|_| None).unwrap().len(), 32);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(kek::load(&reference, &|_| None).is_err());
    assert!(kek::load("env:K", &|_| Some("ab".into())).is_err());
    assert_eq!(kek::load("env:K", &|_| Some("ab".repeat(32))).unwrap().len(), 32);
    assert!(kek::load("file:", &|_| None).is_err());
}
