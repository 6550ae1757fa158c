//! Clients and their secrets.

use std::net::IpAddr;
use std::sync::Arc;

use crate::crypto::encoding::{CLIENT_SECRET, generate};
use crate::domain::client::{Client, ClientSecretRecord, Status, TokenAlg};
use crate::domain::client_auth::{ClientAuth, RequiredBinding};
use crate::domain::clock::Timestamp;
use crate::domain::event::{Actor, EventCode};
use crate::domain::id::{ClientId, ClientSecretId, MailboxId};
use crate::domain::secret::{ClientSecret, Secret};
use crate::domain::session::EndReason;
use crate::registry::secret_uses::SecretUse;
use crate::registry::{Registry, RegistryError, checked_name};
use crate::store::sql;

const PURPOSE: &str = "client-secret";

/// What a new client shall be.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// What people call it.
    pub name: String,
    /// What its tokens are signed with.
    pub token_alg: TokenAlg,
    /// The mailbox meant when a token request names none.
    pub default_mailbox: Option<MailboxId>,
    /// How it proves who it is.
    pub auth: ClientAuth,
    /// What its tokens must be bound to.
    pub required_binding: RequiredBinding,
}
/// The longest overlap of two secrets: 90 days. A secret that is to be replaced must not stay for good.
pub const MAX_OVERLAP_SECS: u32 = 90 * 24 * 3600;

impl Registry {
    /// Registers a client that proves itself by a secret, which is shown this once.
    pub async fn add_client(
        &self,
        by: &Actor,
        name: &str,
        token_alg: TokenAlg,
        default_mailbox: Option<MailboxId>,
    ) -> Result<(Client, Secret<ClientSecret>), RegistryError> {
        let (auth, required_binding) = (ClientAuth::ClientSecret {}, RequiredBinding::None);
        let new = NewClient { name: name.to_owned(), token_alg, default_mailbox, auth, required_binding };
        let (client, secret) = self.register_client(by, new).await?;
        Ok((client, secret.ok_or(RegistryError::Internal("a client with a secret has none"))?))
    }

    /// Registers a client; a secret, where its method needs one, is shown this once.
    pub async fn register_client(
        &self,
        by: &Actor,
        new: NewClient,
    ) -> Result<(Client, Option<Secret<ClientSecret>>), RegistryError> {
        if let Some(mailbox) = &new.default_mailbox {
            self.mailbox_row(mailbox).await?;
        }
        let client = Client {
            id: ClientId::new(&self.clock, &self.entropy),
            name: checked_name(&new.name)?,
            status: Status::Active,
            default_mailbox: new.default_mailbox,
            token_alg: new.token_alg,
            auth: new.auth,
            required_binding: new.required_binding,
            tokens_valid_after: Timestamp(0),
            created_at: self.clock.now(),
        };
        let secret = match client.auth {
            ClientAuth::ClientSecret {} => Some(self.new_secret(&client.id)?),
            ClientAuth::PrivateKeyJwt { .. }
            | ClientAuth::TlsClientAuth { .. }
            | ClientAuth::SelfSignedTlsClientAuth { .. }
            | ClientAuth::WorkloadIdentity { .. } => None,
        };
        let event = Self::event(EventCode::ClientAdded, by).client(&client.id).detail("name", client.name.clone());
        self.record(event.detail("auth", client.auth.as_str())).await?;
        let mut tx = self.store.begin().await?;
        self.add(&mut tx, &client).await?;
        if let Some((record, _)) = &secret {
            self.add(&mut tx, record).await?;
        }
        self.commit(tx).await?;
        Ok((client, secret.map(|(_, secret)| secret)))
    }

    /// All clients.
    pub async fn list_clients(&self) -> Result<Vec<Client>, RegistryError> {
        self.many(sql::CLIENT_LIST, &[]).await
    }

    /// The client with this id or name.
    pub async fn find_client(&self, name: &str) -> Result<Client, RegistryError> {
        // PostgreSQL takes no NUL in a text; no name has one.
        if name.contains('\0') {
            return Err(RegistryError::NotFound("client"));
        }
        let by = if name.parse::<ClientId>().is_ok() { sql::CLIENT_GET } else { sql::CLIENT_BY_NAME };
        let found = self.one::<Client>(by, &[name.into()]).await?.map(|(client, _)| client);
        found.filter(|client| client.status != Status::Removed).ok_or(RegistryError::NotFound("client"))
    }

    /// Makes a further secret; the one before it lives `overlap_secs` longer. Two live at most (CA-17).
    pub async fn rotate_client_secret(
        &self,
        by: &Actor,
        id: &ClientId,
        overlap_secs: u32,
    ) -> Result<Secret<ClientSecret>, RegistryError> {
        if overlap_secs > MAX_OVERLAP_SECS {
            return Err(RegistryError::Invalid("the overlap is 7776000 seconds (90 days) at most"));
        }
        if self.client_row(id).await?.0.auth != (ClientAuth::ClientSecret {}) {
            return Err(RegistryError::Conflict("this client proves itself by another method than a secret"));
        }
        let (record, secret) = self.new_secret(id)?;
        let live = self.live_secrets(id).await?;
        if live.len() > 1 {
            return Err(RegistryError::Conflict("two secrets live already; retire the older one first"));
        }
        let event = Self::event(EventCode::ClientSecretRotated, by).client(id);
        self.record(event.detail("secret", record.id.as_str()).detail("overlap_secs", overlap_secs.to_string()))
            .await?;
        let mut tx = self.store.begin().await?;
        // Locks the client, so that of two rotations at once the second sees what the first did.
        tx.execute(sql::CLIENT_LOCK, &[id.as_str().into()]).await?;
        let now = self.clock.now();
        let mut live = Vec::new();
        for row in tx.rows(sql::SECRET_LIST, &[id.as_str().into()]).await? {
            let found = crate::registry::rows::read::<ClientSecretRecord>(&row, self.vault.row_mac());
            let (found, mac) = found.map_err(|_| RegistryError::Denied)?;
            if found.expires_at.is_none_or(|end| now < end) {
                live.push((found, mac));
            } else {
                tx.execute(sql::SECRET_REMOVE, &[found.id.as_str().into()]).await?;
            }
        }
        if live.len() > 1 {
            return Err(RegistryError::Conflict("two secrets live already; retire the older one first"));
        }
        for (mut old, mac) in live {
            let end = now.plus_secs(i64::from(overlap_secs));
            old.expires_at = Some(old.expires_at.map_or(end, |planned| planned.min(end)));
            self.replace(&mut tx, &old, &mac).await?;
        }
        self.add(&mut tx, &record).await?;
        self.commit(tx).await?;
        Ok(secret)
    }

    /// Retires all secrets but the newest.
    pub async fn retire_client_secrets(&self, by: &Actor, id: &ClientId) -> Result<(), RegistryError> {
        self.client_row(id).await?;
        let secrets = self.list_client_secrets(id).await?;
        let Some((_, older)) = secrets.split_last() else { return Ok(()) };
        self.record(
            Self::event(EventCode::ClientSecretRetired, by).client(id).detail("retired", older.len().to_string()),
        )
        .await?;
        let mut tx = self.store.begin().await?;
        for old in older {
            tx.execute(sql::SECRET_REMOVE, &[old.id.as_str().into()]).await?;
        }
        self.commit(tx).await
    }

    /// A client's secrets, oldest first (never the secret itself).
    pub async fn list_client_secrets(&self, id: &ClientId) -> Result<Vec<ClientSecretRecord>, RegistryError> {
        let mut secrets: Vec<ClientSecretRecord> = self.many(sql::SECRET_LIST, &[id.as_str().into()]).await?;
        // Within one instant the one without a planned end is the newer.
        secrets.sort_by_key(|secret| (secret.created_at, secret.expires_at.is_none()));
        Ok(secrets)
    }

    /// Removes a client, its secrets and its sessions.
    pub async fn remove_client(&self, by: &Actor, id: &ClientId) -> Result<(), RegistryError> {
        let (mut client, mac) = self.client_row(id).await?;
        self.record(Self::event(EventCode::ClientRemoved, by).client(id)).await?;
        client.status = Status::Removed;
        let mut tx = self.store.begin().await?;
        self.replace(&mut tx, &client, &mac).await?;
        tx.execute(sql::SECRET_SHRED, &[id.as_str().into()]).await?;
        self.commit(tx).await?;
        self.sessions.end_where(|info| info.client_id == *id, EndReason::Revoked);
        Ok(())
    }

    /// Refuses all tokens issued up to now to this client and ends its sessions.
    pub async fn revoke_client(&self, by: &Actor, id: &ClientId) -> Result<(), RegistryError> {
        let (mut client, mac) = self.client_row(id).await?;
        self.record(Self::event(EventCode::Revoked, by).client(id)).await?;
        client.tokens_valid_after = self.clock.now();
        let mut tx = self.store.begin().await?;
        self.replace(&mut tx, &client, &mac).await?;
        self.commit(tx).await?;
        self.sessions.end_where(|info| info.client_id == *id, EndReason::Revoked);
        Ok(())
    }

    /// The client, when `secret` is one of its live secrets; its use from `source` is noted. An unknown id takes the same steps as a
    /// wrong secret (CA-06), whether or not the client has been seen lately.
    pub async fn check_client_secret(
        &self,
        id: &ClientId,
        secret: &str,
        source: IpAddr,
    ) -> Result<Client, RegistryError> {
        let (view, seen) = (self.view.proofs(), self.view.proofs().find(id));
        let (client, secrets) = seen.as_deref().map_or((None, &[][..]), |(client, secrets)| (Some(client), secrets));
        if let Some(client) = self.holder(client, secrets, secret, source) {
            return Ok(client.clone());
        }
        let ticket = view.ticket();
        let client = match self.one::<Client>(sql::CLIENT_GET, &[id.as_str().into()]).await {
            Ok(found) => found.map(|(client, _)| client),
            Err(RegistryError::Denied) => None,
            Err(error) => return Err(error),
        };
        let mut secrets: Vec<ClientSecretRecord> = self.many(sql::SECRET_LIST, &[id.as_str().into()]).await?;
        secrets.retain(|record| record.client_id == *id);
        let proven = self.holder(client.as_ref(), &secrets, secret, source);
        let client = proven.cloned().ok_or(RegistryError::Unauthenticated)?;
        view.keep(&ticket, id.clone(), &Arc::new((client.clone(), secrets)));
        Ok(client)
    }

    /// The client, when it is in force and `secret` is a live one of its secrets. At least two are compared.
    fn holder<'a>(
        &self,
        client: Option<&'a Client>,
        secrets: &[ClientSecretRecord],
        secret: &str,
        source: IpAddr,
    ) -> Option<&'a Client> {
        let now = self.clock.now();
        let (mut good, mut compared) = (None, 0);
        for record in secrets {
            let live = record.expires_at.is_none_or(|end| now < end);
            if live & self.vault.digest_matches(PURPOSE, secret, &record.digest) {
                good = Some(&record.id);
            }
            compared += 1;
        }
        for _ in compared..2 {
            if self.vault.digest_matches(PURPOSE, secret, &[0; 32]) {
                good = None;
            }
        }
        let active = client.filter(|client| client.status == Status::Active);
        let (client, used) = active.zip(good)?;
        self.secret_uses.note(used, SecretUse { at: now, source });
        Some(client)
    }

    async fn live_secrets(&self, id: &ClientId) -> Result<Vec<ClientSecretRecord>, RegistryError> {
        let now = self.clock.now();
        let mut live = self.list_client_secrets(id).await?;
        live.retain(|secret| secret.expires_at.is_none_or(|end| now < end));
        Ok(live)
    }

    fn new_secret(&self, client: &ClientId) -> Result<(ClientSecretRecord, Secret<ClientSecret>), RegistryError> {
        let secret: Secret<ClientSecret> = generate(CLIENT_SECRET, &self.entropy);
        let digest = secret.expose_text(|text| self.vault.digest(PURPOSE, text));
        let record = ClientSecretRecord {
            id: ClientSecretId::new(&self.clock, &self.entropy),
            client_id: client.clone(),
            digest: digest.ok_or(RegistryError::Internal("a generated secret is not text"))?,
            created_at: self.clock.now(),
            expires_at: None,
        };
        Ok((record, secret))
    }

    pub(in crate::registry) async fn client_row(&self, id: &ClientId) -> Result<(Client, Vec<u8>), RegistryError> {
        let found = self.one::<Client>(sql::CLIENT_GET, &[id.as_str().into()]).await?;
        found.filter(|(client, _)| client.status != Status::Removed).ok_or(RegistryError::NotFound("client"))
    }
}
