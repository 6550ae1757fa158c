//! Who asks: the client proves itself by the one method that it is registered with. Every failure is the same `invalid_client`
//! (CA-06).

mod assertion;
pub(in crate::oauth) mod keys;
mod mtls;
mod registration;
mod secret;

pub use crate::oauth::client_auth::registration::usable;

use crate::domain::client::Client;
use crate::oauth::request::ClientProof;
use crate::oauth::{OauthError, Origin, TokenService};

impl TokenService {
    /// The client, when the proof is good and of its registered method.
    pub(super) async fn authenticate(&self, proof: &ClientProof, origin: &Origin) -> Result<Client, OauthError> {
        match proof {
            ClientProof::Secret { client_id, secret } => self.by_secret(client_id, secret, origin).await,
            ClientProof::Certificate { client_id } => self.by_certificate(client_id, origin).await,
            ClientProof::Assertion { client_id, assertion } => self.by_assertion(client_id.as_deref(), assertion).await,
        }
    }
}
