//! Thousands of idle sessions through one process: revoking one client ends its own at once, and when all have gone, so has their memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::ca::Ca;
use crate::support::gateway::{Gateway, Tool, Upstream, xoauth2};
use crate::support::upstream::crowd::{self, Crowd};
use crate::support::{PATIENCE, folder, long_run, wait_for, wire};

/// As many as the limit of open files allows one process on a small machine, two sockets each.
const MANY: usize = 9_000;
const FEW: usize = 300;
/// Each with a mailbox of its own, so that the upstream sees whose a connection is.
const CLIENTS: usize = 6;
/// How many log in at the same time.
const AT_ONCE: usize = 24;
/// Freed memory goes back to the system by and by, within some ten seconds.
const GIVEN_BACK: Duration = Duration::from_secs(60);
/// A second is promised; this allows for a loaded machine.
const AT_ONE_BLOW: Duration = Duration::from_secs(5);

#[test]
#[ignore = "the upstream of the test below, which starts it as a process of its own"]
fn upstream() {
    crowd::serve();
}

#[test]
fn a_revoked_client_among_thousands_of_idle_sessions_loses_exactly_its_own_at_once() {
    let sessions = if long_run() { MANY } else { FEW };
    crowd::allow_files();
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let crowd = Crowd::start(&ca, dir.path(), "many_sessions::upstream");
    let mut gateway = Gateway::prepare(&ca);
    // All come from this machine.
    gateway.edit_config("[upstream]\n", "[limits]\nmax_connections_per_source = 0\n[upstream]\n");
    gateway.environment.push(("RUST_LOG", "warn".to_owned()));
    gateway.serve();
    let tools: Vec<(String, Tool)> = (0..CLIENTS).map(|number| register(&gateway, &crowd, &ca, number)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");

    let before = gateway.resident_octets();
    let began = Instant::now();
    let mut idle = runtime.block_on(open(&gateway, &tools, sessions));
    let opened = began.elapsed();
    let each = (gateway.resident_octets() - before) / sessions;
    let share = sessions / CLIENTS;
    assert!(crowd.open().values().all(|count| *count == share), "{:?}", crowd.open());

    let (address, victim) = &tools[0];
    gateway.manage_ok(&["revoke", "--client", &victim.id], b"");
    let revoked = Instant::now();
    let bystanders = idle.split_off(share);
    runtime.block_on(async {
        for session in &mut idle {
            let last = tokio::time::timeout(AT_ONE_BLOW, session.rest()).await.expect("it goes on");
            assert!(last.contains("* BYE"), "no last word: {last:?}");
        }
    });
    let told = revoked.elapsed();
    wait_for("the upstream to see them go", AT_ONE_BLOW, || (crowd.open()[address] == 0).then_some(()));
    let gone = revoked.elapsed();
    assert!(gone < AT_ONE_BLOW, "it took {gone:?}");
    let others = crowd.open();
    assert!(others.iter().all(|(name, count)| name == address || *count == share), "others lost theirs: {others:?}");
    runtime.block_on(async {
        for mut session in bystanders {
            session.said("DONE", "c OK").await;
        }
    });
    ended(&crowd);
    // The allowance for what is made once is nearly what few sessions hold: it is the many that tell.
    let rest = before + sessions * each / 4 + (8 << 20);
    let after = wait_for("their memory to be given back", GIVEN_BACK, || {
        Some(gateway.resident_octets()).filter(|octets| *octets < rest)
    });

    // The same again needs nothing that the first did not give back.
    let again = runtime.block_on(open(&gateway, &tools[1..], sessions - share));
    let peak = gateway.resident_octets();
    drop(again);
    ended(&crowd);
    eprintln!(
        "{sessions} idle sessions, {} KiB each, opened in {opened:.1?}; {share} revoked: last word after {told:.2?}, gone upstream \
         after {gone:.2?}; MiB before {}, closed {}, with as many again {}",
        each / 1024,
        before >> 20,
        after >> 20,
        peak >> 20,
    );
    let most = before + sessions * each + sessions * each / 4 + (8 << 20);
    assert!(
        peak < most,
        "{peak} octets with the second crowd, after {before} without and {each} for each of the first"
    );
}

fn register(gateway: &Gateway, crowd: &Crowd, ca: &Ca, number: usize) -> (String, Tool) {
    let address = format!("mailbox{number}@example.test");
    let upstream = Upstream { imap: crowd.port, smtp: None, starttls: false };
    gateway.add_mailbox(&address, "the-upstream-password", upstream, ca).expect_ok("mailbox add");
    let tool = gateway.add_client(&format!("tool {number}"));
    let grant = ["--client", &tool.id, "--mailbox", &address, "--preset", "backup", "--token-ttl", "3600"];
    gateway.manage_ok(&[&["grant", "add"][..], &grant].concat(), b"");
    (address, tool)
}

/// Until the upstream has no connection left.
fn ended(crowd: &Crowd) {
    wait_for("all sessions to end", PATIENCE, || crowd.open().values().all(|count| *count == 0).then_some(()));
}

/// So many idle sessions, those of the first client first.
async fn open(gateway: &Gateway, tools: &[(String, Tool)], sessions: usize) -> Vec<Idle> {
    let (port, tls) = (gateway.port("imaps"), Arc::new(wire::tls_settings(gateway.ca_file())));
    let mut all = Vec::new();
    for (address, tool) in tools {
        let login = xoauth2(address, &gateway.token(tool, address));
        let share = sessions / tools.len();
        let openers = (0..AT_ONCE).map(async |opener| {
            let mut open = Vec::new();
            for _ in (opener..share).step_by(AT_ONCE) {
                open.push(Idle::open(port, &tls, &login).await);
            }
            open
        });
        all.extend(futures_util::future::join_all(openers).await.into_iter().flatten());
    }
    all
}

/// A session in IDLE.
struct Idle {
    stream: TlsStream<TcpStream>,
    held: Vec<u8>,
}

impl Idle {
    async fn open(port: u16, tls: &Arc<ClientConfig>, login: &str) -> Self {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.expect("connect");
        let name = ServerName::try_from("localhost").expect("a good name");
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await.expect("TLS");
        let mut idle = Self { stream, held: Vec::new() };
        idle.until("* OK").await;
        idle.said(&format!("a AUTHENTICATE XOAUTH2 {login}"), "a OK").await;
        idle.said("b EXAMINE INBOX", "b OK").await;
        idle.said("c IDLE", "+ ").await;
        idle
    }

    async fn said(&mut self, text: &str, end: &str) {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await.expect("send");
        self.until(end).await;
    }

    /// Up to the line that begins with `end`.
    async fn until(&mut self, end: &str) {
        loop {
            if let Some(at) = self.held.iter().position(|octet| *octet == b'\n') {
                let line = String::from_utf8_lossy(&self.held.drain(..=at).collect::<Vec<_>>()).into_owned();
                if line.starts_with(end) {
                    self.held.shrink_to_fit();
                    return;
                }
                assert!(line.starts_with("* ") && !line.starts_with("* BYE"), "instead of {end:?}: {line:?}");
                continue;
            }
            let read = self.stream.read_buf(&mut self.held).await.expect("read");
            assert!(read > 0, "the connection ended before {end:?}");
        }
    }

    /// What comes until the end of the connection.
    async fn rest(&mut self) -> String {
        let _ = self.stream.read_to_end(&mut self.held).await;
        String::from_utf8_lossy(&self.held).into_owned()
    }
}
