//! Handles: kept as keyed digests, found by them, swept when they are over.

use std::net::IpAddr;
use std::time::Duration;

use crate::crypto::encoding::{HANDLE, is_well_formed_short};
use crate::domain::handle::Handle;
use crate::domain::id::ClientId;
use crate::domain::session::Protocol;
use crate::domain::token::{Claims, LATE_SECS};
use crate::registry::{Registry, RegistryError};
use crate::store::sql;

const PURPOSE: &str = "handle";
/// How often what is over is removed.
const SWEEP: Duration = Duration::from_secs(60);

/// The keyed digest of a text that has a handle's form.
#[derive(Clone, Copy, Debug)]
pub struct HandleDigest([u8; 32]);

impl HandleDigest {
    /// What names the handle in records, as `jti` names a token: 22 characters.
    pub fn token_id(&self) -> String {
        let (head, _) = self.0.split_at(16);
        crate::crypto::encoding::base64url(head)
    }

    /// The digest itself.
    pub fn as_bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl Registry {
    /// The digest of `text`; `None` when it has not the form of a handle.
    pub fn handle_digest(&self, text: &str) -> Option<HandleDigest> {
        is_well_formed_short(HANDLE, text).then(|| HandleDigest(self.vault.digest(PURPOSE, text)))
    }

    /// Keeps a new handle. Its issue is on record already.
    pub async fn add_handle(&self, handle: &Handle) -> Result<(), RegistryError> {
        let mut tx = self.store.begin().await?;
        self.add(&mut tx, handle).await?;
        Ok(tx.commit().await?)
    }

    /// What the handle says, as a token's claims do, if it is shown by its protocol and from its networks and its own grant stands. The
    /// database compares keyed digests, whose timing tells nothing about the handle.
    pub async fn open_handle(
        &self,
        digest: &HandleDigest,
        protocol: Protocol,
        source: IpAddr,
    ) -> Result<Claims, RegistryError> {
        let handle = self.handle(digest).await?;
        let source = source.to_canonical();
        let is_near = handle.networks.as_ref().is_none_or(|list| list.iter().any(|network| network.contains(&source)));
        if handle.protocol != protocol || !is_near {
            return Err(RegistryError::Denied);
        }
        self.said_by(handle, digest).await
    }

    /// What the handle says, wherever it may be shown, if its own grant stands: for who asks about it.
    pub async fn read_handle(&self, digest: &HandleDigest) -> Result<Claims, RegistryError> {
        self.said_by(self.handle(digest).await?, digest).await
    }

    async fn said_by(&self, handle: Handle, digest: &HandleDigest) -> Result<Claims, RegistryError> {
        let mailbox = self.mailbox_row(&handle.mailbox_id).await.map_err(gone)?.0.address;
        let (.., grant) = self.grant_for(&handle.client_id, &mailbox).await?;
        if grant.id != handle.grant_id {
            return Err(RegistryError::Denied);
        }
        Ok(Claims {
            client_id: handle.client_id,
            mailbox,
            scopes: handle.scopes,
            issued_at: handle.issued_at,
            expires_at: handle.expires_at,
            token_id: digest.token_id(),
            binding: None,
            source: None,
            details: None,
        })
    }

    /// Whose handle it is, while it lives.
    pub async fn handle_owner(&self, digest: &HandleDigest) -> Result<ClientId, RegistryError> {
        self.handle(digest).await.map(|handle| handle.client_id)
    }

    /// Removes what is over, now and then. Runs until it is dropped.
    pub async fn sweep_handles(&self) {
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = self.sweep_handles_once().await {
                tracing::warn!(%error, "expired handles could not be removed");
            }
        }
    }

    pub(in crate::registry) async fn sweep_handles_once(&self) -> Result<u64, RegistryError> {
        let mut tx = self.store.begin().await?;
        let over = self.clock.now().plus_secs(-LATE_SECS - 1);
        let removed = tx.execute(sql::HANDLE_SWEEP, &[over.0.into()]).await?;
        tx.commit().await?;
        Ok(removed)
    }

    async fn handle(&self, digest: &HandleDigest) -> Result<Handle, RegistryError> {
        let found = self.one::<Handle>(sql::HANDLE_GET, &[digest.0.as_slice().into()]).await?;
        let living = |handle: &Handle| self.clock.now().as_secs() <= handle.expires_at.as_secs() + LATE_SECS;
        found.map(|(handle, _)| handle).filter(living).ok_or(RegistryError::Denied)
    }
}

/// A mailbox that is not there any more opens to nobody.
fn gone(error: RegistryError) -> RegistryError {
    match error {
        RegistryError::NotFound(_) => RegistryError::Denied,
        other => other,
    }
}
