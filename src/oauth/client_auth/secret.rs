//! `client_secret_basic` and `client_secret_post` (RFC 6749 section 2.3.1).

use crate::domain::client::Client;
use crate::domain::client_auth::ClientAuth;
use crate::domain::id::ClientId;
use crate::domain::secret::{ClientSecret, Secret};
use crate::oauth::{OauthError, Origin, TokenService};

impl TokenService {
    pub(super) async fn by_secret(
        &self,
        id: &str,
        secret: &Secret<ClientSecret>,
        origin: &Origin,
    ) -> Result<Client, OauthError> {
        let id: ClientId = id.parse().map_err(|_| OauthError::InvalidClient)?;
        let secret = secret.expose_text(str::to_owned).map(zeroize::Zeroizing::new);
        let secret = secret.ok_or(OauthError::InvalidClient)?;
        let checked = self.0.registry.check_client_secret(&id, &secret, origin.source).await;
        let client = checked.map_err(|error| OauthError::of(&error, OauthError::InvalidClient))?;
        if client.auth == (ClientAuth::ClientSecret {}) { Ok(client) } else { Err(OauthError::InvalidClient) }
    }
}
