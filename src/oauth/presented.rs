//! A token shown to an HTTP resource: whose it is, whether it still stands, and whether who shows it may (RFC 6750, RFC 8705 section 3,
//! RFC 9449 section 7). Resources describe themselves by RFC 9728.

use serde_json::json;

use crate::crypto::encoding::base64url;
use crate::crypto::hash::sha256;
use crate::domain::client_auth::RequiredBinding;
use crate::domain::event::Actor;
use crate::domain::token::{Binding, Claims};
use crate::oauth::dpop::{ALGS, Occasion};
use crate::oauth::{OauthError, Origin, TokenService};

/// The resource for tool tokens, below the issuer. Its identifier is its URL.
const RESOURCE: &str = "/me";

/// A token in an HTTP request.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// How it is shown.
    pub scheme: Scheme,
    /// The token.
    pub token: &'a str,
    /// The proof that comes with it.
    pub proof: Option<&'a str>,
    /// The request's method.
    pub method: &'a str,
    /// The request's path.
    pub path: &'a str,
}

/// The scheme of the `Authorization` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Whoever has the token may use it (RFC 6750), or whoever has the certificate too (RFC 8705).
    Bearer,
    /// Whoever has the key too (RFC 9449).
    Dpop,
}

/// Why a token opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// The token, or who shows it, is not the right one.
    #[error("{0}")]
    InvalidToken(&'static str),
    /// The proof is not good, or something does not answer.
    #[error(transparent)]
    Oauth(#[from] OauthError),
}

const INVALID: NotAdmitted = NotAdmitted::InvalidToken("the token is not valid, or no longer");

impl NotAdmitted {
    /// The `error` code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidToken(_) => "invalid_token",
            Self::Oauth(error) => error.code(),
        }
    }

    /// Whether it is the token or its proof that is wrong: not our failure, nor a step of the protocol.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::InvalidToken(_) | Self::Oauth(OauthError::InvalidDpopProof(_)))
    }
}

impl TokenService {
    /// What a token says that is shown by whom it is bound to, and whose grant stands. A refusal is recorded and counts: a source that
    /// is refused often hears that it has to wait, and costs no further record. A good token is served from there all the same.
    pub async fn admit(&self, shown: &Presented<'_>, origin: &Origin) -> Result<Claims, NotAdmitted> {
        let (error, client) = match self.verify(shown.token) {
            Ok(claims) => match self.check_shown(&claims, shown, origin).await {
                Ok(()) => return Ok(claims),
                Err(error) => (error, Some(claims.client_id)),
            },
            Err(_) => (INVALID, None),
        };
        if error.is_refusal() {
            let counted = self.0.unfit.count(origin.source, self.0.clock.now());
            counted.map_err(|retry_after| OauthError::SlowDown { retry_after })?;
            self.record_refusal(error.code(), Actor::Anonymous, client, origin).await?;
        }
        Err(error)
    }

    /// Whether the token of these claims still stands, and is shown by whom and where it may be.
    async fn check_shown(&self, claims: &Claims, shown: &Presented<'_>, origin: &Origin) -> Result<(), NotAdmitted> {
        let stands = self.0.registry.standing(claims).await;
        let found = stands.map_err(|error| match OauthError::of(&error, OauthError::InvalidTarget) {
            OauthError::InvalidTarget => INVALID,
            other => other.into(),
        })?;
        if !found.bounds.allow_source(origin.source) {
            return Err(INVALID);
        }
        let required = found.client.required_binding;
        match (&claims.binding, shown.scheme) {
            (Some(Binding::Dpop(key)), Scheme::Dpop) => {
                self.check_possession(key, shown, required == RequiredBinding::Dpop).await?;
            }
            (Some(Binding::Dpop(_)), Scheme::Bearer) => {
                return Err(NotAdmitted::InvalidToken("the token is bound to a key: show it as DPoP, with a proof"));
            }
            (Some(Binding::Mtls(thumbprint)), Scheme::Bearer) if is_certificate(thumbprint, origin) => (),
            (Some(Binding::Mtls(_)), _) => {
                return Err(NotAdmitted::InvalidToken("the token is bound to a TLS certificate that was not shown"));
            }
            (None, Scheme::Bearer) if required == RequiredBinding::None => (),
            (None, Scheme::Bearer) => return Err(NotAdmitted::InvalidToken("this client's tokens have to be bound")),
            (None, Scheme::Dpop) => {
                return Err(NotAdmitted::InvalidToken("the token is bound to no key: show it as Bearer"));
            }
        }
        Ok(())
    }

    async fn check_possession(&self, key: &str, shown: &Presented<'_>, needs_nonce: bool) -> Result<(), NotAdmitted> {
        let proof = shown.proof.ok_or(OauthError::InvalidDpopProof("a DPoP header with a proof is needed"))?;
        let url = self.url_of(shown.path);
        let occasion = Occasion { method: shown.method, url: &url, token: Some(shown.token), needs_nonce };
        let proof = self.check_proof(proof, &occasion)?;
        if proof.thumbprint != key {
            return Err(NotAdmitted::InvalidToken("the token is bound to another key than the proof's"));
        }
        Ok(self.use_proof(&proof).await?)
    }

    /// The URL of one of our paths by the settings: the host that a request names is a stranger's word.
    pub(super) fn url_of(&self, path: &str) -> String {
        match path.strip_prefix("/oauth") {
            Some(rest) => format!("{}{rest}", self.0.issuer),
            None => format!("{}{path}", self.base()),
        }
    }

    /// Where the paths begin.
    fn base(&self) -> &str {
        self.0.issuer.strip_suffix("/oauth").unwrap_or(&self.0.issuer)
    }

    /// Where the metadata of the resource for tool tokens is (RFC 9728 section 3.1): what challenges name.
    pub fn resource_metadata_url(&self) -> String {
        self.url_of(&format!("/.well-known/oauth-protected-resource/oauth{RESOURCE}"))
    }

    /// The metadata of the resource for tool tokens (RFC 9728). Depends on the settings only.
    pub fn resource_metadata(&self) -> serde_json::Value {
        let scopes: Vec<_> = crate::domain::scope::Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        json!({
            "resource": format!("{}{RESOURCE}", self.0.issuer),
            "authorization_servers": [self.0.issuer],
            "scopes_supported": scopes,
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": ALGS,
            // By each client's registration.
            "dpop_bound_access_tokens_required": false,
        })
    }
}

/// Whether the peer showed the certificate with this `x5t#S256`.
fn is_certificate(thumbprint: &str, origin: &Origin) -> bool {
    origin.certificates.first().is_some_and(|leaf| base64url(&sha256(leaf)) == thumbprint)
}
