//! The proxies in front of us. Those that are listed say first whose connection they pass on, and are believed; whoever else says so is
//! closed (GW-14).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::protocol::proxy::{self, BadHeader, MAX_HEADER, Progress, Source};

/// How long a listed proxy may take for its header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The networks whose word about addresses is taken; cheap to clone.
#[derive(Clone, Debug)]
pub struct Proxies(Arc<[IpNet]>);

/// A listed proxy did not say whose connection it passes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotTold {
    /// It said something else.
    #[error(transparent)]
    Malformed(#[from] BadHeader),
    /// It went away.
    #[error("gone before a whole header of the PROXY protocol: {0}")]
    Gone(#[from] io::Error),
    /// It said too little for too long.
    #[error("no whole header of the PROXY protocol in time")]
    TooLate,
}

impl Proxies {
    /// Those in these networks.
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// The connection of `peer`, and where it comes from.
    pub async fn arrival(&self, mut tcp: TcpStream, peer: SocketAddr) -> Result<(Arrival, SocketAddr), NotTold> {
        if !self.list(peer.ip()) {
            return Ok((Arrival { tcp, peer, first: Some(Vec::new()) }, peer));
        }
        let told = tokio::time::timeout(HEADER_TIMEOUT, header(&mut tcp)).await.map_err(|_| NotTold::TooLate)?;
        let source = match told? {
            Source::Of(source) => source,
            Source::Proxy => peer,
        };
        Ok((Arrival { tcp, peer, first: None }, source))
    }

    fn list(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Reads a header and not an octet more.
async fn header(tcp: &mut TcpStream) -> Result<Source, NotTold> {
    let mut octets = [0; MAX_HEADER];
    let mut known = 0;
    loop {
        let (so_far, room) = octets.split_at_mut(known);
        let more = match proxy::read(so_far)? {
            Progress::Done(source) => return Ok(source),
            Progress::More(more) => more,
        };
        let read = tcp.read(room.get_mut(..more).unwrap_or_default()).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        known += read;
    }
}

/// A connection, past the header of a listed proxy. That of anybody else fails when it begins with one.
#[derive(Debug)]
pub struct Arrival {
    tcp: TcpStream,
    peer: SocketAddr,
    /// What came first, until it is known to be no header.
    first: Option<Vec<u8>>,
}

impl AsyncRead for Arrival {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buffer))?;
        let Some(first) = &mut self.first else { return Poll::Ready(Ok(())) };
        first.extend(buffer.filled().iter().skip(before).take(MAX_HEADER));
        match proxy::begins_header(first) {
            None => {}
            Some(false) => self.first = None,
            Some(true) => {
                tracing::info!(peer = %self.peer, "not listed in proxy_protocol_from and says whose connection it is: closed");
                buffer.set_filled(before);
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Arrival {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
