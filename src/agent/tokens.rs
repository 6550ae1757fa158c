//! The agent's tokens: one for each mailbox, renewed when half of its life is over.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::agent::oauth::{OauthClient, OauthClientError, Wanted};
use crate::domain::address::MailAddress;
use crate::domain::secret::{Password, Secret};
use crate::upstream::UpstreamError;

/// Gets tokens and keeps them while they are young.
#[derive(Debug)]
pub struct Tokens {
    client: OauthClient,
    scope: Option<String>,
    kept: Mutex<HashMap<MailAddress, Kept>>,
}

#[derive(Clone, Debug)]
struct Kept {
    token: Arc<Secret<Password>>,
    renew_at: Instant,
}

/// Why the gateway was not opened.
#[derive(Debug, thiserror::Error)]
pub(in crate::agent) enum NotOpened {
    #[error("no token: {0}")]
    NoToken(#[from] OauthClientError),
    #[error("no login at the gateway: {0}")]
    Gateway(#[from] UpstreamError),
}

impl Tokens {
    /// Tokens of `client`, for these scopes or all that are granted.
    pub fn new(client: OauthClient, scope: Option<String>) -> Self {
        Self { client, scope, kept: Mutex::default() }
    }

    /// Asks for a token of `mailbox` now, so that what is wrong is known before a tool comes.
    pub async fn prove(&self, mailbox: &MailAddress) -> Result<(), OauthClientError> {
        self.token(mailbox).await.map(drop)
    }

    /// Runs `login` with a token. A token that was kept and is refused may have been revoked: a new one is tried, once.
    pub(in crate::agent) async fn log_in<T, F>(
        &self,
        mailbox: &MailAddress,
        login: impl Fn(Arc<Secret<Password>>) -> F + Send,
    ) -> Result<T, NotOpened>
    where
        F: Future<Output = Result<T, UpstreamError>> + Send,
    {
        let (token, is_new) = self.token(mailbox).await?;
        match login(Arc::clone(&token)).await {
            Err(UpstreamError::Refused) if !is_new => {
                self.forget(mailbox, &token).await;
                let (token, _) = self.token(mailbox).await?;
                Ok(login(token).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// A token, and whether it was got just now. Connections that come together share one request.
    async fn token(&self, mailbox: &MailAddress) -> Result<(Arc<Secret<Password>>, bool), OauthClientError> {
        let mut kept = self.kept.lock().await;
        if let Some(found) = kept.get(mailbox).filter(|found| Instant::now() < found.renew_at) {
            return Ok((Arc::clone(&found.token), false));
        }
        let asked_at = Instant::now();
        let wanted = Wanted { mailbox: Some(mailbox.clone()), scope: self.scope.clone(), handle: None };
        let issued = self.client.token(&wanted).await?;
        let token = Arc::new(Secret::from_bytes(issued.token.expose(<[u8]>::to_vec)));
        let renew_at = asked_at + issued.expires_in / 2;
        kept.insert(mailbox.clone(), Kept { token: Arc::clone(&token), renew_at });
        Ok((token, true))
    }

    async fn forget(&self, mailbox: &MailAddress, token: &Arc<Secret<Password>>) {
        let mut kept = self.kept.lock().await;
        if kept.get(mailbox).is_some_and(|found| Arc::ptr_eq(&found.token, token)) {
            kept.remove(mailbox);
        }
    }
}
