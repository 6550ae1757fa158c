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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{fetch, is_address};
    use crate::upstream::key_host::{KeyHost, Says, answer};
    use crate::upstream::{DialPolicy, Dialer, UpstreamError};

    #[tokio::test]
    async fn ca_14_keys_come_from_the_very_https_url_and_a_verified_host() {
        let host = KeyHost::start(answer("200 OK", "Cache-Control: public, Max-Age=600\r\n", "{}")).await;
        let published = fetch(&host.dialer(), &host.url()).await.unwrap();
        assert_eq!((&*published.body, published.max_age), (&b"{}"[..], Some(600)));
        host.says(Says::Octets(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_vec()));
        let published = fetch(&host.dialer(), &host.url()).await.unwrap();
        assert_eq!((&*published.body, published.max_age), (&b"{}"[..], None));
        // A host that only its own authority knows.
        let allowed = DialPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()] };
        assert_eq!(fetch(&Dialer::new(allowed), &host.url()).await, Err(UpstreamError::Certificate));
        // Another name than its certificate's.
        let other = host.url().replace("localhost", "127.0.0.1");
        assert_eq!(fetch(&host.dialer(), &other).await, Err(UpstreamError::Certificate));
        for wrong in [
            "http://localhost/",
            "file:///etc/passwd",
            "ftp://localhost/",
            "https://",
            "https://user@localhost/",
            "https://user:pw@localhost/",
            "https://localhost/#x",
            "//localhost/",
            "localhost",
            &format!("https://localhost/{}", "x".repeat(2048)),
        ] {
            assert!(!is_address(wrong), "{wrong}");
            assert_eq!(fetch(&host.dialer(), wrong).await, Err(UpstreamError::NotAllowed), "{wrong}");
        }
    }

    #[tokio::test]
    async fn ca_14_private_addresses_are_not_dialled() {
        let host = KeyHost::start(answer("200 OK", "", "{}")).await;
        let dialer = Dialer::new(DialPolicy::default());
        let here = host.url();
        for name in ["localhost", "127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0"]
        {
            let outcome = fetch(&dialer, &here.replace("localhost", name)).await;
            assert_eq!(outcome, Err(UpstreamError::NotAllowed), "{name}");
        }
        assert_eq!(fetch(&dialer, "https://169.254.169.254/").await, Err(UpstreamError::NotAllowed));
        assert_eq!(host.asked(), 0, "somebody was dialled");
    }

    #[tokio::test]
    async fn ca_14_redirects_floods_and_slow_answers_are_left_in_time() {
        let elsewhere = KeyHost::start(answer("200 OK", "", "{}")).await;
        let host = KeyHost::start(Says::Nothing).await;
        let moved = format!("Location: {}\r\n", elsewhere.url());
        let flood = "x".repeat(10_000_000);
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(3));
        let head = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1_000_000));
        for (says, expected) in [
            (answer("302 Found", &moved, "{}"), UpstreamError::Protocol),
            (answer("301 Moved Permanently", &moved, "{}"), UpstreamError::Protocol),
            (answer("404 Not Found", "", "{}"), UpstreamError::Protocol),
            (answer("200 OK", "", &flood), UpstreamError::Protocol),
            (Says::Octets(chunked.into_bytes()), UpstreamError::Protocol),
            (Says::Octets(head.into_bytes()), UpstreamError::Protocol),
            (Says::Octets(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec()), UpstreamError::Protocol),
            (Says::Octets(b"* OK ready\r\n".to_vec()), UpstreamError::Protocol),
            (Says::Nothing, UpstreamError::Timeout),
            (Says::Drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".repeat(10)), UpstreamError::Timeout),
        ] {
            let name: String = format!("{says:?}").chars().take(100).collect();
            host.says(says);
            let began = Instant::now();
            let outcome = fetch(&host.dialer(), &host.url()).await;
            assert_eq!(outcome, Err(expected), "{name}");
            // Two seconds; this allows for a loaded machine.
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        }
        assert_eq!(elsewhere.asked(), 0, "a redirect was followed");
    }
}
