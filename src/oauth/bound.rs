//! Tokens that are bound: what of it is shown along with them is looked at here, for every door (RFC 8705 section 3).

use crate::crypto::encoding::base64url;
use crate::crypto::hash::sha256;
use crate::domain::token::{Binding, Claims};
use crate::oauth::TokenService;
use crate::oauth::verify::TokenRejected;

/// `x5t#S256` of a certificate's DER.
pub fn thumbprint(certificate: &[u8]) -> String {
    base64url(&sha256(certificate))
}

/// Whether what `claims` are bound to was shown: `certificates` are those of the very TLS connection that the token came over, leaf
/// first. A token that is bound to a DPoP key is none of a door where there are no proofs (JWT-12).
pub fn check_binding(claims: &Claims, certificates: &[Vec<u8>]) -> Result<(), TokenRejected> {
    match &claims.binding {
        None => Ok(()),
        Some(Binding::Mtls(bound)) => match certificates.first() {
            Some(leaf) if thumbprint(leaf) == *bound => Ok(()),
            _ => Err(TokenRejected::Certificate),
        },
        Some(Binding::Dpop(_)) => Err(TokenRejected::Proof),
    }
}

impl TokenService {
    /// What a token says, if it is good and, where it is bound to a certificate, that one was shown on the same connection.
    pub fn verify_bound(&self, token: &str, certificates: &[Vec<u8>]) -> Result<Claims, TokenRejected> {
        let claims = self.verify(token)?;
        check_binding(&claims, certificates)?;
        Ok(claims)
    }
}
