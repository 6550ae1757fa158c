//! The ceiling of our own stack: TLS on both sides and octets in between, nothing looked at, no certificate checked.

use std::path::Path;

use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::tls;

const BUFFER: usize = 64 * 1024;

/// Prints its ports: IMAP and submission.
pub(crate) fn serve(folder: &Path, imap: &str, smtp: &str) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(tls::server(folder)?);
    let connector = TlsConnector::from(tls::client()?);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut ports = Vec::new();
        for upstream in [imap, smtp] {
            let upstream: u16 = upstream.parse()?;
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            ports.push(listener.local_addr()?.port().to_string());
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    let (acceptor, connector) = (acceptor.clone(), connector.clone());
                    tokio::spawn(async move { connection(tcp, upstream, &acceptor, &connector).await });
                }
            });
        }
        println!("{}", ports.join(" "));
        std::future::pending().await
    })
}

async fn connection(
    tcp: TcpStream,
    upstream: u16,
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
) -> anyhow::Result<()> {
    tcp.set_nodelay(true)?;
    let mut client = acceptor.accept(tcp).await?;
    let tcp = TcpStream::connect(("127.0.0.1", upstream)).await?;
    tcp.set_nodelay(true)?;
    let mut upstream = connector.connect(ServerName::try_from("localhost")?, tcp).await?;
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER).await?;
    Ok(())
}
