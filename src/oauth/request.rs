//! A token request, parsed strictly (RFC 6749 sections 2.3, 3.2, 4.4). What it asks for is judged after who asks.

use crate::crypto::encoding::from_base64;
use crate::domain::secret::{AccessToken, ClientAssertion, ClientSecret, Secret};
use crate::oauth::OauthError;
use crate::oauth::handle::WantedHandle;

/// What a client asks for.
#[derive(Debug)]
pub struct TokenRequest {
    /// Who asks, and what proves it.
    pub proof: ClientProof,
    /// By which grant.
    pub grant_type: GrantType,
    /// The scopes it names; `None` means the grant's.
    pub scope: Option<String>,
    /// The mailbox it names.
    pub resource: Option<String>,
    /// The narrowing that it asks for: the text of `authorization_details`.
    pub details: Option<String>,
    /// The proof of possession in its `DPoP` header (RFC 9449).
    pub dpop: Option<String>,
    /// The handle that it asks for instead of a signed token.
    pub handle: Option<WantedHandle>,
}

/// What is asked about a token, or to be done to it (RFC 7009 section 2.1, RFC 7662 section 2.1).
#[derive(Debug)]
pub struct TokenQuery {
    /// Who asks, and what proves it.
    pub proof: ClientProof,
    /// The token, or why there is none: looked at after who asks.
    pub token: Result<Secret<AccessToken>, OauthError>,
}

/// What a client proves itself with.
#[derive(Debug)]
pub enum ClientProof {
    /// A secret, in the `Authorization` header or in the body.
    Secret {
        /// Who it says it is.
        client_id: String,
        /// What proves it.
        secret: Secret<ClientSecret>,
    },
    /// A signed assertion (RFC 7523 section 2.2).
    Assertion {
        /// Who it says it is, besides the assertion.
        client_id: Option<String>,
        /// What proves it.
        assertion: Secret<ClientAssertion>,
    },
    /// The certificate of the TLS connection, if there is one: nothing in the request proves anything.
    Certificate {
        /// Who it says it is.
        client_id: String,
    },
}

impl ClientProof {
    /// Who it says it is, if it says so.
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::Secret { client_id, .. } | Self::Certificate { client_id } => Some(client_id),
            Self::Assertion { client_id, .. } => client_id.as_deref(),
        }
    }
}

/// The grants that are known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// RFC 6749 section 4.4: every client's.
    ClientCredentials,
    /// RFC 8693: no client's (TOK-08).
    TokenExchange,
}

/// The only kind of assertion (RFC 7523 section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const TWO_AUTHENTICATIONS: OauthError = OauthError::InvalidRequest("more than one client authentication");

impl TokenRequest {
    /// Reads the form body and the `Authorization` header. Unknown parameters are ignored, empty ones count as absent.
    pub fn parse(body: &[u8], authorization: Option<&str>) -> Result<Self, OauthError> {
        let proof = ClientProof::parse(body, authorization)?;
        let [grant_type, scope, resource, details] =
            fields(body, ["grant_type", "scope", "resource", "authorization_details"])?;
        let grant_type = match grant_type.as_deref() {
            Some("client_credentials") => GrantType::ClientCredentials,
            Some("urn:ietf:params:oauth:grant-type:token-exchange") => GrantType::TokenExchange,
            Some(_) => return Err(OauthError::UnsupportedGrantType),
            None => return Err(OauthError::InvalidRequest("grant_type is missing")),
        };
        let handle = WantedHandle::parse(body)?;
        Ok(Self { proof, grant_type, scope, resource, details, dpop: None, handle })
    }
}

impl TokenQuery {
    /// Reads the form body and the `Authorization` header. `token_type_hint` is not needed: a token's own form says what it is.
    pub fn parse(body: &[u8], authorization: Option<&str>) -> Result<Self, OauthError> {
        let proof = ClientProof::parse(body, authorization)?;
        Ok(Self { proof, token: Self::token(body) })
    }

    /// Reads the token alone, for a caller who is known already.
    pub fn token(body: &[u8]) -> Result<Secret<AccessToken>, OauthError> {
        let [token, _] = fields(body, ["token", "token_type_hint"])?;
        token.map(Secret::from_text).ok_or(OauthError::InvalidRequest("token is missing"))
    }
}

impl ClientProof {
    /// Reads what proves the client, of the form body and the `Authorization` header. Exactly one method (CA-01).
    pub fn parse(body: &[u8], authorization: Option<&str>) -> Result<Self, OauthError> {
        let [id, secret, assertion, assertion_type] =
            fields(body, ["client_id", "client_secret", "client_assertion", "client_assertion_type"])?;
        let by_assertion = assertion.is_some() || assertion_type.is_some();
        let proof = match (authorization, secret) {
            (Some(_), Some(_)) => return Err(TWO_AUTHENTICATIONS),
            (Some(_), None) | (None, Some(_)) if by_assertion => return Err(TWO_AUTHENTICATIONS),
            (Some(header), None) => {
                let (named, secret) = basic(header).ok_or(OauthError::InvalidClient)?;
                if id.is_some_and(|id| id != named) {
                    return Err(OauthError::InvalidClient);
                }
                ClientProof::Secret { client_id: named, secret: Secret::from_text(secret) }
            }
            (None, Some(secret)) => {
                let client_id = id.ok_or(OauthError::InvalidRequest("client_id is missing"))?;
                ClientProof::Secret { client_id, secret: Secret::from_text(secret) }
            }
            (None, None) => match (assertion, assertion_type.as_deref()) {
                (Some(assertion), Some(JWT_BEARER)) => {
                    ClientProof::Assertion { client_id: id, assertion: Secret::from_text(assertion) }
                }
                (None, None) => ClientProof::Certificate { client_id: id.ok_or(OauthError::InvalidClient)? },
                _ => return Err(OauthError::InvalidClient),
            },
        };
        Ok(proof)
    }
}

/// The parameters of these names, each at most once; others are ignored, empty ones count as absent (RFC 6749 section 3.2).
fn fields<const N: usize>(body: &[u8], names: [&str; N]) -> Result<[Option<String>; N], OauthError> {
    let mut fields = names.map(|name| (name, None));
    for (name, value) in form_urlencoded::parse(body) {
        if let Some((_, place)) = fields.iter_mut().find(|(known, _)| *known == name)
            && place.replace(value.into_owned()).is_some()
        {
            return Err(match name.as_ref() {
                // RFC 8707 lets it be repeated; a token of ours opens one mailbox.
                "resource" => OauthError::InvalidTarget,
                _ => OauthError::InvalidRequest("a parameter is repeated"),
            });
        }
    }
    Ok(fields.map(|(_, value): (_, Option<String>)| value.filter(|value| !value.is_empty())))
}

/// `Basic` with form-encoded id and secret (RFC 6749 section 2.3.1). Ours need no encoding, so both camps of libraries agree.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(from_base64(rest.trim().as_bytes())?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((unescape(id)?, unescape(secret)?))
}

/// Takes form encoding off; `None` where a bare `&` would cut the text short.
fn unescape(text: &str) -> Option<String> {
    let pair = format!("x={text}");
    let mut pairs = form_urlencoded::parse(pair.as_bytes());
    let (_, value) = pairs.next().filter(|_| !text.contains('&'))?;
    Some(value.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{ClientProof, TokenRequest};
    use crate::crypto::encoding::base64;

    const GRANT: &str = "grant_type=client_credentials";

    fn error(body: &str, authorization: Option<&str>) -> Option<&'static str> {
        TokenRequest::parse(body.as_bytes(), authorization).err().map(|error| error.code())
    }

    /// Id and secret.
    fn said(request: &TokenRequest) -> (String, String) {
        let ClientProof::Secret { client_id, secret } = &request.proof else { panic!("no secret") };
        (client_id.clone(), secret.expose_text(str::to_owned).unwrap())
    }

    fn header() -> String {
        format!("bAsIc {}", base64(b"cli_0:a%2Bb%3Ac"))
    }

    #[test]
    fn tok_03_parameters_are_not_repeated() {
        let header = header();
        for name in ["grant_type", "client_id", "client_secret", "scope", "client_assertion", "authorization_details"] {
            for (first, second) in [("a", "a"), ("a", "b"), ("", "a"), ("a", ""), ("", "")] {
                let body = format!("{name}={first}&foo=1&{name}={second}");
                assert_eq!(error(&body, Some(&header)), Some("invalid_request"), "{body}");
            }
        }
        assert_eq!(error(&format!("{GRANT}&resource=a&resource=b"), Some(&header)), Some("invalid_target"));
        assert_eq!(error(&format!("{GRANT}&foo=1&foo=2"), Some(&header)), None);
    }

    #[test]
    fn tok_05_unknown_parameters_are_ignored_and_empty_ones_absent() {
        let body = format!("{GRANT}&foo=1&scope=&resource=&client_id=&client_secret=&authorization_details=");
        let request = TokenRequest::parse(body.as_bytes(), Some(&header())).unwrap();
        assert_eq!((request.proof.client_id(), request.scope, request.resource), (Some("cli_0"), None, None));
        assert_eq!(request.details, None);
        assert_eq!(error("grant_type=", Some(&header())), Some("invalid_request"));
        assert_eq!(error("", Some(&header())), Some("invalid_request"));
    }

    #[test]
    fn ca_01_exactly_one_method_per_request() {
        let header = header();
        let post = format!("{GRANT}&client_id=cli_0&client_secret=b");
        for two in [
            (post.clone(), Some(header.as_str())),
            (format!("{GRANT}&client_assertion=x"), Some(header.as_str())),
            (format!("{GRANT}&client_assertion_type=x"), Some(header.as_str())),
            (format!("{post}&client_assertion=x"), None),
            (format!("{post}&client_assertion_type=x"), None),
            (format!("{post}&client_assertion=x"), Some(header.as_str())),
            (post.clone(), Some("Bearer x")),
        ] {
            assert_eq!(error(&two.0, two.1), Some("invalid_request"), "{two:?}");
        }
        assert_eq!(error(&post, None), None);
        assert_eq!(error(GRANT, None), Some("invalid_client"));
        assert_eq!(error(&format!("{GRANT}&client_id=other"), Some(&header)), Some("invalid_client"));
        for unreadable in ["Basic !!!", "Basic", "Bearer x", "Basic YQ==", &format!("Basic {}", base64(b"a:b&c"))] {
            assert_eq!(error(GRANT, Some(unreadable)), Some("invalid_client"), "{unreadable}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn ca_02_basic_carries_any_id_and_secret(id in any::<String>(), secret in any::<String>()) {
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let header = format!("Basic {}", base64(format!("{}:{}", encode(&id), encode(&secret)).as_bytes()));
            let request = TokenRequest::parse(GRANT.as_bytes(), Some(&header)).unwrap();
            assert_eq!(said(&request), (id, secret));
        }
    }

    #[test]
    fn ca_02_basic_carries_the_awkward_characters() {
        let header = format!("Basic {}", base64("a%3Ab%25c+d%2Be:%C3%A4:%2526%26".as_bytes()));
        let request = TokenRequest::parse(GRANT.as_bytes(), Some(&header)).unwrap();
        assert_eq!(said(&request), ("a:b%c d+e".to_owned(), "\u{e4}:%26&".to_owned()));
    }
}
