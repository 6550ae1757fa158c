//! An IMAP server for thousands of sessions that do nothing, in a process of its own, which counts them by user name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use ::base64::Engine;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::ca::Ca;
use super::super::process::Program;
use super::super::{PATIENCE, setting};

/// The folder that holds its certificate.
const FOLDER: &str = "MAILWARDEN_TEST_CROWD";

/// A running server.
pub(crate) struct Crowd {
    _program: Program,
    pub(crate) port: u16,
    control: u16,
}

type Open = Arc<Mutex<BTreeMap<String, usize>>>;

impl Crowd {
    /// Starts this test program anew with nothing but the test that calls [`serve`].
    pub(crate) fn start(ca: &Ca, dir: &Path, test: &str) -> Self {
        let leaf = ca.issue("crowd");
        for (from, to) in [(leaf.certificate, "crowd.pem"), (leaf.key, "crowd.key")] {
            std::fs::copy(from, dir.join(to)).expect("copy a PEM file");
        }
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", test, "--ignored", "--nocapture"]).env(FOLDER, dir);
        let mut program = Program::start("the crowd's upstream", &mut command);
        let ports = program.wait_for_line("crowd ", PATIENCE);
        let (port, control) = ports.split_once(' ').expect("two ports");
        let number = |text: &str| text.trim().parse().expect("a port");
        Self { port: number(port), control: number(control), _program: program }
    }

    /// How many connections are open for each user.
    pub(crate) fn open(&self) -> BTreeMap<String, usize> {
        let mut text = String::new();
        let mut tcp = TcpStream::connect(("127.0.0.1", self.control)).expect("connect");
        tcp.read_to_string(&mut text).expect("read the counts");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// Takes as many files as the system allows.
pub(crate) fn allow_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("raise the limit of open files");
}

/// Serves until it is ended. The first listener speaks IMAP; the second one tells the counts and closes.
#[expect(clippy::print_stdout, reason = "how the parent learns the ports")]
pub(crate) fn serve() {
    let folder = setting(FOLDER).expect("started by Crowd::start");
    allow_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (listener, control) = (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
        let (listener, control) = (listener.expect("bind"), control.expect("bind"));
        let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
        // The test harness has begun a line.
        println!("\ncrowd {} {}", port(&listener), port(&control));
        let open: Open = Arc::default();
        let counts = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = control.accept().await {
                let text = serde_json::to_vec(&*counts.lock().expect("whole")).expect("JSON");
                let _ = tcp.write_all(&text).await;
            }
        });
        let acceptor = acceptor(Path::new(&folder));
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, open) = (acceptor.clone(), Arc::clone(&open));
            tokio::spawn(async move {
                let mut user = None;
                // A connection that breaks is an end like any other.
                let _ = session(tcp, &acceptor, &open, &mut user).await;
                if let Some(user) = user
                    && let Some(count) = open.lock().expect("whole").get_mut(&user)
                {
                    *count -= 1;
                }
            });
        }
    });
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let mut certificate = BufReader::new(File::open(folder.join("crowd.pem")).expect("open the certificate"));
    let chain = CertificateDer::pem_reader_iter(&mut certificate).map(|found| found.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("crowd.key")).expect("a private key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let settings = settings.expect("the provider speaks TLS").with_no_client_auth().with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(settings.expect("certificate and key fit")))
}

async fn session(
    tcp: tokio::net::TcpStream,
    acceptor: &TlsAcceptor,
    open: &Open,
    user: &mut Option<String>,
) -> std::io::Result<()> {
    let mut stream = BufStream::with_capacity(512, 512, acceptor.accept(tcp).await?);
    stream.write_all(b"* OK ready\r\n").await?;
    stream.flush().await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let (tag, command) = line.trim_end().split_once(' ').unwrap_or_default();
        let (tag, command) = (tag.to_owned(), command.to_owned());
        if command == "CAPABILITY" {
            stream.write_all(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN IDLE\r\n").await?;
        } else if command == "AUTHENTICATE PLAIN" || command == "IDLE" {
            stream.write_all(b"+ \r\n").await?;
            stream.flush().await?;
            line.clear();
            stream.read_line(&mut line).await?;
            if command != "IDLE" {
                let said = ::base64::engine::general_purpose::STANDARD.decode(line.trim_end()).unwrap_or_default();
                let name = String::from_utf8_lossy(&said).split('\0').nth(1).unwrap_or_default().to_owned();
                *open.lock().expect("whole").entry(name.clone()).or_default() += 1;
                *user = Some(name);
            }
        } else if command == "EXAMINE INBOX" {
            stream.write_all(b"* FLAGS ()\r\n* 0 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1] so\r\n").await?;
        }
        stream.write_all(format!("{tag} OK done\r\n").as_bytes()).await?;
        stream.flush().await?;
        if command == "LOGOUT" {
            return Ok(());
        }
        line.clear();
    }
    Ok(())
}
