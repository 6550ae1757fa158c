//! A token request, parsed strictly (RFC 6749 sections 2.3, 3.2, 4.4). What it asks for is judged after who asks.

use crate::crypto::encoding::from_base64;
use crate::domain::secret::{ClientSecret, Secret};
use crate::oauth::OauthError;
use crate::oauth::handle::WantedHandle;

/// What a client asks for.
#[derive(Debug)]
pub struct TokenRequest {
    /// Who it says it is.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret<ClientSecret>,
    /// By which grant.
    pub grant_type: GrantType,
    /// The scopes it names; `None` means the grant's.
    pub scope: Option<String>,
    /// The mailbox it names.
    pub resource: Option<String>,
    /// Whether it asks for a narrowing by `authorization_details`.
    pub narrowing: bool,
    /// The handle that it asks for instead of a signed token.
    pub handle: Option<WantedHandle>,
}

/// The grants that are known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// RFC 6749 section 4.4: every client's.
    ClientCredentials,
    /// RFC 8693: no client's (TOK-08).
    TokenExchange,
}

const TWO_AUTHENTICATIONS: OauthError = OauthError::InvalidRequest("more than one client authentication");

impl TokenRequest {
    /// Reads the form body and the `Authorization` header. Unknown parameters are ignored, empty ones count as absent.
    pub fn parse(body: &[u8], authorization: Option<&str>) -> Result<Self, OauthError> {
        let mut fields: [(&str, Option<String>); 8] = [
            ("grant_type", None),
            ("client_id", None),
            ("client_secret", None),
            ("scope", None),
            ("resource", None),
            ("client_assertion", None),
            ("client_assertion_type", None),
            ("authorization_details", None),
        ];
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
        let [grant_type, id, secret, scope, resource, assertion, assertion_type, details] =
            fields.map(|(_, value)| value.filter(|value| !value.is_empty()));
        let by_assertion = assertion.is_some() || assertion_type.is_some();
        let (client_id, client_secret) = match (authorization, secret) {
            (Some(_), Some(_)) => return Err(TWO_AUTHENTICATIONS),
            (Some(_), None) | (None, Some(_)) if by_assertion => return Err(TWO_AUTHENTICATIONS),
            (Some(header), None) => {
                let (named, secret) = basic(header).ok_or(OauthError::InvalidClient)?;
                if id.is_some_and(|id| id != named) {
                    return Err(OauthError::InvalidClient);
                }
                (named, secret)
            }
            (None, Some(secret)) => (id.ok_or(OauthError::InvalidRequest("client_id is missing"))?, secret),
            (None, None) => return Err(OauthError::InvalidClient),
        };
        let grant_type = match grant_type.as_deref() {
            Some("client_credentials") => GrantType::ClientCredentials,
            Some("urn:ietf:params:oauth:grant-type:token-exchange") => GrantType::TokenExchange,
            Some(_) => return Err(OauthError::UnsupportedGrantType),
            None => return Err(OauthError::InvalidRequest("grant_type is missing")),
        };
        let client_secret = Secret::from_text(client_secret);
        let handle = WantedHandle::parse(body)?;
        Ok(Self { client_id, client_secret, grant_type, scope, resource, narrowing: details.is_some(), handle })
    }
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

    use super::TokenRequest;
    use crate::crypto::encoding::base64;

    const GRANT: &str = "grant_type=client_credentials";

    fn error(body: &str, authorization: Option<&str>) -> Option<&'static str> {
        TokenRequest::parse(body.as_bytes(), authorization).err().map(|error| error.code())
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
        assert_eq!((request.client_id.as_str(), request.scope, request.resource), ("cli_0", None, None));
        assert!(!request.narrowing);
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
            assert_eq!(request.client_id, id);
            assert_eq!(request.client_secret.expose_text(str::to_owned), Some(secret));
        }
    }

    #[test]
    fn ca_02_basic_carries_the_awkward_characters() {
        let header = format!("Basic {}", base64("a%3Ab%25c+d%2Be:%C3%A4:%2526%26".as_bytes()));
        let request = TokenRequest::parse(GRANT.as_bytes(), Some(&header)).unwrap();
        assert_eq!(request.client_id, "a:b%c d+e");
        assert_eq!(request.client_secret.expose_text(str::to_owned), Some("\u{e4}:%26&".to_owned()));
    }
}
