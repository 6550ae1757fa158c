//! Client assertions (RFC 7523 section 3): `private_key_jwt`, and tokens of the platform that a tool runs on.
//!
//! A platform gives its token to a tool again and again until it expires, so single use cannot be asked of it: it proves the client for
//! as long as it lives.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::crypto::verify::ClientAlg;
use crate::domain::client::{Client, Status};
use crate::domain::client_auth::{ClientAuth, KeySource};
use crate::domain::clock::Timestamp;
use crate::domain::id::ClientId;
use crate::domain::secret::{ClientAssertion, Secret};
use crate::oauth::jose::json::{self, Members};
use crate::oauth::jose::jws;
use crate::oauth::{OauthError, TokenService};

/// How far the other's clock may be from ours, either way, in seconds (CA-10).
const SKEW_SECS: i64 = 10;
/// How far ahead a client may say that its assertion ends, in seconds.
const LONGEST_SECS: i64 = 300;
/// How far ahead a platform may say that its token ends, in seconds.
const LONGEST_OF_PLATFORM_SECS: i64 = 24 * 3600;
/// Longest `jti`, in octets.
const MAX_TOKEN_ID: usize = 128;
/// Header members that are taken. None of them chooses a key but `kid`, and that only among the registered ones (CA-13).
const HEADER: [&str; 5] = ["alg", "kid", "typ", "x5t", "x5t#S256"];
/// What the replay store calls them.
const KIND: &str = "client_assertion";

/// Why an assertion is not taken. For operators; a tool hears one answer for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::oauth) enum AssertionRejected {
    #[error("it is no JWS, too long, or names a member twice")]
    Malformed,
    #[error("its header has another member, type or algorithm than is taken")]
    Header,
    #[error("no client in force that proves itself like this is named")]
    Client,
    #[error("iss or sub is not the registered one")]
    Subject,
    #[error("aud is not the one expected, as a single string")]
    Audience,
    #[error("exp, iat or nbf is missing, over, or too far ahead")]
    Time,
    #[error("jti is missing or too long")]
    TokenId,
    #[error("none of the registered keys made its signature")]
    Signature,
    #[error("it was used before")]
    Used,
}

/// What is asked of a client's assertions.
struct Rules<'a> {
    issuer: &'a str,
    subject: &'a str,
    audience: &'a str,
    /// None of a client that is not known.
    keys: Option<&'a KeySource>,
    /// Whether it is a platform's token.
    is_platform: bool,
    rs256: bool,
}

impl<'a> Rules<'a> {
    /// `None` for a client of another method, or one that only its `client_id` in the body can name (CA-19).
    fn of(client: &'a Client, our_issuer: &'a str, is_named: bool) -> Option<Self> {
        match &client.auth {
            ClientAuth::PrivateKeyJwt { keys, allow_rs256 } => {
                let (id, keys, rs256) = (client.id.as_str(), Some(keys), *allow_rs256);
                Some(Self { issuer: id, subject: id, audience: our_issuer, keys, is_platform: false, rs256 })
            }
            ClientAuth::WorkloadIdentity { issuer, subject, audience, keys } if is_named => {
                let audience = audience.as_deref().unwrap_or(our_issuer);
                Some(Self { issuer, subject, audience, keys: Some(keys), is_platform: true, rs256: true })
            }
            _ => None,
        }
    }

    /// Those of a client that signs by its own key, had it any: an unknown one is measured by them, to take the time of a known one
    /// (CA-06).
    fn of_nobody(id: &'a str, our_issuer: &'a str) -> Self {
        Self { issuer: id, subject: id, audience: our_issuer, keys: None, is_platform: false, rs256: false }
    }

    fn check_type(&self, header: &Members) -> Result<(), AssertionRejected> {
        let types: &[&str] =
            if self.is_platform { &["JWT", "JOSE", "at+jwt"] } else { &["JWT", "client-authentication+jwt"] };
        let fits = |typ: &str| types.iter().any(|known| known.eq_ignore_ascii_case(typ));
        if header.has("typ") && !header.text("typ").is_some_and(fits) {
            return Err(AssertionRejected::Header);
        }
        Ok(())
    }

    /// Checks the claims; gives the `jti`, where it counts, and the instant from which age alone refuses the assertion.
    fn check(&self, claims: &Members, now: i64) -> Result<(Option<String>, Timestamp), AssertionRejected> {
        if claims.text("iss") != Some(self.issuer) || claims.text("sub") != Some(self.subject) {
            return Err(AssertionRejected::Subject);
        }
        let lone = claims.get("aud").and_then(|aud| aud.as_array()).filter(|_| self.is_platform);
        let audience = match lone.map(Vec::as_slice) {
            Some([only]) => only.as_str(),
            _ => claims.text("aud"),
        };
        if audience != Some(self.audience) {
            return Err(AssertionRejected::Audience);
        }
        let longest = if self.is_platform { LONGEST_OF_PLATFORM_SECS } else { LONGEST_SECS };
        let expires_at = claims.date("exp").ok_or(AssertionRejected::Time)?;
        let in_time = now <= expires_at + SKEW_SECS && expires_at <= now + longest + SKEW_SECS;
        let begun = |name: &str, required: bool| {
            (!required && !claims.has(name)) || claims.date(name).is_some_and(|date| date <= now + SKEW_SECS)
        };
        if !in_time || !begun("iat", self.is_platform) || !begun("nbf", false) {
            return Err(AssertionRejected::Time);
        }
        let until = Timestamp::from_secs(expires_at + SKEW_SECS + 1);
        if self.is_platform {
            return Ok((None, until));
        }
        let id = claims.text("jti").filter(|id| (1..=MAX_TOKEN_ID).contains(&id.len()));
        Ok((Some(id.ok_or(AssertionRejected::TokenId)?.to_owned()), until))
    }
}

impl TokenService {
    pub(super) async fn by_assertion(
        &self,
        named: Option<&str>,
        assertion: &Secret<ClientAssertion>,
    ) -> Result<Client, OauthError> {
        let text = assertion.expose_text(str::to_owned).map(Zeroizing::new).ok_or(OauthError::InvalidClient)?;
        match self.asserted(named, &text).await? {
            Ok(client) => Ok(client),
            Err(why) => {
                tracing::info!(client_id = named, %why, "a client assertion was refused");
                Err(OauthError::InvalidClient)
            }
        }
    }

    /// The client that an assertion proves. The outer error is ours, not the client's.
    async fn asserted(
        &self,
        named: Option<&str>,
        assertion: &str,
    ) -> Result<Result<Client, AssertionRejected>, OauthError> {
        let parts = &*self.0;
        let Some(unverified) = jws::split(assertion) else { return Ok(Err(AssertionRejected::Malformed)) };
        let Some(claims) = json::object(&unverified.payload) else { return Ok(Err(AssertionRejected::Malformed)) };
        let header = &unverified.header;
        let is_known = header.names().all(|name| HEADER.contains(&name));
        let kid = header.text("kid");
        let alg = header.text("alg").and_then(ClientAlg::parse);
        let Some(alg) = alg.filter(|_| is_known && header.has("kid") == kid.is_some()) else {
            return Ok(Err(AssertionRejected::Header));
        };
        let id = named.or(claims.text("sub"));
        let client = self.client_in_force(id).await?;
        let own = client.as_ref().and_then(|client| Rules::of(client, &parts.issuer, named.is_some()));
        let is_known = own.is_some();
        let refused = |why| Ok(Err(if is_known { why } else { AssertionRejected::Client }));
        let rules = own.unwrap_or_else(|| Rules::of_nobody(id.unwrap_or_default(), &parts.issuer));
        // What costs nothing is looked at before keys are fetched.
        let checked = rules.check_type(header).and_then(|()| rules.check(&claims, parts.clock.now().as_secs()));
        let (token_id, until) = match checked {
            Ok(checked) => checked,
            Err(why) => return refused(why),
        };
        let keys = match rules.keys {
            Some(source) => parts.keys.of(source, kid).await.unwrap_or_default(),
            None => Arc::default(),
        };
        if !keys.verify(kid, alg, unverified.signed.as_bytes(), &unverified.signature) {
            return refused(AssertionRejected::Signature);
        }
        if alg == ClientAlg::Rs256 && !rules.rs256 {
            return refused(AssertionRejected::Header);
        }
        let Some(client) = client.filter(|_| is_known) else { return refused(AssertionRejected::Client) };
        if let Some(id) = token_id {
            let first = parts.registry.first_use(KIND, client.id.as_str(), &id, until).await;
            if !first.map_err(|error| OauthError::of(&error, OauthError::ServerError))? {
                return Ok(Err(AssertionRejected::Used));
            }
        }
        Ok(Ok(client))
    }

    /// The client of this id, when it is in force.
    async fn client_in_force(&self, id: Option<&str>) -> Result<Option<Client>, OauthError> {
        let Some(id) = id.and_then(|id| id.parse::<ClientId>().ok()) else { return Ok(None) };
        match self.0.registry.find_client(id.as_str()).await {
            Ok(client) => Ok(Some(client).filter(|client| client.status == Status::Active)),
            Err(error) => match OauthError::of(&error, OauthError::InvalidClient) {
                OauthError::InvalidClient => Ok(None),
                ours => Err(ours),
            },
        }
    }
}
