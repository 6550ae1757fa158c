//! Verifying a presented access token (RFC 9068 section 4, RFC 8725).

use crate::domain::address::MailAddress;
use crate::domain::clock::Timestamp;
use crate::domain::token::Claims;
use crate::oauth::TokenService;
use crate::oauth::jose::json::{self, Members};
use crate::oauth::jose::jws;
use crate::oauth::keyset::Keyset;

/// How late an expired token is still taken, in seconds (JWT-08).
const LATE_SECS: i64 = 5;
/// How far ahead of our clock another node's may be, in seconds (JWT-08).
const AHEAD_SECS: i64 = 10;

/// Why a token is not taken. For operators; a tool hears one answer for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRejected {
    /// Not three canonical segments, too long, repeated names.
    #[error("token is malformed")]
    Malformed,
    /// Not an access token, unknown header members, unknown key, wrong algorithm.
    #[error("token header is not acceptable")]
    Header,
    /// The signature is not ours.
    #[error("token signature is wrong")]
    Signature,
    /// A claim is missing, of the wrong JSON type, or another issuer's.
    #[error("token claims are not acceptable")]
    Claims,
    /// Over.
    #[error("token has expired")]
    Expired,
    /// From the future.
    #[error("token is not valid yet")]
    NotYet,
}

impl TokenService {
    /// What a token says, if it is ours, whole, and in its time. Whether its grant still stands is the registry's to say.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenRejected> {
        verify(&self.0.keyset, &self.0.issuer, self.0.clock.now(), token)
    }
}

fn verify(keyset: &Keyset, issuer: &str, now: Timestamp, token: &str) -> Result<Claims, TokenRejected> {
    let unverified = jws::split(token).ok_or(TokenRejected::Malformed)?;
    let header = &unverified.header;
    if header.text("typ") != Some("at+jwt") || header.names().any(|name| !["alg", "typ", "kid"].contains(&name)) {
        return Err(TokenRejected::Header);
    }
    let (kid, alg) = header.text("kid").zip(header.text("alg")).ok_or(TokenRejected::Header)?;
    if !keyset.verify(kid, alg, unverified.signed, &unverified.signature) {
        return Err(TokenRejected::Signature);
    }
    let members = json::object(&unverified.payload).ok_or(TokenRejected::Malformed)?;
    let claims = claims(&members, issuer).ok_or(TokenRejected::Claims)?;
    let now = now.as_secs();
    if members.has("nbf") && members.date("nbf").ok_or(TokenRejected::Claims)? > now + AHEAD_SECS {
        return Err(TokenRejected::NotYet);
    }
    if claims.issued_at.as_secs() > now + AHEAD_SECS {
        return Err(TokenRejected::NotYet);
    }
    if claims.expires_at.as_secs() + LATE_SECS < now {
        return Err(TokenRejected::Expired);
    }
    Ok(claims)
}

fn claims(members: &Members, issuer: &str) -> Option<Claims> {
    let text = |name| members.text(name).filter(|value| !value.is_empty());
    if text("iss")? != issuer || text("sub")? != text("client_id")? {
        return None;
    }
    Some(Claims {
        client_id: text("client_id")?.parse().ok()?,
        mailbox: MailAddress::from_resource(text("aud")?).ok()?,
        // No scope claim is no right at all (TOK-10).
        scopes: members.text("scope").unwrap_or_default().parse().ok()?,
        issued_at: Timestamp::from_secs(members.date("iat")?),
        expires_at: Timestamp::from_secs(members.date("exp")?),
        token_id: text("jti")?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{TokenRejected, verify};
    use crate::domain::client::TokenAlg;
    use crate::domain::clock::Timestamp;
    use crate::oauth::keyset::Keyset;

    const ISSUER: &str = "https://gw.example/oauth";
    const NOW: i64 = 1_795_507_200;

    fn payload(iat: i64, exp: i64) -> String {
        format!(
            r#"{{"iss":"{ISSUER}","sub":"cli_0123456789ab","client_id":"cli_0123456789ab","aud":"mailto:a@b.test","scope":"mail.read","iat":{iat},"exp":{exp},"jti":"AAAAAAAAAAAAAAAAAAAAAA"}}"#
        )
    }

    fn check(keyset: &Keyset, token: &str) -> Result<(), TokenRejected> {
        verify(keyset, ISSUER, Timestamp::from_secs(NOW), token).map(drop)
    }

    #[test]
    fn both_algorithms_verify_and_stay_short() {
        let keyset = Keyset::for_tests();
        for alg in [TokenAlg::EdDsa, TokenAlg::Es256] {
            let token = keyset.sign(alg, &payload(NOW, NOW + 300)).unwrap();
            assert_eq!(check(&keyset, &token), Ok(()));
            assert!(token.len() < 500, "{}", token.len());
        }
    }

    #[test]
    fn times_have_narrow_margins() {
        let keyset = Keyset::for_tests();
        for (iat, exp, expected) in [
            (NOW, NOW + 1, Ok(())),
            (NOW - 300, NOW - 5, Ok(())),
            (NOW - 300, NOW - 6, Err(TokenRejected::Expired)),
            (NOW + 10, NOW + 300, Ok(())),
            (NOW + 11, NOW + 300, Err(TokenRejected::NotYet)),
            (NOW + 61, NOW + 300, Err(TokenRejected::NotYet)),
        ] {
            let token = keyset.sign(TokenAlg::EdDsa, &payload(iat, exp)).unwrap();
            assert_eq!(check(&keyset, &token), expected, "iat {} exp {}", iat - NOW, exp - NOW);
        }
    }

    #[test]
    fn only_our_access_tokens_pass() {
        let keyset = Keyset::for_tests();
        let good = payload(NOW, NOW + 300);
        for header in [
            r#"{"alg":"EdDSA","typ":"JWT","kid":"ed"}"#,
            r#"{"alg":"EdDSA","kid":"ed"}"#,
            r#"{"alg":"none","typ":"at+jwt","kid":"ed"}"#,
            r#"{"alg":"HS256","typ":"at+jwt","kid":"ed"}"#,
            r#"{"alg":"ES256","typ":"at+jwt","kid":"ed"}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"es"}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"../../x"}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"ed","crit":["x"]}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"ed","b64":false}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"ed","zip":"DEF"}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"ed","jwk":{}}"#,
            r#"{"alg":"EdDSA","alg":"EdDSA","typ":"at+jwt","kid":"ed"}"#,
        ] {
            assert!(check(&keyset, &keyset.sign_raw("ed", header, &good)).is_err(), "{header}");
        }
        let header = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"ed"}"#;
        for (from, to) in [
            ("\"exp\":1795507500", "\"exp\":\"9999999999\""),
            ("\"exp\":1795507500", "\"exp\":null"),
            ("\"exp\":1795507500", "\"exp\":1e400"),
            ("\"exp\":1795507500", "\"exp\":-1"),
            ("\"exp\":1795507500", "\"exp\":[1795507500]"),
            (",\"exp\":1795507500", ""),
            ("\"iat\":1795507200", "\"iat\":true"),
            ("\"jti\":\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"jti\":7"),
            ("\"aud\":\"mailto:a@b.test\"", "\"aud\":[\"mailto:a@b.test\"]"),
            ("\"aud\":\"mailto:a@b.test\"", "\"aud\":\"https://b.test\""),
            ("\"sub\":\"cli_0123456789ab\"", "\"sub\":\"cli_0123456789ac\""),
            ("gw.example", "evil.example"),
            ("mail.read", "MAIL.READ"),
            ("\"scope\"", "\"nbf\":\"1\",\"scope\""),
            ("\"scope\"", "\"jti\":\"x\",\"scope\""),
        ] {
            assert!(good.contains(from));
            let token = keyset.sign_raw("ed", header, &good.replace(from, to));
            assert!(check(&keyset, &token).is_err(), "{to}");
        }
        let token = keyset.sign_raw("ed", header, &good);
        assert_eq!(check(&keyset, &token), Ok(()));
        for wrong in [
            token[..token.len() - 1].to_owned(),
            format!("{token}="),
            format!("{token}.x"),
            token.replacen('.', "..", 1),
            "a".repeat(9000),
            String::new(),
            "..".to_owned(),
            format!(" {token}"),
        ] {
            assert!(check(&keyset, &wrong).is_err(), "{wrong}");
        }
    }
}
