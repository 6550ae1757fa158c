//! An upstream for submission that does as it is told, well or badly, and keeps everything it was sent.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::ca::{Ca, Leaf};

/// What the upstream does at one step. Steps are named by the line that was received; `GREETING` and `.` stand for the banner and
/// the end of a message.
pub(crate) enum Act {
    /// What a good server does.
    Well,
    /// These bytes, and nothing else.
    Say(Vec<u8>),
    /// These bytes again and again, until the peer is gone.
    SayForEver(Vec<u8>),
    /// Nothing more: the connection is cut.
    Cut,
    /// Nothing more, but the connection stays until the peer goes.
    Silence,
}

impl Act {
    /// One line.
    pub(crate) fn say(line: &str) -> Self {
        Self::Say(format!("{line}\r\n").into_bytes())
    }
}

type Script = Box<dyn Fn(&str) -> Act + Send + Sync>;

#[derive(Default)]
struct Seen {
    clear: Mutex<Vec<u8>>,
    encrypted: Mutex<Vec<u8>>,
    messages: Mutex<Vec<Vec<u8>>>,
    logins: AtomicUsize,
    connections: AtomicUsize,
    is_over: AtomicBool,
}

struct Plan {
    tls: Option<Arc<ServerConfig>>,
    starttls: bool,
    script: Script,
    seen: Arc<Seen>,
}

/// A running upstream; it goes with this value.
pub(crate) struct SmtpUpstream {
    pub(crate) port: u16,
    seen: Arc<Seen>,
}

impl SmtpUpstream {
    /// With TLS from the start and a certificate for `localhost`.
    pub(crate) fn start(ca: &Ca, script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        Self::with(Some(&ca.issue("smtp-upstream")), false, script)
    }

    /// With this certificate.
    pub(crate) fn with_certificate(leaf: &Leaf, script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        Self::with(Some(leaf), false, script)
    }

    /// In the clear until STARTTLS.
    pub(crate) fn starttls(ca: &Ca, script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        Self::with(Some(&ca.issue("smtp-upstream-starttls")), true, script)
    }

    /// In the clear for good.
    pub(crate) fn clear(script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        Self::with(None, false, script)
    }

    fn with(leaf: Option<&Leaf>, starttls: bool, script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind any port");
        let port = socket.local_addr().expect("the bound address").port();
        let seen = Arc::new(Seen::default());
        let plan = Plan { tls: leaf.map(server_config), starttls, script: Box::new(script), seen: Arc::clone(&seen) };
        let plan = Arc::new(plan);
        std::thread::spawn(move || {
            for tcp in socket.incoming() {
                if plan.seen.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(tcp), plan) = (tcp, Arc::clone(&plan)) else { return };
                plan.seen.connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let _ = plan.serve(tcp);
                });
            }
        });
        Self { port, seen }
    }

    /// Whole messages, dots taken off, as far as the final dot came.
    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        self.seen.messages.lock().expect("no server thread panicked").clone()
    }

    /// How many logins were tried.
    pub(crate) fn logins(&self) -> usize {
        self.seen.logins.load(Ordering::SeqCst)
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// All it was sent inside TLS.
    pub(crate) fn encrypted(&self) -> String {
        text(&self.seen.encrypted)
    }

    /// All it was sent outside TLS, the records of TLS itself included.
    pub(crate) fn clear_text(&self) -> String {
        text(&self.seen.clear)
    }

    /// All it was sent, outside and inside TLS.
    pub(crate) fn received(&self) -> String {
        format!("{}{}", self.clear_text(), self.encrypted())
    }
}

impl Drop for SmtpUpstream {
    fn drop(&mut self) {
        self.seen.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// One connection, clear or not.
struct Peer<S> {
    stream: S,
    held: Vec<u8>,
}

impl<S: Read + Write> Peer<S> {
    fn line(&mut self, log: &Mutex<Vec<u8>>) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.held.windows(2).position(|pair| pair == b"\r\n") {
                let mut line = self.held.drain(..end + 2).collect::<Vec<_>>();
                line.truncate(end);
                return Ok(line);
            }
            let mut chunk = [0; 16384];
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            log.lock().expect("no server thread panicked").extend_from_slice(&chunk[..read]);
            self.held.extend_from_slice(&chunk[..read]);
        }
    }

    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Does what the script says; gives whether to do well.
    fn act(&mut self, act: Act, log: &Mutex<Vec<u8>>) -> io::Result<bool> {
        match act {
            Act::Well => return Ok(true),
            Act::Say(bytes) => self.say(&bytes)?,
            Act::SayForEver(bytes) => loop {
                self.say(&bytes)?;
            },
            Act::Cut => return Err(io::ErrorKind::ConnectionAborted.into()),
            Act::Silence => loop {
                self.line(log)?;
            },
        }
        Ok(false)
    }
}

impl Plan {
    fn serve(&self, tcp: TcpStream) -> io::Result<()> {
        tcp.set_read_timeout(Some(Duration::from_secs(120)))?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return self.converse(&mut Peer { stream: tcp, held: Vec::new() }, &self.seen.clear, true);
        };
        let mut tcp = Recorded { tcp, log: Arc::clone(&self.seen) };
        if self.starttls {
            let mut peer = Peer { stream: &mut tcp, held: Vec::new() };
            if peer.act((self.script)("GREETING"), &self.seen.clear)? {
                peer.say(b"220 upstream.example.test ESMTP\r\n")?;
            }
            loop {
                let line = peer.line(&self.seen.clear)?;
                let line = String::from_utf8_lossy(&line).into_owned();
                let is_well = peer.act((self.script)(&format!("CLEAR {line}")), &self.seen.clear)?;
                match line.as_str() {
                    _ if !is_well => (),
                    "STARTTLS" => break peer.say(b"220 go ahead\r\n")?,
                    _ if line.starts_with("EHLO") => peer.say(b"250-upstream.example.test\r\n250 STARTTLS\r\n")?,
                    _ => peer.say(b"502 not now\r\n")?,
                }
            }
        }
        let connection = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
        let mut peer = Peer { stream: StreamOwned::new(connection, tcp), held: Vec::new() };
        self.converse(&mut peer, &self.seen.encrypted, !self.starttls)
    }

    fn converse<S: Read + Write>(&self, peer: &mut Peer<S>, log: &Mutex<Vec<u8>>, greets: bool) -> io::Result<()> {
        if greets && peer.act((self.script)("GREETING"), log)? {
            peer.say(b"220 upstream.example.test ESMTP\r\n")?;
        }
        loop {
            let line = peer.line(log)?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            if verb == "AUTH" {
                self.seen.logins.fetch_add(1, Ordering::SeqCst);
            }
            if !peer.act((self.script)(&line), log)? {
                continue;
            }
            match verb.as_str() {
                "EHLO" => peer.say(b"250-upstream.example.test\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n")?,
                "AUTH" => peer.say(b"235 welcome\r\n")?,
                "DATA" => self.message(peer, log)?,
                "QUIT" => return peer.say(b"221 bye\r\n"),
                _ => peer.say(b"250 fine\r\n")?,
            }
        }
    }

    fn message<S: Read + Write>(&self, peer: &mut Peer<S>, log: &Mutex<Vec<u8>>) -> io::Result<()> {
        peer.say(b"354 go on\r\n")?;
        let mut message = Vec::new();
        loop {
            let line = peer.line(log)?;
            if line == b"." {
                break;
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            message.extend_from_slice(b"\r\n");
        }
        self.seen.messages.lock().expect("no server thread panicked").push(message);
        if peer.act((self.script)("."), log)? {
            peer.say(b"250 queued\r\n")?;
        }
        Ok(())
    }
}

/// The connection under TLS: everything that passes is kept, to look for secrets in it.
struct Recorded {
    tcp: TcpStream,
    log: Arc<Seen>,
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.tcp.read(buffer)?;
        self.log.clear.lock().expect("no server thread panicked").extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

impl Write for Recorded {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.tcp.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

fn text(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().expect("no server thread panicked")).into_owned()
}

/// TLS settings of a server with this certificate.
pub(crate) fn server_config(leaf: &Leaf) -> Arc<ServerConfig> {
    let read = |path| std::fs::read(path).expect("read a PEM file");
    let chain =
        CertificateDer::pem_slice_iter(&read(&leaf.certificate)).map(|one| one.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_slice(&read(&leaf.key)).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    Arc::new(config)
}
