//! JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037): public ones only, in canonical form, with their thumbprint (RFC 7638).

use serde_json::Value;

use crate::crypto::encoding::{base64url, from_base64url};
use crate::crypto::hash::sha256;
use crate::crypto::verify::{ClientAlg, PublicKey};
use crate::oauth::jose::json::Members;

/// Most keys taken from one set.
const MAX_KEYS: usize = 32;
/// Longest `kid`, in octets.
const MAX_KID: usize = 256;
/// The members that make a key private, symmetric or something else than it seems.
const FORBIDDEN: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "r"];

/// A public key of somebody else, with what its owner says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk {
    /// Its name within its set.
    pub kid: Option<String>,
    /// The one algorithm it is meant for, when that is said.
    pub alg: Option<ClientAlg>,
    /// The key.
    pub key: PublicKey,
}

impl Jwk {
    /// Reads a public key; `None` when it is private, symmetric, of an unknown kind, not meant for signatures, or not canonical.
    pub fn read(members: &Members) -> Option<Self> {
        if FORBIDDEN.iter().any(|name| members.has(name)) {
            return None;
        }
        if members.has("use") && members.text("use") != Some("sig") {
            return None;
        }
        if let Some(operations) = members.get("key_ops")
            && !operations.as_array().is_some_and(|list| list.iter().any(|operation| operation == "verify"))
        {
            return None;
        }
        let octets = |name: &str| members.text(name).and_then(from_base64url).filter(|octets| !octets.is_empty());
        let key = match (members.text("kty")?, members.text("crv")) {
            ("OKP", Some("Ed25519")) => PublicKey::Ed25519(octets("x").filter(|x| x.len() == 32)?),
            ("EC", Some("P-256")) => {
                let (x, y) = (octets("x").filter(|x| x.len() == 32)?, octets("y").filter(|y| y.len() == 32)?);
                PublicKey::P256([&[4][..], &x, &y].concat())
            }
            ("RSA", None) => {
                let canonical = |octets: &Vec<u8>| octets.first() != Some(&0);
                let (n, e) = (octets("n").filter(canonical)?, octets("e").filter(canonical)?);
                PublicKey::Rsa { n, e }
            }
            _ => return None,
        };
        let kid = match members.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID => Some(kid.clone()),
            Some(_) => return None,
        };
        let alg = match members.get("alg") {
            None => None,
            Some(alg) => Some(ClientAlg::parse(alg.as_str()?)?),
        };
        Some(Self { kid, alg, key })
    }

    /// Whether `signature` is that of `message` under this key: the algorithm must be the key's kind, and the one it is meant for.
    pub fn verify(&self, alg: ClientAlg, message: &[u8], signature: &[u8]) -> bool {
        self.serves(alg) && self.key.verify(alg, message, signature)
    }

    fn serves(&self, alg: ClientAlg) -> bool {
        self.alg.is_none_or(|meant| meant == alg) && self.key.fits(alg)
    }

    /// SHA-256 of the key's required members in their canonical form, in base64url (RFC 7638): `jkt` of RFC 9449.
    pub fn thumbprint(&self) -> String {
        let canonical = match &self.key {
            PublicKey::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(x)),
            PublicKey::P256(point) => {
                let (x, y) = (point.get(1..33).unwrap_or_default(), point.get(33..).unwrap_or_default());
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, base64url(x), base64url(y))
            }
            PublicKey::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, base64url(e), base64url(n)),
        };
        base64url(&sha256(canonical.as_bytes()))
    }
}

/// A set of public keys. Keys of kinds that we do not know are left out, as RFC 7517 section 5 asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwkSet(Vec<Jwk>);

impl JwkSet {
    /// Reads `{"keys": [...]}`; `None` when it is no set, too long, or holds a private or symmetric key.
    pub fn read(members: &Members) -> Option<Self> {
        let keys = members.get("keys")?.as_array().filter(|keys| keys.len() <= MAX_KEYS)?;
        let mut found = Vec::new();
        for key in keys {
            let members = Members::of(key)?;
            if FORBIDDEN.iter().any(|name| members.has(name)) {
                return None;
            }
            found.extend(Jwk::read(&members));
        }
        Some(Self(found))
    }

    /// The keys that a signature with this `kid` may be of: the one of that name, or without a name all of them.
    pub fn candidates<'a>(&'a self, kid: Option<&'a str>) -> impl Iterator<Item = &'a Jwk> {
        self.0.iter().filter(move |key| kid.is_none() || key.kid.as_deref() == kid)
    }

    /// Whether one of the candidates made the signature. Where none is of this algorithm, a key of nobody is tried in vain, so
    /// that the time does not tell which keys there are (CA-06).
    pub fn verify(&self, kid: Option<&str>, alg: ClientAlg, message: &[u8], signature: &[u8]) -> bool {
        let mut candidates = self.candidates(kid).filter(|key| key.serves(alg)).peekable();
        if candidates.peek().is_none() {
            PublicKey::of_nobody(alg).verify(alg, message, signature);
        }
        candidates.any(|key| key.verify(alg, message, signature))
    }

    /// Whether there is no usable key in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Jwk, JwkSet};
    use crate::crypto::encoding::from_base64url;
    use crate::crypto::verify::ClientAlg;
    use crate::oauth::jose::json::object;

    fn read(json: &str) -> Option<Jwk> {
        Jwk::read(&object(json.as_bytes())?)
    }

    /// RFC 8037 appendix A.
    const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    /// RFC 7638 section 3.1.
    const RSA: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

    #[test]
    fn thumbprints_are_those_of_the_rfcs() {
        assert_eq!(read(ED25519).unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(read(RSA).unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn the_signature_of_rfc_8037_verifies_under_its_algorithm_only() {
        let key = read(ED25519).unwrap();
        let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature =
            from_base64url("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
                .unwrap();
        assert!(key.verify(ClientAlg::EdDsa, signed, &signature));
        for other in [ClientAlg::Es256, ClientAlg::Ps256, ClientAlg::Rs256] {
            assert!(!key.verify(other, signed, &signature));
        }
        assert!(!key.verify(ClientAlg::EdDsa, b"other", &signature));
        assert!(!read(RSA).unwrap().verify(ClientAlg::Ps256, signed, &signature), "the key is meant for RS256");
    }

    #[test]
    fn only_canonical_public_signature_keys_are_taken() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for wrong in [
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"{x}"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}="}}"#),
            format!(r#"{{"kty":"OKP","crv":"X25519","x":"{x}"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","use":"enc"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","alg":"HS256"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":7}}"#),
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}"}}"#),
            r#"{"kty":"oct","k":"AAAA"}"#.to_owned(),
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#.to_owned(),
            r#"{"kty":"RSA","n":"AAEC","e":"AQAB"}"#.to_owned(),
            "{}".to_owned(),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_set_leaves_unknown_kinds_out_and_refuses_private_ones() {
        let set = |keys: &str| JwkSet::read(&object(format!(r#"{{"keys":[{keys}]}}"#).as_bytes()).unwrap());
        let found = set(&format!(r#"{{"kty":"AKP"}},{ED25519},{RSA}"#)).unwrap();
        assert_eq!((found.candidates(None).count(), found.candidates(Some("2011-04-29")).count()), (2, 1));
        assert_eq!(found.candidates(Some("../../x")).count(), 0);
        assert_eq!(set(r#"{"kty":"oct","k":"AAAA"}"#), None);
        assert_eq!(set(&vec![ED25519; 33].join(",")), None);
    }
}
