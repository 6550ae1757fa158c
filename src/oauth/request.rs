//! A token request, parsed strictly (RFC 6749 sections 2.3, 3.2, 4.4).

use crate::crypto::encoding::from_base64;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{ClientSecret, Secret};
use crate::oauth::OauthError;

/// What a client asks for.
#[derive(Debug)]
pub struct TokenRequest {
    /// Who it says it is.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret<ClientSecret>,
    /// The scopes it names; `None` means the grant's.
    pub scopes: Option<ScopeSet>,
    /// The mailbox it names.
    pub resource: Option<String>,
}

impl TokenRequest {
    /// Reads the form body and the `Authorization` header. Unknown parameters are ignored, empty ones count as absent.
    pub fn parse(body: &[u8], authorization: Option<&str>) -> Result<Self, OauthError> {
        let mut fields: [(&str, Option<String>); 7] = [
            ("grant_type", None),
            ("client_id", None),
            ("client_secret", None),
            ("scope", None),
            ("resource", None),
            ("client_assertion", None),
            ("authorization_details", None),
        ];
        for (name, value) in form_urlencoded::parse(body) {
            if let Some((_, place)) = fields.iter_mut().find(|(known, _)| *known == name)
                && !value.is_empty()
                && place.replace(value.into_owned()).is_some()
            {
                return Err(match name.as_ref() {
                    // RFC 8707 lets it be repeated; a token of ours opens one mailbox.
                    "resource" => OauthError::InvalidTarget,
                    _ => OauthError::InvalidRequest("a parameter is repeated"),
                });
            }
        }
        let [(_, grant_type), (_, id), (_, secret), (_, scope), (_, resource), (_, assertion), (_, details)] = fields;
        match grant_type.as_deref() {
            Some("client_credentials") => (),
            Some(_) => return Err(OauthError::UnsupportedGrantType),
            None => return Err(OauthError::InvalidRequest("grant_type is missing")),
        }
        let (client_id, client_secret) = match (authorization, secret) {
            (Some(_), Some(_)) => return Err(OauthError::InvalidRequest("more than one client authentication")),
            (Some(_), None) if assertion.is_some() => {
                return Err(OauthError::InvalidRequest("more than one client authentication"));
            }
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
        if details.is_some() {
            // Ignoring a narrowing would give out a wider token than was asked for.
            return Err(OauthError::InvalidAuthorizationDetails);
        }
        let scopes = scope.map(|text| text.parse::<ScopeSet>().map_err(|_| OauthError::InvalidScope)).transpose()?;
        Ok(Self {
            client_id,
            client_secret: Secret::from_text(client_secret),
            scopes: scopes.filter(|set| !set.is_empty()),
            resource,
        })
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
    let unescape = |text: &str| {
        let pair = format!("x={text}");
        form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((unescape(id)?, unescape(secret)?))
}

#[cfg(test)]
mod tests {
    use super::TokenRequest;
    use crate::crypto::encoding::base64;
    use crate::oauth::OauthError;

    fn error(body: &str, authorization: Option<&str>) -> Option<&'static str> {
        TokenRequest::parse(body.as_bytes(), authorization).err().map(|error| error.code())
    }

    #[test]
    fn one_authentication_and_no_repetition() {
        let header = format!("bAsIc {}", base64(b"cli_0:a%2Bb%3Ac"));
        let request = TokenRequest::parse(b"grant_type=client_credentials&foo=1&scope=", Some(&header)).unwrap();
        assert_eq!((request.client_id.as_str(), request.scopes), ("cli_0", None));
        assert!(request.client_secret.expose(|secret| secret == b"a+b:c"));
        assert_eq!(
            error("grant_type=client_credentials&client_id=a&client_secret=b", Some(&header)),
            Some("invalid_request")
        );
        assert_eq!(error("grant_type=client_credentials&client_assertion=x", Some(&header)), Some("invalid_request"));
        assert_eq!(error("grant_type=client_credentials&client_id=other", Some(&header)), Some("invalid_client"));
        assert_eq!(error("grant_type=client_credentials", None), Some("invalid_client"));
        assert_eq!(error("grant_type=client_credentials", Some("Basic !!!")), Some("invalid_client"));
        assert_eq!(error("grant_type=a&grant_type=a", Some(&header)), Some("invalid_request"));
        assert_eq!(error("grant_type=password", Some(&header)), Some("unsupported_grant_type"));
        assert_eq!(error("", Some(&header)), Some("invalid_request"));
        assert_eq!(error("grant_type=client_credentials&scope=mail.root", Some(&header)), Some("invalid_scope"));
        assert_eq!(error("grant_type=client_credentials&resource=a&resource=b", Some(&header)), Some("invalid_target"));
        assert_eq!(
            error("grant_type=client_credentials&authorization_details=%5B%5D", Some(&header)),
            Some(OauthError::InvalidAuthorizationDetails.code())
        );
    }
}
