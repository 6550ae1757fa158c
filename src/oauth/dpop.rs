//! Proofs of possession (RFC 9449 section 4): a tool signs every request with a key of its own, and a token that is bound to the key is
//! worth nothing without it. What costs nothing is checked before the signature, and the signature before anything is written.

use url::Url;

use crate::crypto::encoding::from_base64url;
use crate::crypto::hash::{equal, sha256};
use crate::crypto::verify::ClientAlg;
use crate::domain::clock::Timestamp;
use crate::domain::token::LATE_SECS;
use crate::oauth::jose::json::{self, Members};
use crate::oauth::jose::jwk::Jwk;
use crate::oauth::jose::jws;
use crate::oauth::{OauthError, TokenService};

/// The algorithms of proofs; `Ed25519` is RFC 9864's name for what `EdDSA` means here.
pub const ALGS: [&str; 4] = ["EdDSA", "Ed25519", "ES256", "PS256"];

/// How far off the clock of a tool may be, in seconds.
const LEEWAY_SECS: i64 = 60;
/// The same when a nonce says how old the proof is at most.
const LEEWAY_WITH_NONCE_SECS: i64 = 300;
/// What a JWS header may carry that changes how the rest is to be read.
const FORBIDDEN: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// The request that a proof has to be made for.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its URL as the settings have it, whatever the request said of the host.
    pub url: &'a str,
    /// The access token that comes with it.
    pub token: Option<&'a str>,
    /// Whether the proof must carry a nonce.
    pub needs_nonce: bool,
}

/// A proof for its occasion, by its own words: neither time nor signature is checked.
#[derive(Debug)]
pub struct Claimed<'a> {
    unverified: jws::Unverified<'a>,
    alg: ClientAlg,
    key: Jwk,
    claims: Members,
    token_id: String,
    issued_at: i64,
}

/// A proof whose signature and claims are good, and which may have been used before.
#[derive(Debug)]
pub(super) struct Proof {
    /// The key's thumbprint: `jkt`.
    pub(super) thumbprint: String,
    token_id: String,
    /// From here on it is refused for its age alone.
    until: Timestamp,
}

impl TokenService {
    /// Checks everything but whether the proof was used before.
    pub(super) fn check_proof(&self, proof: &str, occasion: &Occasion<'_>) -> Result<Proof, OauthError> {
        let now = self.0.clock.now();
        let claimed = read(proof, occasion)?;
        let leeway = self.check_nonce(&claimed.claims, occasion, now);
        // A proof that is wrong in itself hears so before it is sent for a nonce.
        let wide = leeway.as_ref().copied().unwrap_or(LEEWAY_WITH_NONCE_SECS);
        claimed.is_in_time(now.as_secs(), wide)?;
        if !claimed.is_signed() {
            return Err(wrong("the signature of the DPoP proof is wrong"));
        }
        let until = Timestamp::from_secs(claimed.issued_at + leeway? + 1);
        Ok(Proof { thumbprint: claimed.key.thumbprint(), token_id: claimed.token_id, until })
    }

    /// Takes the proof as used; one that was used before, at any node, is refused.
    pub(super) async fn use_proof(&self, proof: &Proof) -> Result<(), OauthError> {
        let used = self.0.registry.first_use("dpop", &proof.thumbprint, &proof.token_id, proof.until).await;
        match used {
            Ok(true) => Ok(()),
            Ok(false) => Err(wrong("jti of the DPoP proof was used before")),
            Err(error) => Err(OauthError::of(&error, OauthError::ServerError)),
        }
    }

    /// How far off `iat` may be: a nonce says better than a clock when the proof was made.
    fn check_nonce(&self, claims: &Members, occasion: &Occasion<'_>, now: Timestamp) -> Result<i64, OauthError> {
        match claims.get("nonce") {
            None if occasion.needs_nonce => Err(OauthError::UseDpopNonce),
            None => Ok(LEEWAY_SECS),
            Some(nonce) if nonce.as_str().is_some_and(|nonce| self.is_fresh_nonce(nonce, now)) => {
                Ok(LEEWAY_WITH_NONCE_SECS)
            }
            Some(_) => Err(OauthError::UseDpopNonce),
        }
    }
}

/// Reads a proof, and checks that it is for this request.
pub fn read<'a>(proof: &'a str, occasion: &Occasion<'_>) -> Result<Claimed<'a>, OauthError> {
    let unverified = jws::split(proof).ok_or(wrong("the DPoP proof is not a JWS of 8 KiB at most"))?;
    let (alg, key) = header(&unverified.header)?;
    let claims = json::object(&unverified.payload).ok_or(wrong("the DPoP proof's payload is not a JSON object"))?;
    is_for(&claims, occasion)?;
    let token_id = text(&claims, "jti").ok_or(wrong("jti of the DPoP proof is missing"))?.to_owned();
    let issued_at = claims.date("iat").ok_or(wrong("iat of the DPoP proof is missing"))?;
    Ok(Claimed { unverified, alg, key, claims, token_id, issued_at })
}

fn wrong(what: &'static str) -> OauthError {
    OauthError::InvalidDpopProof(what)
}

fn text<'a>(members: &'a Members, name: &str) -> Option<&'a str> {
    members.text(name).filter(|value| !value.is_empty())
}

/// The algorithm and the public key that the proof carries.
fn header(header: &Members) -> Result<(ClientAlg, Jwk), OauthError> {
    if header.text("typ") != Some("dpop+jwt") {
        return Err(wrong("typ of the DPoP proof must be dpop+jwt"));
    }
    if FORBIDDEN.iter().any(|name| header.has(name)) {
        return Err(wrong("crit, b64, zip and enc are not taken in a DPoP proof"));
    }
    let alg = match header.text("alg") {
        Some("EdDSA" | "Ed25519") => ClientAlg::EdDsa,
        Some("ES256") => ClientAlg::Es256,
        Some("PS256") => ClientAlg::Ps256,
        _ => return Err(wrong("alg of the DPoP proof must be EdDSA, Ed25519, ES256 or PS256")),
    };
    let key = header.get("jwk").and_then(Members::of).and_then(|members| Jwk::read(&members));
    Ok((alg, key.ok_or(wrong("jwk of the DPoP proof must be a public signature key"))?))
}

/// The proof is for this request, and for the token that comes with it.
fn is_for(claims: &Members, occasion: &Occasion<'_>) -> Result<(), OauthError> {
    if claims.text("htm") != Some(occasion.method) {
        return Err(wrong("htm of the DPoP proof is not the request's method"));
    }
    if !claims.text("htu").is_some_and(|target| same_target(target, occasion.url)) {
        return Err(wrong("htu of the DPoP proof is not the request's URL"));
    }
    if let Some(token) = occasion.token {
        let digest = claims.text("ath").and_then(from_base64url);
        if !digest.is_some_and(|digest| equal(&sha256(token.as_bytes()), &digest)) {
            return Err(wrong("ath of the DPoP proof is not the digest of the access token"));
        }
    }
    Ok(())
}

impl Claimed<'_> {
    /// Checks that it is of `now`, give or take `leeway` seconds.
    pub fn is_in_time(&self, now: i64, leeway: i64) -> Result<(), OauthError> {
        if (self.issued_at - now).abs() > leeway {
            return Err(wrong("iat of the DPoP proof is too far from now"));
        }
        // Neither is asked for; where they stand they are meant.
        let is_over = |expires_at: i64| expires_at + LATE_SECS < now;
        let is_ahead = |not_before: i64| not_before > now + leeway;
        let claims = &self.claims;
        if claims.has("exp") && claims.date("exp").is_none_or(is_over)
            || claims.has("nbf") && claims.date("nbf").is_none_or(is_ahead)
        {
            return Err(wrong("the DPoP proof is not valid now by its own exp or nbf"));
        }
        Ok(())
    }

    /// Whether the key that it carries signed it.
    pub fn is_signed(&self) -> bool {
        self.key.verify(self.alg, self.unverified.signed.as_bytes(), &self.unverified.signature)
    }
}

/// Whether two URLs are the same but for query and fragment, after the normalisation of RFC 3986 sections 6.2.2 and 6.2.3.
fn same_target(said: &str, own: &str) -> bool {
    let normal = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    // The parser forgives white space, control characters and backslashes.
    let is_strict = said.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_strict && normal(said).is_some_and(|said| normal(own) == Some(said))
}

#[cfg(test)]
mod tests {
    use super::same_target;

    #[test]
    fn a_target_is_compared_without_query_and_fragment_and_in_normal_form() {
        let own = "https://mail.example.com/oauth/token";
        for same in [
            own,
            "HTTPS://Mail.EXAMPLE.com/oauth/token",
            "https://mail.example.com:443/oauth/token",
            "https://mail.example.com/oauth/token?a=b&c",
            "https://mail.example.com/oauth/token#here",
            "https://mail.example.com/a/../oauth/./token",
        ] {
            assert!(same_target(same, own), "{same}");
        }
        for other in [
            "https://mail.example.com/oauth/Token",
            "https://mail.example.com/oauth/token/",
            "https://mail.example.com/oauth",
            "http://mail.example.com/oauth/token",
            "https://mail.example.com:8443/oauth/token",
            "https://mail.example.com.evil.test/oauth/token",
            "https://evil.test/oauth/token",
            "https://mail.example.com@evil.test/oauth/token",
            "https://user@mail.example.com/oauth/token",
            "https:\\\\mail.example.com\\oauth\\token",
            " https://mail.example.com/oauth/token",
            "https://mail.example.com/oauth/to\nken",
            "/oauth/token",
            "mail.example.com/oauth/token",
            "",
        ] {
            assert!(!same_target(other, own), "{other:?}");
        }
    }
}
