//! Who asks with a tool's token: reads `Authorization` and `DPoP`, and answers what is not good with the challenge that says what is
//! (RFC 6750 section 3, RFC 9449 section 7.1, RFC 9728 section 5.1).

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::domain::id::RequestId;
use crate::domain::token::Claims;
use crate::http::HttpState;
use crate::http::oauth;
use crate::oauth::{DPOP_ALGS, NotAdmitted, OauthError, Origin, Presented, Scheme};

/// Where a tool puts its proof.
const PROOF: HeaderName = HeaderName::from_static("dpop");
/// Where we put the nonce for its next one.
const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// A verified token whose grant stands, shown by whom it is bound to.
#[derive(Debug)]
pub(super) struct Bearer(pub(super) Claims);

impl FromRequestParts<HttpState> for Bearer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Response> {
        let origin = Origin::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let refused = |scheme, error| challenge(state, scheme, Some(&error), &origin.request_id);
        let (scheme, token) = match presented(&parts.headers) {
            Ok(Some(found)) => found,
            Ok(None) => return Err(challenge(state, None, None, &origin.request_id)),
            Err(error) => return Err(refused(None, error.into())),
        };
        let proof = match scheme {
            Scheme::Bearer => None,
            Scheme::Dpop => proof(&parts.headers).map_err(|error| refused(Some(scheme), error.into()))?,
        };
        let shown =
            Presented { scheme, token, proof: proof.as_deref(), method: parts.method.as_str(), path: parts.uri.path() };
        state.tokens.admit(&shown, &origin).await.map(Self).map_err(|error| refused(Some(scheme), error))
    }
}

/// Where a client may prove itself instead: `None` when the request shows something else than a token.
impl OptionalFromRequestParts<HttpState> for Bearer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Option<Self>, Response> {
        let shows_other =
            parts.headers.contains_key(header::AUTHORIZATION) && matches!(presented(&parts.headers), Ok(None));
        if shows_other {
            return Ok(None);
        }
        <Self as FromRequestParts<HttpState>>::from_request_parts(parts, state).await.map(Some)
    }
}

/// The one proof of a request (RFC 9449 section 4.3). One that cannot be text is kept, and fails as a proof.
pub(super) fn proof(headers: &HeaderMap) -> Result<Option<String>, OauthError> {
    let mut values = headers.get_all(PROOF).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(OauthError::InvalidDpopProof("more than one DPoP header")),
        (first, None) => Ok(first.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())),
    }
}

/// Names the nonce for the next proof, to whoever sends proofs or has to.
pub(super) fn with_nonce(state: &HttpState, mut response: Response) -> Response {
    if let Ok(nonce) = HeaderValue::from_str(&state.tokens.dpop_nonce()) {
        response.headers_mut().insert(NONCE, nonce);
    }
    response
}

/// Scheme and token; `None` where the request says nothing of the kind.
fn presented(headers: &HeaderMap) -> Result<Option<(Scheme, &str)>, OauthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(OauthError::InvalidRequest("more than one Authorization header"));
    }
    let text = first.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((scheme, token)) = text.split_once(' ') else { return Ok(None) };
    let known = [("bearer", Scheme::Bearer), ("dpop", Scheme::Dpop)];
    let scheme = known.into_iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name)).map(|(_, scheme)| scheme);
    Ok(scheme.map(|scheme| (scheme, token.trim_matches(' '))))
}

/// A refusal. Both schemes are offered, the one that was tried first and with what is wrong.
fn challenge(state: &HttpState, tried: Option<Scheme>, error: Option<&NotAdmitted>, id: &RequestId) -> Response {
    let status = match error {
        Some(NotAdmitted::Oauth(OauthError::InvalidRequest(_))) => StatusCode::BAD_REQUEST,
        Some(NotAdmitted::Oauth(
            error @ (OauthError::SlowDown { .. } | OauthError::TemporarilyUnavailable | OauthError::ServerError),
        )) => return oauth::refused(error, id),
        _ => StatusCode::UNAUTHORIZED,
    };
    let (code, description) = error.map_or_else(
        || ("invalid_token", "an access token is needed".to_owned()),
        |error| (error.code(), error.to_string()),
    );
    let response = oauth::error(status, code, &description, Some(id));
    let wrong = match error {
        // RFC 6750 section 3.1: who showed nothing is told of no error.
        None => String::new(),
        Some(_) => format!("error=\"{code}\", error_description=\"{description}\", "),
    };
    let response = offer(state, tried, &wrong, response);
    if tried == Some(Scheme::Dpop) { with_nonce(state, response) } else { response }
}

/// Adds the challenges of both schemes, that of the one that was tried first and with what is wrong.
pub(super) fn offer(state: &HttpState, tried: Option<Scheme>, wrong: &str, mut response: Response) -> Response {
    let metadata = format!("resource_metadata=\"{}\"", state.tokens.resource_metadata_url());
    let said = |scheme| if tried.is_none_or(|tried| tried == scheme) { wrong } else { "" };
    let bearer = format!("Bearer realm=\"mailwarden\", {}{metadata}", said(Scheme::Bearer));
    let dpop = format!("DPoP {}algs=\"{}\", {metadata}", said(Scheme::Dpop), DPOP_ALGS.join(" "));
    let lines = if tried == Some(Scheme::Dpop) { [dpop, bearer] } else { [bearer, dpop] };
    for line in lines {
        if let Ok(value) = HeaderValue::from_str(&line) {
            response.headers_mut().append(header::WWW_AUTHENTICATE, value);
        }
    }
    response
}
