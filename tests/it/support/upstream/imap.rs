//! An IMAP server whose every answer a test can choose. It keeps a record of each command that it heard.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::ca::Ca;

/// What the server can do unless a script says otherwise.
pub(crate) const CAPABILITIES: &str = "IMAP4rev1 AUTH=PLAIN LITERAL+ IDLE NAMESPACE UNSELECT UIDPLUS MOVE";

/// Answers one command. `false`: the ordinary answer is given instead.
type Answer = dyn Fn(&mut Peer, &Command) -> bool + Send + Sync;

/// How the server behaves on its next connections.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) greeting: String,
    pub(crate) capabilities: String,
    /// What follows the tag when the password is right.
    pub(crate) login: String,
    pub(crate) answer: Arc<Answer>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            greeting: "* OK ready\r\n".to_owned(),
            capabilities: CAPABILITIES.to_owned(),
            login: "OK logged in".to_owned(),
            answer: Arc::new(|_, _| false),
        }
    }
}

impl Script {
    /// An ordinary server but for its answers after the login.
    pub(crate) fn answering(answer: impl Fn(&mut Peer, &Command) -> bool + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), ..Self::default() }
    }
}

/// A running server.
pub(crate) struct ScriptedImap {
    pub(crate) port: u16,
    script: Arc<Mutex<Script>>,
    heard: Arc<Mutex<Vec<Command>>>,
    octets: Arc<Mutex<Vec<u8>>>,
    logins: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl ScriptedImap {
    /// Starts a server that behaves well.
    pub(crate) fn start(ca: &Ca) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind any port");
        let port = listener.local_addr().expect("the bound address").port();
        let tls = tls_settings(ca);
        let server = Self {
            port,
            script: Arc::default(),
            heard: Arc::default(),
            octets: Arc::default(),
            logins: Arc::default(),
            stopped: Arc::default(),
        };
        let (script, stopped) = (Arc::clone(&server.script), Arc::clone(&server.stopped));
        let (heard, octets) = (Arc::clone(&server.heard), Arc::clone(&server.octets));
        let logins = Arc::clone(&server.logins);
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(tcp), Ok(connection)) = (tcp, ServerConnection::new(Arc::clone(&tls))) else { continue };
                let script = script.lock().expect("the script is whole").clone();
                let (heard, octets, logins) = (Arc::clone(&heard), Arc::clone(&octets), Arc::clone(&logins));
                std::thread::spawn(move || {
                    tcp.set_read_timeout(Some(Duration::from_secs(120))).expect("set the time limit");
                    tcp.set_nodelay(true).expect("send at once");
                    // A connection that breaks is an end like any other.
                    let _ = Peer { stream: StreamOwned::new(connection, tcp), heard, octets, logins }.serve(&script);
                });
            }
        });
        server
    }

    /// Behaves like this from the next connection on.
    pub(crate) fn plays(&self, script: Script) {
        *self.script.lock().expect("the script is whole") = script;
    }

    /// Every command heard after logins so far, in order. What the gateway says of its own accord is left out: its question for the
    /// delimiter, and its goodbye.
    pub(crate) fn heard(&self) -> Vec<Command> {
        let mut heard = self.heard.lock().expect("the record is whole").clone();
        heard.retain(|command| !command.is("LOGOUT") && command.text != b"LIST \"\" \"\"");
        heard
    }

    /// How many logins were tried.
    pub(crate) fn logins(&self) -> usize {
        self.logins.load(Ordering::SeqCst)
    }

    /// Every octet of every line heard so far, logins included.
    pub(crate) fn everything(&self) -> Vec<u8> {
        self.octets.lock().expect("the record is whole").clone()
    }
}

impl Drop for ScriptedImap {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accept loop.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// A command as it came: its tag, the rest with literals as `{n}CRLF` and octets, without the last CRLF.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) tag: String,
    pub(crate) text: Vec<u8>,
}

impl Command {
    /// The text for people and comparisons.
    pub(crate) fn as_text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// Whether it begins with `word`, in any case.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// The other end of one connection.
pub(crate) struct Peer {
    stream: StreamOwned<ServerConnection, TcpStream>,
    heard: Arc<Mutex<Vec<Command>>>,
    octets: Arc<Mutex<Vec<u8>>>,
    logins: Arc<AtomicUsize>,
}

impl Peer {
    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Goes away, as a server that is killed would.
    pub(crate) fn close(&mut self) {
        self.stream.sock.shutdown(std::net::Shutdown::Both).expect("close");
    }

    /// Its connection, for who wants to end it later.
    pub(crate) fn socket(&self) -> TcpStream {
        self.stream.sock.try_clone().expect("a second handle")
    }

    /// Sends text in lines that end in CRLF.
    pub(crate) fn say(&mut self, lines: &[&str]) -> bool {
        self.send(lines.iter().map(|line| format!("{line}\r\n")).collect::<String>())
    }

    /// One line, without its CRLF.
    pub(crate) fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let mut octet = [0];
        while !line.ends_with(b"\r\n") {
            self.stream.read_exact(&mut octet).ok()?;
            line.push(octet[0]);
        }
        self.octets.lock().expect("the record is whole").extend_from_slice(&line);
        line.truncate(line.len() - 2);
        Some(line)
    }

    fn serve(mut self, script: &Script) -> Option<()> {
        self.send(&script.greeting);
        let mut inside = false;
        loop {
            let command = self.command()?;
            let (tag, tell) = (command.tag.clone(), format!("* CAPABILITY {}", script.capabilities));
            if command.is("CAPABILITY") && !(inside && (script.answer)(&mut self, &command)) {
                self.say(&[&tell, &format!("{tag} OK done")]);
            } else if !inside && command.is("AUTHENTICATE PLAIN") {
                self.say(&["+ "]);
                self.line()?;
                self.say(&[&format!("{tag} {}", script.login)]);
                self.logins.fetch_add(1, Ordering::SeqCst);
                inside = script.login.starts_with("OK");
            } else if inside {
                self.heard.lock().expect("the record is whole").push(command.clone());
                if !(script.answer)(&mut self, &command) {
                    self.ordinary(&command)?;
                }
            } else {
                self.say(&[&format!("{tag} BAD not now")]);
            }
        }
    }

    /// One whole command. Literals are read by their announced lengths and nothing else.
    fn command(&mut self) -> Option<Command> {
        let mut line = self.line()?;
        let mut whole = line.clone();
        while let Some((length, waits)) = literal(&line) {
            if waits {
                self.say(&["+ go on"]);
            }
            let mut octets = vec![0; length];
            self.stream.read_exact(&mut octets).ok()?;
            whole.extend_from_slice(b"\r\n");
            whole.extend(octets);
            line = self.line()?;
            whole.extend(&line);
        }
        let end = whole.iter().position(|byte| *byte == b' ')?;
        Some(Command { tag: String::from_utf8_lossy(&whole[..end]).into_owned(), text: whole[end + 1..].to_vec() })
    }

    /// What a server with one empty folder would say.
    fn ordinary(&mut self, command: &Command) -> Option<()> {
        let tag = &command.tag;
        let done = format!("{tag} OK done");
        if command.is("LOGOUT") {
            self.say(&["* BYE see you", &done]);
            return None;
        }
        if command.is("EXAMINE") || command.is("SELECT") {
            self.say(&["* FLAGS (\\Seen)", "* 1 EXISTS", "* 0 RECENT", "* OK [UIDVALIDITY 1] so", &done]);
        } else if command.is("LIST \"\" \"\"") {
            self.say(&["* LIST (\\Noselect) \"/\" \"\"", &done]);
        } else if command.is("IDLE") {
            self.say(&["+ idling"]);
            self.line()?;
            self.say(&[&done]);
        } else {
            self.say(&[&done]);
        }
        Some(())
    }
}

/// The literal at the end of a line: its length, and whether its sender waits.
fn literal(line: &[u8]) -> Option<(usize, bool)> {
    let open = line.iter().rposition(|byte| *byte == b'{')?;
    let inner = line[open + 1..].strip_suffix(b"}")?;
    let (digits, waits) = inner.strip_suffix(b"+").map_or((inner, true), |digits| (digits, false));
    Some((String::from_utf8_lossy(digits).parse().ok()?, waits))
}

fn tls_settings(ca: &Ca) -> Arc<ServerConfig> {
    let leaf = ca.issue("scripted");
    let mut certificate = BufReader::new(File::open(leaf.certificate).expect("open the certificate"));
    let chain = CertificateDer::pem_reader_iter(&mut certificate).map(|found| found.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(leaf.key).expect("a private key");
    let settings = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(settings.expect("certificate and key fit"))
}
