//! A wrong KEK opens nothing and changes nothing; a ciphertext opens only in its own place.

use tempfile::TempDir;

use crate::crypto::random;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::id::MailboxId;
use crate::domain::secret::{Kek, Password, Secret};
use crate::store::Store;
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
    let raw = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::raw_sql("PRAGMA foreign_keys = OFF").execute(&raw).await.unwrap();
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
async fn a_wrong_kek_is_told_clearly_and_the_database_stays_as_it_was() {
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
async fn a_ciphertext_opens_only_in_its_own_place() {
    let (_folder, _store, vault, raw) = fresh().await;
    let (one, two) = (mailbox(&vault, &raw, "a@b", "p1").await, mailbox(&vault, &raw, "c@d", "p2").await);
    let statement = "UPDATE credentials SET sealed = (SELECT sealed FROM credentials WHERE mailbox_id = $2), \
        wrapped_dek = (SELECT wrapped_dek FROM credentials WHERE mailbox_id = $2) WHERE mailbox_id = $1";
    sqlx::query(statement).bind(one.as_str().to_owned()).bind(two.as_str().to_owned()).execute(&raw).await.unwrap();
    assert!(matches!(vault.lease(&one).await, Err(VaultError::DoesNotOpen)));
    assert!(is(vault.lease(&two).await.unwrap().password(), "p2"));
    vault.seal_credential(&two, &Secret::from_text("p3".into())).await.unwrap();
    assert!(is(vault.lease(&two).await.unwrap().password(), "p3"));
    sqlx::raw_sql("UPDATE credentials SET sealed = x'02aabb'").execute(&raw).await.unwrap();
    assert!(matches!(vault.lease(&two).await, Err(VaultError::DoesNotOpen)));
}

#[cfg(unix)]
#[test]
fn a_kek_file_that_others_may_read_is_refused() {
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
