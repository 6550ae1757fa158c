//! Connections whose other end is gone without a word. TCP alone never asks: it is told to.

use std::io;
use std::time::Duration;

use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl};
use tokio::net::TcpStream;

/// After so long a silence the other end is asked. It also keeps the memory of firewalls fresh: some forget in a few minutes.
const IDLE: Duration = Duration::from_secs(60);
/// How long each question waits for its answer.
const INTERVAL: Duration = Duration::from_secs(15);
/// After so many without an answer the connection is over.
const COUNT: u32 = 4;

/// Has the system find out when the other end is gone: two minutes after it was last heard. A connection for which that cannot be set
/// serves all the same.
pub fn keep_alive(tcp: &TcpStream) {
    let set = || -> io::Result<()> {
        set_tcp_keepidle(tcp, IDLE)?;
        set_tcp_keepintvl(tcp, INTERVAL)?;
        set_tcp_keepcnt(tcp, COUNT)?;
        set_socket_keepalive(tcp, true)?;
        Ok(())
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "keepalive could not be set");
    }
}
