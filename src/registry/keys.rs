//! The keys that sign access tokens, sealed in the vault. The keys of an algorithm stand in a line: each signs from its beginning until
//! the next one begins, so that at every moment exactly one signs.

use crate::crypto::sign::{self, Signer};
use crate::domain::client::TokenAlg;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::{Actor, EventCode};
use crate::domain::signing_key::{KeyState, PUBLISH_AHEAD_SECS, SigningKey};
use crate::registry::{Registry, RegistryError, rows};
use crate::store::{StoreError, Tx, sql};
use crate::vault::key_name;

/// Most keys of one algorithm in the key set: it is read whole by whoever verifies a token.
const MOST_KEYS: usize = 100;

const CHANGED: RegistryError = RegistryError::Conflict("it was changed meanwhile");

/// How a new key takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Once every copy of the key set holds it; nobody notices.
    Planned,
    /// At once. Keys that wait are dropped: they have signed nothing.
    Now,
    /// At once, and the key that signs now is revoked.
    Emergency,
}

impl Rotation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Now => "now",
            Self::Emergency => "emergency",
        }
    }
}

impl Registry {
    /// The clock that the keys' times are read by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The counter that every change of policy moves.
    pub async fn policy_epoch(&self) -> Result<i64, RegistryError> {
        Ok(self.store.policy_epoch().await?)
    }

    /// All signing keys that are good for something or were revoked not long ago, in the order in which they sign.
    pub async fn list_signing_keys(&self) -> Result<Vec<SigningKey>, RegistryError> {
        let now = self.clock.now();
        let mut keys = self.many::<SigningKey>(sql::KEY_LIST, &[]).await?;
        keys.retain(|key| key.state(now).is_some());
        Ok(keys)
    }

    /// Makes the first key of every algorithm that has none. Nodes that start together agree on one each.
    pub async fn ensure_signing_keys(&self) -> Result<(), RegistryError> {
        let known = self.list_signing_keys().await?;
        for alg in [TokenAlg::EdDsa, TokenAlg::Es256] {
            if known.iter().any(|key| key.alg == alg && is_last(key)) {
                continue;
            }
            let key = self.new_key(alg)?;
            self.record_published(&Actor::System, &key, Rotation::Now).await?;
            let mut tx = self.store.begin().await?;
            match self.add(&mut tx, &key).await {
                Ok(()) => self.commit(tx).await?,
                // Another node was faster, or the row that stands there is not ours and only a rotation takes it away.
                Err(RegistryError::Store(StoreError::Conflict)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens a key's private half.
    pub fn open_signing_key(&self, key: &SigningKey) -> Result<Signer, RegistryError> {
        let private = self.vault.open_private_key(&key.kid, key.alg, key.wrapped_dek.clone(), key.sealed.clone())?;
        Signer::from_pkcs8(key.alg, &private).map_err(|_| RegistryError::Internal("a signing key is not usable"))
    }

    /// Makes a new key, which takes over as `how` says (JWT-09). Rows of that algorithm that are not ours go.
    pub async fn rotate_signing_key(
        &self,
        by: &Actor,
        alg: TokenAlg,
        how: Rotation,
    ) -> Result<SigningKey, RegistryError> {
        let known = self.line(alg).await?;
        if known.len() >= MOST_KEYS && how != Rotation::Emergency {
            return Err(RegistryError::Conflict(
                "too many keys of this algorithm are in use; wait until the oldest end",
            ));
        }
        let mut key = self.new_key(alg)?;
        let revoked = match how {
            Rotation::Emergency => active(&known, self.clock.now()).map(|old| old.kid.clone()),
            Rotation::Planned | Rotation::Now => None,
        };
        if let Some(kid) = &revoked {
            self.record(Self::event(EventCode::KeyRevoked, by).detail("kid", kid.as_str())).await?;
        }
        self.record_published(by, &key, how).await?;
        let (mut tx, line) = self.locked_line(alg).await?;
        let now = self.clock.now();
        key.active_from = now;
        for (mut old, mac) in line {
            match (how, old.state(now)) {
                (Rotation::Planned, _) if is_last(&old) => {
                    key.active_from = now.plus_secs(PUBLISH_AHEAD_SECS).max(old.active_from);
                    old.retires_at = Some(key.active_from);
                }
                (Rotation::Now | Rotation::Emergency, Some(KeyState::Published)) => {
                    tx.execute(sql::KEY_REMOVE, &[old.kid.as_str().into()]).await?;
                    continue;
                }
                (Rotation::Now, Some(KeyState::Active)) => old.retires_at = Some(now),
                (Rotation::Emergency, Some(KeyState::Active)) if revoked.as_ref() == Some(&old.kid) => {
                    old.retires_at = Some(now);
                    revoke(&mut old, now);
                }
                (Rotation::Emergency, Some(KeyState::Active)) => return Err(CHANGED),
                _ => continue,
            }
            self.replace(&mut tx, &old, &mac).await?;
        }
        self.add(&mut tx, &key).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// Revokes a key (JWT-10): nothing that it signed is valid any more, and its private half is shredded. What it would have signed the
    /// key before it signs, or the next one, or a new one, so that there is always one that signs.
    pub async fn revoke_signing_key(&self, by: &Actor, kid: &str) -> Result<(), RegistryError> {
        let unknown = RegistryError::NotFound("signing key");
        let found = self.list_signing_keys().await?.into_iter().find(|key| key.kid == kid).ok_or(unknown)?;
        if found.revoked_at.is_some() {
            return Ok(());
        }
        let others: Vec<_> = self.line(found.alg).await?.into_iter().filter(|key| key.kid != kid).collect();
        let fresh = match heir(&found, &others, self.clock.now()) {
            Heir::Fresh => Some(self.new_key(found.alg)?),
            Heir::Nobody | Heir::Before(_) | Heir::Next(_) => None,
        };
        self.record(Self::event(EventCode::KeyRevoked, by).detail("kid", kid)).await?;
        if let Some(fresh) = &fresh {
            self.record_published(by, fresh, Rotation::Emergency).await?;
        }
        let (mut tx, mut line) = self.locked_line(found.alg).await?;
        let now = self.clock.now();
        let at = line.iter().position(|(key, _)| key.kid == kid).ok_or(CHANGED)?;
        let (mut key, mac) = line.remove(at);
        let (others, macs): (Vec<_>, Vec<_>) = line.into_iter().unzip();
        let heir = heir(&key, &others, now);
        revoke(&mut key, now);
        self.replace(&mut tx, &key, &mac).await?;
        match heir {
            Heir::Nobody => {}
            Heir::Before(at) | Heir::Next(at) => {
                let (Some(other), Some(mac)) = (others.get(at), macs.get(at)) else { return Err(CHANGED) };
                let mut other = other.clone();
                match heir {
                    Heir::Before(_) => other.retires_at = key.retires_at,
                    _ => other.active_from = now,
                }
                self.replace(&mut tx, &other, mac).await?;
            }
            Heir::Fresh => {
                let mut fresh = fresh.ok_or(CHANGED)?;
                fresh.active_from = now;
                fresh.retires_at = key.retires_at.filter(|_| others.iter().any(is_last));
                self.add(&mut tx, &fresh).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    async fn line(&self, alg: TokenAlg) -> Result<Vec<SigningKey>, RegistryError> {
        let mut keys = self.list_signing_keys().await?;
        keys.retain(|key| key.alg == alg && key.revoked_at.is_none());
        Ok(keys)
    }

    /// The line of an algorithm with the rows' MACs, for a change that no other change of policy overtakes. Rows whose time is over and
    /// rows that are not ours are taken away.
    async fn locked_line(&self, alg: TokenAlg) -> Result<(Tx, Vec<(SigningKey, Vec<u8>)>), RegistryError> {
        let mut tx = self.store.begin().await?;
        // Locks, and tells the other nodes once it is committed.
        tx.execute(sql::EPOCH_BUMP, &[]).await?;
        let now = self.clock.now();
        let mut line = Vec::new();
        for row in tx.rows(sql::KEY_LIST, &[]).await? {
            let kid = row.text(0)?;
            if row.text(1)? != alg.as_str() {
                continue;
            }
            match rows::read::<SigningKey>(&row, self.vault.row_mac()) {
                Ok((key, mac)) if key.state(now).is_some() => line.push((key, mac)),
                Ok(_) | Err(rows::Tampered) => drop(tx.execute(sql::KEY_REMOVE, &[kid.as_str().into()]).await?),
            }
        }
        line.retain(|(key, _)| key.revoked_at.is_none());
        Ok((tx, line))
    }

    /// A new key that signs from now on.
    fn new_key(&self, alg: TokenAlg) -> Result<SigningKey, RegistryError> {
        let bad = |_| RegistryError::Internal("a signing key could not be made");
        let private = sign::generate(alg).map_err(bad)?;
        let kid = key_name(Signer::from_pkcs8(alg, &private).map_err(bad)?.public_key());
        let (wrapped_dek, sealed) = self.vault.seal_private_key(&kid, alg, &private)?;
        let (kek_id, now) = (self.vault.kek_id().clone(), self.clock.now());
        let (active_from, retires_at, revoked_at) = (now, None, None);
        Ok(SigningKey { kid, alg, kek_id, wrapped_dek, sealed, created_at: now, active_from, retires_at, revoked_at })
    }

    async fn record_published(&self, by: &Actor, key: &SigningKey, how: Rotation) -> Result<(), RegistryError> {
        let event = Self::event(EventCode::KeyPublished, by).detail("kid", key.kid.as_str());
        self.record(event.detail("alg", key.alg.as_str()).detail("rotation", how.as_str())).await
    }
}

/// Whether no key is to follow on it.
fn is_last(key: &SigningKey) -> bool {
    key.retires_at.is_none() && key.revoked_at.is_none()
}

fn active(line: &[SigningKey], now: Timestamp) -> Option<&SigningKey> {
    line.iter().find(|key| key.state(now) == Some(KeyState::Active))
}

/// Who signs what a revoked key would have signed. The numbers are places in the line.
#[derive(Clone, Copy)]
enum Heir {
    Nobody,
    /// The key before it signs on.
    Before(usize),
    /// The next one begins now.
    Next(usize),
    Fresh,
}

fn heir(key: &SigningKey, others: &[SigningKey], now: Timestamp) -> Heir {
    let found = match key.state(now) {
        Some(KeyState::Published) => {
            let is_before = |other: &SigningKey| other.retires_at == Some(key.active_from);
            others.iter().rposition(is_before).map(Heir::Before)
        }
        Some(KeyState::Active) => {
            let waits = |other: &SigningKey| other.state(now) == Some(KeyState::Published);
            others.iter().position(waits).map(Heir::Next)
        }
        Some(KeyState::Retired | KeyState::Revoked) | None => Some(Heir::Nobody),
    };
    found.unwrap_or(Heir::Fresh)
}

fn revoke(key: &mut SigningKey, now: Timestamp) {
    key.revoked_at = Some(now);
    key.wrapped_dek.clear();
    key.sealed.clear();
}
