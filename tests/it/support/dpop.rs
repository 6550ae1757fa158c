//! What a tool signs with a key of any algorithm: DPoP proofs (RFC 9449) and client assertions (RFC 7523), good ones and those that no
//! library would make.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailwarden::crypto::hash::sha256;
use mailwarden::crypto::{random, sign};
use mailwarden::domain::client::TokenAlg;
use mailwarden::domain::clock::Clock;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::process;

/// A tool's key.
pub(crate) struct Key {
    private: Private,
    jwk: Value,
}

enum Private {
    Own(sign::Signer),
    Rsa(Box<RsaKeyPair>),
}

impl Key {
    /// A new key for this algorithm.
    pub(crate) fn new(alg: &str) -> Self {
        let own = |alg| {
            let pkcs8 = sign::generate(alg).expect("make a key");
            sign::Signer::from_pkcs8(alg, &pkcs8).expect("a key")
        };
        match alg {
            "EdDSA" | "Ed25519" => {
                let key = own(TokenAlg::EdDsa);
                let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_key()) });
                Self { private: Private::Own(key), jwk }
            }
            "ES256" => {
                let key = own(TokenAlg::Es256);
                let (x, y) = (base64url(&key.public_key()[1..33]), base64url(&key.public_key()[33..]));
                Self { private: Private::Own(key), jwk: json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }) }
            }
            _ => {
                let args = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
                let pem = process::run(std::process::Command::new("openssl").args(args), b"").expect_ok("openssl");
                let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
                let der = base64::engine::general_purpose::STANDARD.decode(body).expect("PEM");
                let key = RsaKeyPair::from_pkcs8(&der).expect("an RSA key");
                let public = PublicKeyComponents::<Vec<u8>>::from(key.public());
                let jwk = json!({ "kty": "RSA", "n": base64url(&public.n), "e": base64url(&public.e) });
                Self { private: Private::Rsa(Box::new(key)), jwk }
            }
        }
    }

    /// A good proof for a request to `url`, not signed yet.
    pub(crate) fn proof(&self, alg: &str, method: &str, url: &str) -> Proof<'_> {
        Proof {
            key: self,
            header: json!({ "typ": "dpop+jwt", "alg": alg, "jwk": self.jwk }),
            claims: json!({ "jti": base64url(&random::system().bytes::<16>()), "htm": method, "htu": url, "iat": now() }),
        }
    }

    /// A good assertion of this client, a minute long, not signed yet.
    pub(crate) fn assertion(&self, alg: &str, client: &str, issuer: &str) -> Proof<'_> {
        let (now, name) = (now(), base64url(&random::system().bytes::<16>()));
        Proof {
            key: self,
            header: json!({ "typ": "client-authentication+jwt", "alg": alg }),
            claims: json!({ "iss": client, "sub": client, "aud": issuer, "iat": now, "exp": now + 60, "jti": name }),
        }
    }

    /// Its public half as a set.
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        match &self.private {
            Private::Own(key) => key.sign(message).expect("sign"),
            Private::Rsa(key) => {
                let padding: &dyn ring::signature::RsaEncoding =
                    if alg == "RS256" { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(padding, &SystemRandom::new(), message, &mut signature).expect("sign");
                signature
            }
        }
    }
}

/// A proof or assertion under way.
#[derive(Clone)]
pub(crate) struct Proof<'a> {
    key: &'a Key,
    header: Value,
    claims: Value,
}

impl Proof<'_> {
    /// Adds or replaces a claim.
    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Adds or replaces a member of the header.
    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// Takes out what has this name, in header and claims.
    pub(crate) fn without(mut self, name: &str) -> Self {
        for part in [&mut self.header, &mut self.claims] {
            part.as_object_mut().expect("an object").remove(name);
        }
        self
    }

    /// Adds the digest of the access token.
    pub(crate) fn token(self, token: &str) -> Self {
        self.claim("ath", base64url(&sha256(token.as_bytes())))
    }

    /// Its `htu` in another form.
    pub(crate) fn target(self, change: impl FnOnce(&str) -> String) -> Self {
        let changed = change(self.claims["htu"].as_str().expect("a URL"));
        self.claim("htu", changed)
    }

    /// Its `htm` in another form.
    pub(crate) fn method(self, change: impl FnOnce(&str) -> String) -> Self {
        let changed = change(self.claims["htm"].as_str().expect("a method"));
        self.claim("htm", changed)
    }

    /// With something private beside the public key.
    pub(crate) fn with_private_key(mut self) -> Self {
        self.header["jwk"]["d"] = base64url(&[7; 32]).into();
        self
    }

    /// Its `iat`, so many seconds off.
    pub(crate) fn off_by(self, secs: i64) -> Self {
        self.claim("iat", now() + secs)
    }

    /// The JWS.
    pub(crate) fn signed(&self) -> String {
        let alg = self.header["alg"].as_str().unwrap_or_default();
        let signed = format!(
            "{}.{}",
            base64url(self.header.to_string().as_bytes()),
            base64url(self.claims.to_string().as_bytes())
        );
        let signature = if alg == "none" { Vec::new() } else { self.key.sign(alg, signed.as_bytes()) };
        format!("{signed}.{}", base64url(&signature))
    }
}

/// Now, in seconds since 1970.
pub(crate) fn now() -> i64 {
    Clock::system().now().as_secs()
}

/// base64url without padding.
pub(crate) fn base64url(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}
