//! One connection of the load: TLS 1.3, never resumed, certificates unchecked.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::peer::Login;

pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    input: Vec<u8>,
}

impl Client {
    async fn connect(tls: &Arc<ClientConfig>, port: u16) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(ServerName::try_from("localhost")?, tcp).await?;
        Ok(Self { stream, input: Vec::new() })
    }

    /// Logged in, nothing selected.
    pub(crate) async fn imap(tls: &Arc<ClientConfig>, port: u16, login: &Login) -> anyhow::Result<Self> {
        let mut client = Self::connect(tls, port).await?;
        client.until("* OK").await?;
        client.command(&login.imap).await?;
        Ok(client)
    }

    /// Logged in, no transaction begun.
    pub(crate) async fn smtp(tls: &Arc<ClientConfig>, port: u16, login: &Login) -> anyhow::Result<Self> {
        let mut client = Self::connect(tls, port).await?;
        client.until("220 ").await?;
        client.said("EHLO load.example.com", "250 ").await?;
        client.said(&login.smtp, "235 ").await?;
        Ok(client)
    }

    /// One message.
    pub(crate) async fn send(&mut self, sender: &str, message: &[u8]) -> anyhow::Result<()> {
        self.said(&format!("MAIL FROM:<{sender}>"), "250 ").await?;
        self.said("RCPT TO:<somebody@example.net>", "250 ").await?;
        self.said("DATA", "354 ").await?;
        self.stream.write_all(message).await?;
        self.stream.flush().await?;
        self.until("250 ").await
    }

    /// An IMAP command that must succeed.
    pub(crate) async fn command(&mut self, text: &str) -> anyhow::Result<()> {
        self.said(&format!("a {text}"), "a OK").await
    }

    /// Says a line and waits for the line that begins with `end`.
    pub(crate) async fn said(&mut self, text: &str, end: &str) -> anyhow::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        self.until(end).await
    }

    async fn until(&mut self, end: &str) -> anyhow::Result<()> {
        loop {
            while let Some(at) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=at).collect();
                if line.starts_with(end.as_bytes()) {
                    return Ok(());
                }
                let line = String::from_utf8_lossy(&line).into_owned();
                let is_refusal = line.starts_with("a NO") || line.starts_with("a BAD") || line.starts_with(['4', '5']);
                anyhow::ensure!(!is_refusal, "refused: {line}");
            }
            anyhow::ensure!(self.stream.read_buf(&mut self.input).await? > 0, "the connection ended before {end:?}");
        }
    }

    /// Fetches everything and looks at its end alone; gives how many octets came.
    pub(crate) async fn fetch_all(&mut self) -> anyhow::Result<u64> {
        self.stream.write_all(b"f FETCH 1:* (BODY.PEEK[])\r\n").await?;
        self.stream.flush().await?;
        let mut buffer = vec![0; 256 * 1024];
        let (mut kept, mut count) = (0, 0);
        loop {
            let read = self.stream.read(buffer.get_mut(kept..).unwrap_or_default()).await?;
            anyhow::ensure!(read > 0, "the connection ended");
            count += u64::try_from(read)?;
            let seen = buffer.get(..kept + read).unwrap_or_default();
            if seen.ends_with(b"\r\n") {
                let tail = seen.get(seen.len().saturating_sub(200)..).unwrap_or_default();
                let line = tail
                    .strip_suffix(b"\r\n")
                    .unwrap_or_default()
                    .rsplit(|byte| *byte == b'\n')
                    .next()
                    .unwrap_or_default();
                if line.starts_with(b"f ") {
                    anyhow::ensure!(line.starts_with(b"f OK"), "refused: {}", String::from_utf8_lossy(line));
                    return Ok(count);
                }
            }
            let from = (kept + read).saturating_sub(200);
            buffer.copy_within(from..kept + read, 0);
            kept = kept + read - from;
        }
    }
}
