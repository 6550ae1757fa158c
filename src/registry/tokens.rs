//! The tokens that were issued and have not expired, read off the audit log: nothing further is written for a token.

use std::collections::HashMap;

use crate::audit::record::Record;
use crate::domain::clock::Timestamp;
use crate::domain::fault::{Classify, Fault};
use crate::domain::grant::Grant;
use crate::domain::id::{ClientId, MailboxId};
use crate::domain::token::LATE_SECS;
use crate::registry::{Registry, RegistryError};
use crate::store::sql;

/// Which tokens.
#[derive(Clone, Debug, Default)]
pub struct IssuedFilter {
    /// Only this client's.
    pub client: Option<ClientId>,
    /// Only this mailbox's.
    pub mailbox: Option<MailboxId>,
    /// Only those whose audit record comes after this one.
    pub after_seq: i64,
    /// At most so many records are looked at.
    pub limit: u32,
}

/// A token that was issued, without the token.
#[derive(Clone, Debug)]
pub struct IssuedRecord {
    /// Its audit record.
    pub record: Record,
    /// Its `jti`.
    pub token_id: String,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Whether it opens its mailbox now.
    pub is_active: bool,
}

impl Registry {
    /// The tokens that have not expired, oldest first, and the number of the last audit record that was looked at, if there may be more.
    pub async fn list_tokens(&self, filter: &IssuedFilter) -> Result<(Vec<IssuedRecord>, Option<i64>), RegistryError> {
        let now = self.clock.now();
        let args = [
            oldest(now).0.into(),
            filter.after_seq.into(),
            filter.client.as_ref().map(ClientId::as_str).into(),
            filter.mailbox.as_ref().map(MailboxId::as_str).into(),
            i64::from(filter.limit).into(),
        ];
        let rows = self.store.rows(sql::TOKEN_ISSUED_LIST, &args).await?;
        let mut last = None;
        let mut voids = Voids::default();
        let mut found = Vec::new();
        for row in &rows {
            let record = Record::from_row(row)?;
            last = Some(record.seq);
            let Some((token_id, expires_at)) = told(&record) else { continue };
            if expires_at.plus_secs(LATE_SECS) >= now {
                let is_active = !self.is_revoked(&token_id).await? && !self.is_void(&record, &mut voids).await?;
                found.push(IssuedRecord { record, token_id, expires_at, is_active });
            }
        }
        let is_full = u32::try_from(rows.len()).is_ok_and(|count| count == filter.limit);
        Ok((found, last.filter(|_| is_full)))
    }

    /// The token with this `jti`, if it has not expired.
    pub async fn find_token(&self, token_id: &str) -> Result<IssuedRecord, RegistryError> {
        let now = self.clock.now();
        let is_id =
            token_id.len() == 22 && token_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let like = format!("%\"jti\":\"{token_id}\"%");
        // `_` stands for any character there, so that a row that is found is looked at.
        if !is_id {
            return Err(RegistryError::NotFound("token"));
        }
        let rows = self.store.rows(sql::TOKEN_ISSUED_FIND, &[oldest(now).0.into(), like.as_str().into()]).await?;
        for row in &rows {
            let record = Record::from_row(row)?;
            if let Some((found, expires_at)) = told(&record)
                && found == token_id
                && expires_at.plus_secs(LATE_SECS) >= now
            {
                let is_active =
                    !self.is_revoked(&found).await? && !self.is_void(&record, &mut Voids::default()).await?;
                return Ok(IssuedRecord { record, token_id: found, expires_at, is_active });
            }
        }
        Err(RegistryError::NotFound("token"))
    }

    /// Whether what a token stands on has gone since.
    async fn is_void(&self, record: &Record, known: &mut Voids) -> Result<bool, RegistryError> {
        let place = (record.client_id.clone().unwrap_or_default(), record.mailbox_id.clone().unwrap_or_default());
        if !known.contains_key(&place) {
            let standing = self.standing_of(&place.0, &place.1).await?;
            known.insert(place.clone(), standing);
        }
        Ok(known.get(&place).is_none_or(|standing| standing.is_none_or(|since| record.at <= since)))
    }

    /// From when on tokens of this client for this mailbox count; `None`: there is no grant.
    async fn standing_of(&self, client: &str, mailbox: &str) -> Result<Option<Timestamp>, RegistryError> {
        let stands = async {
            let mailbox = self.find_mailbox(mailbox).await?;
            let client: ClientId = client.parse().map_err(|_| RegistryError::Denied)?;
            self.grant_for(&client, &mailbox.address).await
        };
        match stands.await {
            Ok((client, mailbox, _)) => Ok(Some(client.tokens_valid_after.max(mailbox.tokens_valid_after))),
            Err(error) if matches!(error.fault(), Fault::Unavailable | Fault::Internal) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

/// What was found out already, by client and mailbox.
type Voids = HashMap<(String, String), Option<Timestamp>>;

/// No token that was issued before this is alive.
fn oldest(now: Timestamp) -> Timestamp {
    now.plus_secs(-(i64::from(Grant::MAX_TOKEN_TTL_SECS) + LATE_SECS))
}

/// The `jti` and the end that a record tells of.
fn told(record: &Record) -> Option<(String, Timestamp)> {
    let expires_at = Timestamp::parse_rfc3339(record.detail.get("expires_at")?)?;
    Some((record.detail.get("jti")?.clone(), expires_at))
}
