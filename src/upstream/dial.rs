//! Connections to upstreams: resolved once, the address judged, that address dialled, the certificate always verified.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::domain::mailbox::Endpoint;
use crate::upstream::UpstreamError;
use crate::upstream::trust::Trust;
use crate::upstream::wire::{Stream, keep_alive};

/// How long it may take to look the host up and to connect, whichever of its addresses answers (UP-05).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take (UP-05).
const TLS_TIMEOUT: Duration = Duration::from_secs(5);
/// How many addresses of a host are tried.
const MOST_ADDRESSES: usize = 4;
/// How long greeting and login may take together (UP-05).
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Which addresses may be dialled.
#[derive(Clone, Debug, Default)]
pub struct DialPolicy {
    /// Networks allowed although they are not public.
    pub allow_networks: Vec<IpNet>,
}

/// Dials upstreams; cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    policy: Arc<DialPolicy>,
    trust: Trust,
}

impl Dialer {
    /// A dialer that obeys `policy`.
    pub fn new(policy: DialPolicy) -> Self {
        Self { policy: Arc::new(policy), trust: Trust::public() }
    }

    /// The same dialer, which trusts the CA certificates in `pem` beside the public ones.
    pub fn trusting(self, pem: &str) -> Result<Self, UpstreamError> {
        Ok(Self { trust: Trust::public_and(pem)?, ..self })
    }

    /// Opens the TCP connection.
    pub async fn tcp(&self, endpoint: &Endpoint) -> Result<TcpStream, UpstreamError> {
        self.reach(tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))).await
    }

    /// Connects to what `lookup` finds, as far as it may be dialled. Nothing is looked up again: a name that means something else a moment
    /// later leads nowhere else (UP-04).
    async fn reach<A: Iterator<Item = SocketAddr>>(
        &self,
        lookup: impl Future<Output = std::io::Result<A>>,
    ) -> Result<TcpStream, UpstreamError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let addresses = timeout_at(deadline, lookup)
            .await
            .map_err(|_| UpstreamError::Timeout)?
            .map_err(|_| UpstreamError::Unreachable)?;
        let allowed: Vec<SocketAddr> = addresses.filter(|address| self.allows(address.ip())).collect();
        if allowed.is_empty() {
            return Err(UpstreamError::NotAllowed);
        }
        connect(&allowed, deadline).await
    }

    /// Starts TLS on `stream`, verified against the endpoint's host name.
    pub async fn tls(&self, endpoint: &Endpoint, stream: TcpStream) -> Result<Stream, UpstreamError> {
        let config = self.trust.settings(endpoint.ca_pem.as_deref())?;
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| UpstreamError::Certificate)?;
        match timeout(TLS_TIMEOUT, TlsConnector::from(config).connect(name, stream)).await {
            Ok(Ok(tls)) => Ok(Box::new(tls)),
            Ok(Err(error))
                if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) =>
            {
                Err(UpstreamError::Certificate)
            }
            Ok(Err(error))
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ) =>
            {
                Err(UpstreamError::Unreachable)
            }
            Ok(Err(_)) => Err(UpstreamError::Protocol),
            Err(_) => Err(UpstreamError::Timeout),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.policy.allow_networks.iter().any(|network| network.contains(&address))
    }
}

/// Connects to the first address that answers. Each has its share of what is left of the time, so that one that is silent does not use up
/// that of the others.
async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, UpstreamError> {
    let mut last = UpstreamError::Unreachable;
    let tried = addresses.iter().take(MOST_ADDRESSES);
    for (address, left) in tried.clone().zip((1..=u32::try_from(tried.len()).unwrap_or(1)).rev()) {
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Commands are small and answers awaited.
                let _ = stream.set_nodelay(true);
                keep_alive(&stream);
                return Ok(stream);
            }
            Ok(Err(_)) => last = UpstreamError::Unreachable,
            Err(_) => last = UpstreamError::Timeout,
        }
    }
    Err(last)
}

/// Whether `address` is reachable by everybody: not private, loopback, link-local, carrier-grade NAT, multicast, reserved, nor one of
/// those wrapped in IPv6 (UP-04).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_unspecified()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (18..20).contains(&b)))
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = embedded(v6) {
                return is_public(v4);
            }
            let [first, second, ..] = v6.segments();
            // 2001::/23 holds tunnels (Teredo) and other protocols' addresses; 2001:db8::/32 and 3fff::/20 are for examples.
            let is_special =
                first == 0x2001 && (second < 0x200 || second == 0xdb8) || first == 0x3fff && second < 0x1000;
            first & 0xe000 == 0x2000 && !is_special
        }
    }
}

/// The IPv4 address inside a mapped, NAT64 or 6to4 address.
fn embedded(v6: Ipv6Addr) -> Option<IpAddr> {
    if let Some(v4) = v6.to_ipv4_mapped() {
        return Some(IpAddr::V4(v4));
    }
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let join = |high: u16, low: u16| {
        let [w, x] = high.to_be_bytes();
        let [y, z] = low.to_be_bytes();
        Some(IpAddr::from([w, x, y, z]))
    };
    match (a, b) {
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => join(g, h),
        (0x2002, _) => join(b, c),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::{Instant, timeout};

    use super::{CONNECT_TIMEOUT, DialPolicy, Dialer, connect};
    use crate::domain::mailbox::{Endpoint, TlsMode};
    use crate::domain::secret::Secret;
    use crate::upstream::{UpstreamError, imap, smtp};

    fn endpoint(host: &str, port: u16, tls: TlsMode) -> Endpoint {
        Endpoint { host: host.to_owned(), port, tls, ca_pem: None }
    }

    #[test]
    fn up_04_only_public_addresses_are_dialled_unless_allowed() {
        let dialer = Dialer::new(DialPolicy::default());
        for wrong in [
            "127.0.0.1",
            "127.255.255.254",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0.0.0.0",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::5db8:d822",
            "2002:7f00:1::",
            "2002:c0a8:1::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:db8::1",
            "3fff::1",
        ] {
            assert!(!dialer.allows(wrong.parse().unwrap()), "{wrong}");
        }
        for right in ["52.96.0.1", "2603:1000::1", "64:ff9b::3460:1", "::ffff:52.96.0.1", "2a00::1", "2001:4860::1"] {
            assert!(dialer.allows(right.parse().unwrap()), "{right}");
        }
        let dialer = Dialer::new(DialPolicy { allow_networks: vec!["10.0.0.0/8".parse().unwrap()] });
        assert!(dialer.allows("10.1.2.3".parse().unwrap()) && !dialer.allows("127.0.0.1".parse().unwrap()));
        assert!(
            dialer.allows("::ffff:10.1.2.3".parse().unwrap()) && !dialer.allows("64:ff9b::a01:203".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn up_04_no_spelling_of_a_local_address_is_dialled() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialer = Dialer::new(DialPolicy::default());
        for host in [
            "127.0.0.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "127.1",
            "0177.0.0.1",
            "0",
            "0.0.0.0",
            "localhost",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
            "64:ff9b::7f00:1",
        ] {
            let outcome = dialer.tcp(&endpoint(host, port, TlsMode::Implicit)).await.map(drop);
            // Not every resolver reads every spelling; none may lead anywhere.
            assert!(
                matches!(outcome, Err(UpstreamError::NotAllowed | UpstreamError::Unreachable)),
                "{host}: {outcome:?}"
            );
        }
        let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(nobody.is_err(), "somebody was dialled");
        let open = Dialer::new(DialPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()] });
        assert!(open.tcp(&endpoint("127.0.0.1", port, TlsMode::Implicit)).await.is_ok());
    }

    #[tokio::test]
    async fn up_04_of_a_names_addresses_only_those_allowed_are_dialled() {
        let good = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let allowed = good.local_addr().unwrap();
        let bad = TcpListener::bind(("127.0.0.1", allowed.port())).await.unwrap();
        let hidden = bad.local_addr().unwrap();
        let dialer = Dialer::new(DialPolicy { allow_networks: vec!["127.0.0.2/32".parse().unwrap()] });
        let reach = |addresses: Vec<SocketAddr>| dialer.reach(async { Ok(addresses.into_iter()) });
        // A name that means both, in either order, and one that has come to mean the hidden one alone.
        for addresses in [vec![hidden, allowed], vec![allowed, hidden]] {
            assert_eq!(reach(addresses).await.unwrap().peer_addr().unwrap(), allowed);
        }
        assert!(matches!(reach(vec![hidden]).await, Err(UpstreamError::NotAllowed)));
        assert!(matches!(reach(vec![]).await, Err(UpstreamError::NotAllowed)));
        // Nobody answers at the only one allowed: there is no falling back on the other.
        drop(good);
        assert!(matches!(reach(vec![allowed, hidden]).await, Err(UpstreamError::Unreachable)));
        assert!(timeout(Duration::from_millis(50), bad.accept()).await.is_err(), "the hidden one was dialled");
    }

    /// An address that takes no connection and refuses none: its queue is full.
    async fn silent() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        while let Ok(Ok(tcp)) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            held.push(tcp);
            assert!(held.len() < 100, "there is room for all");
        }
        (address, listener, held)
    }

    #[tokio::test]
    async fn up_05_five_seconds_are_for_all_addresses_together() {
        let (hole, _listener, _held) = silent().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        tokio::time::pause();
        for (addresses, is_reached) in
            [(vec![hole], false), (vec![hole; 9], false), (vec![hole, hole, hole, good], true), (vec![good], true)]
        {
            let began = Instant::now();
            let outcome = connect(&addresses, began + CONNECT_TIMEOUT).await;
            let took = began.elapsed();
            assert_eq!(outcome.is_ok(), is_reached, "{addresses:?}: {outcome:?}");
            assert!(took < Duration::from_millis(5_100), "{addresses:?}: {took:?}");
            if let Ok(tcp) = outcome {
                let is_kept = rustix::net::sockopt::socket_keepalive(&tcp).unwrap();
                assert!(is_kept && rustix::net::sockopt::tcp_keepidle(&tcp).unwrap() < Duration::from_secs(120));
            }
        }
    }

    /// A peer that says `piece` every `pause`, on connections to the port that is returned.
    async fn drip(piece: &'static [u8], pause: Duration) -> (u16, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let peer = tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while tcp.write_all(piece).await.is_ok() {
                        tokio::time::sleep(pause).await;
                    }
                });
            }
        });
        (port, peer)
    }

    #[tokio::test(start_paused = true)]
    async fn up_05_a_slow_or_endless_upstream_is_left_in_time() {
        let dialer = Dialer::new(DialPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()] });
        let password = Secret::from_text("canary".to_owned());
        let never = Duration::from_secs(100_000);
        let second = Duration::from_secs(1);
        for (piece, pause, tls, most) in [
            // A black hole in the handshake, and in the greeting.
            (&b""[..], never, TlsMode::Implicit, 5),
            (b"", never, TlsMode::Starttls, 30),
            (b"x", second, TlsMode::Starttls, 30),
            (b"2", second, TlsMode::Starttls, 30),
            // As many lines as it likes, at once.
            (b"* OK and more\r\n", Duration::ZERO, TlsMode::Starttls, 30),
            (b"220-and more\r\n", Duration::ZERO, TlsMode::Starttls, 30),
        ] {
            let (port, peer) = drip(piece, pause).await;
            let endpoint = endpoint("127.0.0.1", port, tls);
            for is_imap in [true, false] {
                let began = Instant::now();
                let outcome = if is_imap {
                    imap::login(&dialer, &endpoint, "u", &password).await.map(drop)
                } else {
                    smtp::login(&dialer, &endpoint, "u", &password).await.map(drop)
                };
                assert!(
                    matches!(outcome, Err(UpstreamError::Timeout | UpstreamError::Protocol)),
                    "{piece:?}: {outcome:?}"
                );
                assert!(began.elapsed() <= Duration::from_secs(most + 1), "{piece:?}: {:?}", began.elapsed());
            }
            peer.abort();
        }
    }
}
