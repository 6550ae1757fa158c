//! Fetching the key set that somebody else publishes (RFC 7517). The URL comes from an operator of the API, so it is dialled like any
//! upstream: resolved once, the address judged, the certificate verified; no redirect, no proxy, little memory and little time.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONNECTION, HOST, HeaderMap};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use url::{Host, Url};

use crate::domain::mailbox::{Endpoint, TlsMode};
use crate::upstream::{Dialer, UpstreamError};

/// How long all of it may take (CA-14).
const LIMIT: Duration = Duration::from_secs(2);
/// Longest answer, in octets.
const MAX_BODY: usize = 64 * 1024;
/// Longest URL, in octets.
const MAX_URL: usize = 2048;

/// What was published.
#[derive(Debug, PartialEq, Eq)]
pub struct Published {
    /// Presumably JSON.
    pub body: Vec<u8>,
    /// How long its owner says that it may be kept, in seconds.
    pub max_age: Option<i64>,
}

/// Whether a key set can be fetched from there: an https URL without user name, password and fragment.
pub fn is_address(url: &str) -> bool {
    address(url).is_some()
}

/// Fetches what is there now.
pub async fn fetch(dialer: &Dialer, url: &str) -> Result<Published, UpstreamError> {
    let (url, endpoint) = address(url).ok_or(UpstreamError::NotAllowed)?;
    timeout(LIMIT, exchange(dialer, &url, &endpoint)).await.map_err(|_| UpstreamError::Timeout)?
}

fn address(url: &str) -> Option<(Url, Endpoint)> {
    let url = Url::parse(url).ok().filter(|_| url.len() <= MAX_URL)?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if url.scheme() != "https" || !is_plain {
        return None;
    }
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let port = url.port_or_known_default()?;
    Some((url, Endpoint { host, port, tls: TlsMode::Implicit, ca_pem: None }))
}

async fn exchange(dialer: &Dialer, url: &Url, endpoint: &Endpoint) -> Result<Published, UpstreamError> {
    let stream = dialer.tls(endpoint, dialer.tcp(endpoint).await?).await?;
    let connected = http1::Builder::new().max_buf_size(MAX_BODY).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = connected.map_err(|_| UpstreamError::Protocol)?;
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let authority = url.authority();
    let request = Request::get(target).header(HOST, authority).header(ACCEPT, "application/json");
    let request = request.header(CONNECTION, "close").body(String::new()).map_err(|_| UpstreamError::Protocol)?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(|_| UpstreamError::Protocol)?;
        if answer.status() != StatusCode::OK {
            return Err(UpstreamError::Protocol);
        }
        let max_age = max_age(answer.headers());
        Ok(Published { body: whole(answer.into_body()).await?, max_age })
    };
    // The connection ends by itself; what it has read by then is still to be taken.
    let driven = async {
        let _ = connection.await;
        pending::<()>().await;
    };
    tokio::select! {
        biased;
        published = answered => published,
        () = driven => Err(UpstreamError::Protocol),
    }
}

async fn whole(mut body: Incoming) -> Result<Vec<u8>, UpstreamError> {
    let mut octets = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| UpstreamError::Protocol)?;
        let Ok(data) = frame.into_data() else { continue };
        if octets.len() + data.len() > MAX_BODY {
            return Err(UpstreamError::Protocol);
        }
        octets.extend_from_slice(&data);
    }
    Ok(octets)
}

/// `max-age` of `Cache-Control` (RFC 9111 section 5.2.2.1).
fn max_age(headers: &HeaderMap) -> Option<i64> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives =
        values.flat_map(|value| value.split(',')).filter_map(|directive| directive.trim().split_once('='));
    directives
        .find(|(name, _)| name.eq_ignore_ascii_case("max-age"))
        .and_then(|(_, secs)| secs.trim_matches('"').parse().ok())
}
