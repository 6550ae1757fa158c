//! An OAuth client of our own token endpoint: found by discovery (RFC 8414), asked by `client_credentials`, told of ended tokens (RFC 7009).

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::crypto::encoding::base64;
use crate::domain::address::MailAddress;
use crate::domain::secret::{AccessToken, ClientSecret, Secret};
use crate::domain::session::Protocol;

/// Where the metadata of an issuer `https://HOST/oauth` stands (RFC 8414 section 3).
const METADATA: &str = "/.well-known/oauth-authorization-server/oauth";
/// What asks for a handle.
const HANDLE_TYPE: &str = "urn:mailwarden:params:oauth:token-type:handle";
/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Largest answer taken, in octets.
const MAX_ANSWER: usize = 64 * 1024;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OauthClientError {
    /// No connection, or no answer.
    #[error("cannot reach {0}: check --url and --ca ({1})")]
    Unreachable(String, String),
    /// The metadata is not what RFC 8414 asks for.
    #[error("the metadata of {0} cannot be used: {1}")]
    Metadata(String, &'static str),
    /// The service said no.
    #[error("refused: {0} ({1})")]
    Refused(String, String),
    /// The answer is no token.
    #[error("the token endpoint gave an answer that is no token")]
    NoToken,
}

/// What a token is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The mailbox; `None`: the client's only or default one.
    pub mailbox: Option<MailAddress>,
    /// Scopes, separated by spaces; `None`: all that are granted.
    pub scope: Option<String>,
    /// A handle for this protocol instead of a signed token.
    pub handle: Option<Protocol>,
}

/// A token that was issued.
#[derive(Debug)]
pub struct Issued {
    /// The token or handle.
    pub token: Secret<AccessToken>,
    /// Its life.
    pub expires_in: Duration,
    /// The whole answer, as it came: the token is in it.
    pub answer: Secret<AccessToken>,
}

/// A client that knows where to ask and who it is.
#[derive(Debug)]
pub struct OauthClient {
    http: reqwest::Client,
    origin: String,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
    client_id: String,
    secret: Secret<ClientSecret>,
}

impl OauthClient {
    /// Reads the metadata of the service at `origin`. The secret will go to no other origin.
    pub async fn discover(
        http: reqwest::Client,
        origin: String,
        client_id: String,
        secret: Secret<ClientSecret>,
    ) -> Result<Self, OauthClientError> {
        let request = http.get(format!("{origin}{METADATA}"));
        let (status, text) = exchange(&origin, request).await?;
        let wrong = |what| OauthClientError::Metadata(origin.clone(), what);
        let metadata: Value = serde_json::from_str(&text).map_err(|_| wrong("it is not JSON"))?;
        if status != 200 {
            return Err(wrong("it is not there"));
        }
        // RFC 8414 section 3.3: another issuer's metadata must not be used.
        if metadata.get("issuer").and_then(Value::as_str) != Some(&format!("{origin}/oauth")) {
            return Err(wrong("it names another issuer; MAILWARDEN_URL must be the address of the issuer"));
        }
        let endpoint = |name: &str| match metadata.get(name).and_then(Value::as_str) {
            None => Ok(None),
            Some(url) if url.starts_with(&format!("{origin}/")) => Ok(Some(url.to_owned())),
            Some(_) => Err(wrong("it names an endpoint at another origin")),
        };
        let token_endpoint = endpoint("token_endpoint")?.ok_or_else(|| wrong("it names no token endpoint"))?;
        let revocation_endpoint = endpoint("revocation_endpoint")?;
        Ok(Self { http, origin, token_endpoint, revocation_endpoint, client_id, secret })
    }

    /// Asks for a token.
    pub async fn token(&self, wanted: &Wanted) -> Result<Issued, OauthClientError> {
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        form.extend(wanted.mailbox.as_ref().map(|mailbox| ("resource", mailbox.to_resource())));
        form.extend(wanted.scope.clone().map(|scope| ("scope", scope)));
        if let Some(protocol) = wanted.handle {
            form.push(("requested_token_type", HANDLE_TYPE.to_owned()));
            form.push(("protocol", protocol.as_str().to_owned()));
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let (status, answer) = self.post(&self.token_endpoint, body).await?;
        let members: Value = serde_json::from_str(&answer).map_err(|_| OauthClientError::NoToken)?;
        if status != 200 {
            return Err(refusal(&members));
        }
        let token = members.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
        let life = members.get("expires_in").and_then(Value::as_u64);
        let (token, life) = token.zip(life).ok_or(OauthClientError::NoToken)?;
        let token = Secret::from_text(token.to_owned());
        let answer = Secret::from_text(answer.as_str().to_owned());
        Ok(Issued { token, expires_in: Duration::from_secs(life), answer })
    }

    /// Ends a token before its time; `false` when the service offers no such thing and the token ends by itself.
    pub async fn revoke(&self, token: &Secret<AccessToken>) -> Result<bool, OauthClientError> {
        let Some(endpoint) = &self.revocation_endpoint else { return Ok(false) };
        let escaped = token.expose(|bytes| form_urlencoded::byte_serialize(bytes).collect::<String>());
        let (status, answer) = self.post(endpoint, format!("token={escaped}")).await?;
        if status == 200 {
            return Ok(true);
        }
        Err(refusal(&serde_json::from_str(&answer).unwrap_or_default()))
    }

    async fn post(&self, endpoint: &str, body: String) -> Result<(u16, Zeroizing<String>), OauthClientError> {
        // RFC 6749 section 2.3.1: both halves are form-encoded. Ours need no encoding.
        let basic = self.secret.expose(|secret| {
            let escape = |bytes: &[u8]| form_urlencoded::byte_serialize(bytes).collect::<String>();
            let pair = Zeroizing::new(format!("{}:{}", escape(self.client_id.as_bytes()), escape(secret)));
            Zeroizing::new(format!("Basic {}", base64(pair.as_bytes())))
        });
        let request = self
            .http
            .post(endpoint)
            .header("authorization", basic.as_str())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        exchange(&self.origin, request).await
    }
}

async fn exchange(
    origin: &str,
    request: reqwest::RequestBuilder,
) -> Result<(u16, Zeroizing<String>), OauthClientError> {
    let unreachable =
        |error: reqwest::Error| OauthClientError::Unreachable(origin.to_owned(), error.without_url().to_string());
    let mut response: Response = request.timeout(ANSWER_LIMIT).send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER {
            return Err(OauthClientError::Unreachable(origin.to_owned(), "the answer is too long".to_owned()));
        }
    }
    Ok((status, Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())))
}

/// What an error of RFC 6749 section 5.2 says. Its texts are the service's own; control characters have no business on a terminal.
fn refusal(members: &Value) -> OauthClientError {
    let text = |name: &str| {
        let text = members.get(name).and_then(Value::as_str).unwrap_or("no reason given");
        text.chars().filter(|c| !c.is_control()).take(300).collect::<String>()
    };
    OauthClientError::Refused(text("error"), text("error_description"))
}
