//! A line client over TLS that sends exactly the bytes it is given.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// One connection.
pub(crate) struct Wire {
    stream: StreamOwned<ClientConnection, TcpStream>,
    held: Vec<u8>,
}

impl Wire {
    /// Connects to a port of this machine with TLS from the start.
    pub(crate) fn connect(port: u16, ca: &Path) -> Self {
        Self::over(tcp(port), ca)
    }

    /// Starts TLS on a connection that was made already.
    pub(crate) fn over(tcp: TcpStream, ca: &Path) -> Self {
        Self::with(tcp, Arc::new(tls_settings(ca)))
    }

    /// Starts TLS with settings of one's own, which may show a certificate or remember sessions.
    pub(crate) fn with(tcp: TcpStream, settings: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").expect("a good name");
        let connection = ClientConnection::new(settings, name).expect("TLS settings");
        Self { stream: StreamOwned::new(connection, tcp), held: Vec::new() }
    }

    /// Whether the TLS session is an earlier one, resumed. To be asked once something was read.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// Shakes hands at a port of this machine as a client that asks for `name` and offers `alpn`; gives what it then could not do.
    pub(crate) fn handshake(port: u16, ca: &Path, name: &str, alpn: &[&str]) -> io::Result<()> {
        let mut settings = tls_settings(ca);
        settings.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).expect("a good name");
        let mut connection = ClientConnection::new(Arc::new(settings), name).expect("TLS settings");
        let mut tcp = tcp(port);
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        // The server's alert may come after a client of TLS 1.3 is done.
        Wire { stream: StreamOwned::new(connection, tcp), held: Vec::new() }.try_line().map(drop)
    }

    /// How long a read may wait.
    pub(crate) fn patience(&self, limit: Duration) {
        self.stream.sock.set_read_timeout(Some(limit)).expect("set the time limit");
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).expect("send");
    }

    /// Sends bytes to a peer that may have gone.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// One line without its ending, or `None` at the end of the connection.
    pub(crate) fn try_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
                let line = self.held.drain(..=end).collect::<Vec<_>>();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// The octets of one line with its ending, or `None` when the connection ends before that.
    pub(crate) fn raw_line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
                return Some(self.held.drain(..=end).collect());
            }
            if !self.fill().unwrap_or_else(|error| panic!("read a line: {error}")) {
                return None;
            }
        }
    }

    /// Waits for more of what the peer says; `false` when it has gone.
    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16384];
        let outcome = match self.stream.read(&mut chunk) {
            // Something could not be sent any more. What the peer said before it went is there all the same.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.read_only(&mut chunk),
            outcome => outcome,
        };
        match outcome {
            Ok(read) => {
                self.held.extend_from_slice(&chunk[..read]);
                Ok(read > 0)
            }
            Err(error) if [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset].contains(&error.kind()) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn read_only(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        let StreamOwned { conn, sock } = &mut self.stream;
        loop {
            match conn.reader().read(chunk) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                outcome => return outcome,
            }
            if conn.read_tls(sock)? == 0 {
                return Ok(0);
            }
            conn.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// One line from a peer that must still be there.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.try_line().expect("read a line").expect("the connection ended")
    }

    /// Reads up to the tagged answer and returns all lines, that one last.
    pub(crate) fn answer(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            let last = line.strip_prefix(tag).is_some_and(|rest| rest.starts_with(' '));
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    /// Sends one IMAP command and returns its answer.
    pub(crate) fn command(&mut self, tag: &str, command: &str) -> Vec<String> {
        self.send(format!("{tag} {command}\r\n"));
        self.answer(tag)
    }

    /// Sends one IMAP command that must succeed.
    pub(crate) fn command_ok(&mut self, tag: &str, command: &str) -> Vec<String> {
        let lines = self.command(tag, command);
        let last = lines.last().expect("an answer has a line");
        assert!(last.starts_with(&format!("{tag} OK")), "{command:?} was answered {lines:?}");
        lines
    }

    /// Reads a reply of SMTP, all its lines.
    pub(crate) fn reply(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    /// Reads without keeping anything; `last` is shown the end of what came so far and says when it is enough.
    pub(crate) fn each_chunk(&mut self, mut last: impl FnMut(&[u8]) -> bool) {
        let mut chunk = std::mem::take(&mut self.held);
        while chunk.is_empty() || !last(&chunk) {
            chunk.resize(64 << 10, 0);
            let read = self.stream.read(&mut chunk).expect("read on");
            assert!(read > 0, "the connection ended");
            chunk.truncate(read);
        }
    }

    /// Exactly so many octets.
    pub(crate) fn octets(&mut self, count: usize) -> Vec<u8> {
        while self.held.len() < count {
            let mut chunk = [0; 16384];
            let read = self.stream.read(&mut chunk).expect("read");
            assert!(read > 0, "the connection ended");
            self.held.extend_from_slice(&chunk[..read]);
        }
        self.held.drain(..count).collect()
    }

    /// Whether an HTTP/2 peer sends GOAWAY or closes, as opposed to answering a PING.
    pub(crate) fn says_goodbye(&mut self) -> bool {
        loop {
            while self.held.len() >= 9 {
                let length =
                    usize::from(self.held[0]) << 16 | usize::from(self.held[1]) << 8 | usize::from(self.held[2]);
                match (self.held[3], self.held[4]) {
                    (7, _) => return true,
                    (6, 1) => return false,
                    _ if self.held.len() < 9 + length => break,
                    _ => drop(self.held.drain(..9 + length)),
                }
            }
            let mut chunk = [0; 16384];
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => return true,
                Ok(read) => self.held.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// Everything until the peer closes.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        while let Some(line) = self.try_line()? {
            lines.push(line);
        }
        if !self.held.is_empty() {
            lines.push(String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned());
        }
        Ok(lines)
    }
}

/// A refusal without the id of its verdict, which differs each time.
pub(crate) fn without_verdict(text: &str) -> String {
    match text.split_once("vrd_") {
        Some((before, after)) => format!("{before}{}", after.get(12..).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A connection to a port of this machine.
pub(crate) fn tcp(port: u16) -> TcpStream {
    prepared(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect"))
}

/// The same from any address of loopback: to the server it is another source.
pub(crate) fn tcp_from(source: IpAddr, port: u16) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stream: TcpStream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(source, 0)).expect("bind the source address");
        let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.expect("connect");
        stream.into_std().expect("a blocking socket")
    });
    stream.set_nonblocking(false).expect("a blocking socket");
    prepared(stream)
}

fn prepared(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set the time limit");
    stream.set_write_timeout(Some(Duration::from_secs(30))).expect("set the time limit");
    stream.set_nodelay(true).expect("send at once");
    stream
}

/// What an HTTPS request was answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value, if it is there exactly once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            line.split_once(':').filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        });
        values.next().filter(|_| values.next().is_none())
    }

    /// All values of a header that may stand there several times.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// One HTTPS request on a connection of its own; `None` when the peer went away first.
pub(crate) fn https(port: u16, ca: &Path, head: &str, body: &str) -> Option<Answer> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut wire = Wire::over(stream, ca);
    let length = body.len();
    let request =
        format!("{head}\r\nHost: localhost:{port}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    wire.try_send(request.as_bytes()).ok()?;
    let mut lines = Vec::new();
    loop {
        let line = wire.try_line().ok()??;
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let status = lines.first()?.split(' ').nth(1)?.parse().ok()?;
    let body = wire.rest().ok()?.join("\n");
    Some(Answer { status, head: lines.join("\n"), body })
}

/// Settings that trust `ca` alone.
pub(crate) fn tls_settings(ca: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(ca).expect("read the CA");
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.expect("a PEM certificate")).expect("a CA certificate");
    }
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
