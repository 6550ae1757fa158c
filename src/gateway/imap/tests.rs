//! Sessions on connections in memory: what reaches an upstream, and how long a tool may take.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::crypto::random;
use crate::domain::client::TokenAlg;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::Actor;
use crate::domain::id::RequestId;
use crate::domain::mailbox::{Connector, Endpoint, TlsMode, Upstream};
use crate::domain::scope::Preset;
use crate::domain::secret::Secret;
use crate::domain::session::Protocol;
use crate::gateway::gatekeeper::{Endurance, Gatekeeper, Parts, Session};
use crate::gateway::imap::{serve, session};
use crate::gateway::stream::{ListenerMode, Peer};
use crate::gateway::tls::Identity;
use crate::oauth::keyset::Keyset;
use crate::oauth::request::TokenRequest;
use crate::oauth::{Origin, TokenService};
use crate::policy::imap::{State, decide_request};
use crate::protocol::imap::command;
use crate::protocol::imap::request::Request;
use crate::protocol::sasl;
use crate::registry::{GrantTerms, Registry};
use crate::store::Store;
use crate::upstream::imap::Connection;
use crate::upstream::wire::{Wire, clear};
use crate::upstream::{DialPolicy, Dialer};
use crate::vault::Vault;

const ADDRESS: &str = "support@example.test";
/// What the upstream can do.
const CAPABILITIES: &str = "LITERAL+ IDLE NAMESPACE UNSELECT UIDPLUS MOVE ENABLE CONDSTORE QRESYNC ESEARCH BINARY SORT \
                            LIST-EXTENDED LIST-STATUS";
const PEER: &str = "127.0.0.1:50000";

/// A whole house with one tool, which may read.
pub(super) struct House {
    _folder: TempDir,
    pub(super) gatekeeper: Gatekeeper,
    token: String,
}

/// A certificate in PEM, which vouches for itself, and the identity that it makes.
fn identity() -> (String, Identity) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let identity = Identity::from_pem(pem.as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    (pem, identity)
}

impl House {
    pub(super) async fn new() -> Self {
        Self::granting(GrantTerms::of(Preset::Backup.scopes())).await
    }

    pub(super) async fn granting(terms: GrantTerms) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("m.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let (clock, entropy) = (Clock::manual(Timestamp(1_800_000_000_000)), random::system());
        let kek = Secret::from_bytes(vec![1; 32]);
        let vault = Vault::create(store.clone(), kek, clock.clone(), entropy.clone()).await.unwrap();
        let audit = Audit::start(store.clone(), clock.clone(), vault.audit_key()).await.unwrap();
        let dialer = Dialer::new(DialPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()] });
        let registry =
            Registry::new(store, vault.clone(), audit.clone(), dialer.clone(), clock.clone(), entropy.clone());
        let keyset = Keyset::load_or_create(&registry).await.unwrap();
        let issuer = "https://localhost/oauth".to_owned();
        let tokens = TokenService::new(registry.clone(), audit.clone(), keyset, issuer, clock.clone(), entropy.clone());
        let token = token(&registry, &tokens, &clock, terms).await;
        let gatekeeper = Gatekeeper::new(Parts {
            registry,
            tokens,
            vault,
            audit,
            dialer,
            clock,
            entropy,
            hostname: "localhost".to_owned(),
            identity: identity().1,
            max_message_bytes: 1 << 20,
            costly_search: false,
            endurance: Endurance::default(),
        });
        Self { _folder: folder, gatekeeper, token }
    }

    /// A session that is logged in.
    async fn admitted(&self) -> Session {
        let attempt = sasl::login(ADDRESS.as_bytes(), self.token.as_bytes()).unwrap();
        self.gatekeeper.admit(&attempt, Protocol::Imap, &Peer::at(PEER.parse().unwrap())).await.unwrap()
    }

    /// The tool's and the upstream's end of a session at work.
    pub(super) async fn session(&self) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<()>) {
        self.session_until(CAPABILITIES, CancellationToken::new()).await
    }

    async fn session_until(
        &self,
        capabilities: &str,
        shutdown: CancellationToken,
    ) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<()>) {
        let ((tool, ours), (upstream, theirs)) = (duplex(1 << 16), duplex(1 << 16));
        let capabilities = capabilities.split(' ').map(str::to_owned).collect();
        let connection = Connection { wire: Wire::new(clear(theirs)), capabilities };
        let client = Wire::new(clear(ours));
        let session = self.admitted().await;
        let desk = session::Desk::new(self.gatekeeper.clone(), client, session, connection);
        let running = session::run(desk, shutdown);
        (tool, upstream, tokio::spawn(running))
    }
}

/// An upstream that lets one login in, so that a mailbox can be registered.
fn proving() -> Endpoint {
    let (pem, identity) = identity();
    let tls = TlsAcceptor::from(identity.server_config(&[]).unwrap());
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    socket.set_nonblocking(true).unwrap();
    tokio::spawn(async move {
        let (tcp, _) = tokio::net::TcpListener::from_std(socket).unwrap().accept().await.unwrap();
        let mut wire = Wire::new(Box::new(tls.accept(tcp).await.unwrap()));
        wire.send(b"* OK ready\r\n").await.unwrap();
        while let Ok(line) = wire.line(1000).await {
            let said = match line.get(..4) {
                Some(b"w1 C") => "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nw1 OK done\r\n",
                Some(b"w2 A") => "+ \r\n",
                _ => "w2 OK in\r\n",
            };
            wire.send(said.as_bytes()).await.unwrap();
        }
    });
    Endpoint { host: "localhost".to_owned(), port, tls: TlsMode::Implicit, ca_pem: Some(pem) }
}

async fn token(registry: &Registry, tokens: &TokenService, clock: &Clock, terms: GrantTerms) -> String {
    let upstream = Upstream { connector: Connector::Imap, username: "u".into(), imap: Some(proving()), smtp: None };
    let password = Secret::from_text("x".to_owned());
    let by = Actor::System;
    let (mailbox, _) = registry.add_mailbox(&by, ADDRESS.parse().unwrap(), upstream, password).await.unwrap();
    let (client, secret) = registry.add_client(&by, "tool", TokenAlg::EdDsa, None).await.unwrap();
    registry.add_grant(&by, client.id.clone(), mailbox.id, terms).await.unwrap();
    let secret = secret.expose_text(str::to_owned).unwrap();
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={secret}", client.id);
    let request_id = RequestId::new(clock, &random::system());
    let origin = Origin { source: "127.0.0.1".parse().unwrap(), request_id, certificates: Vec::new() };
    let issued = tokens.token(TokenRequest::parse(form.as_bytes(), None), &origin).await.unwrap();
    issued.token.expose_text(str::to_owned).unwrap()
}

#[tokio::test]
async fn gw_09_a_login_that_drips_is_over_after_a_minute() {
    let house = House::new().await;
    let (mut tool, ours) = duplex(1 << 16);
    let (peer, mode) = (Peer::at(PEER.parse().unwrap()), ListenerMode::ImplicitTls);
    let serving = tokio::spawn(serve(house.gatekeeper.clone(), clear(ours), peer, mode, CancellationToken::new()));
    let mut greeting = [0; 4096];
    assert!(tool.read(&mut greeting).await.unwrap() > 0);
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    while !serving.is_finished() {
        // One octet in five seconds, for as long as anybody listens.
        let _ = tool.write_all(b"a").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(55) && took <= Duration::from_secs(66), "it took {took:?}");
    assert!(tool.write_all(b"a").await.is_err(), "the connection is still open");
}

#[tokio::test]
async fn im_12_an_idle_tool_may_be_silent_for_half_an_hour() {
    let house = House::new().await;
    let (tool, upstream, _running) = house.session().await;
    let (mut tool, mut upstream) = (BufReader::new(tool), BufReader::new(upstream));
    let mut line = String::new();
    tool.write_all(b"a EXAMINE INBOX\r\nb IDLE\r\n").await.unwrap();
    for (answer, heard) in [("OK opened", "a OK opened\r\n"), ("+", "+ idling\r\n")] {
        line.clear();
        upstream.read_line(&mut line).await.unwrap();
        let tag = line.split(' ').next().unwrap().to_owned();
        let said = if answer == "+" { "+ idling\r\n".to_owned() } else { format!("{tag} {answer}\r\n") };
        upstream.write_all(said.as_bytes()).await.unwrap();
        let mut told = String::new();
        tool.read_line(&mut told).await.unwrap();
        assert_eq!(told, heard);
    }
    let tag = line.split(' ').next().unwrap().to_owned();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(20 * 60 + 1)).await;
    // Upstream it is begun anew, since some end it after half an hour of silence.
    let mut heard = String::new();
    upstream.read_line(&mut heard).await.unwrap();
    upstream.write_all(format!("{tag} OK idled\r\n").as_bytes()).await.unwrap();
    upstream.read_line(&mut heard).await.unwrap();
    assert!(heard.starts_with("DONE\r\nw") && heard.ends_with(" IDLE\r\n"), "{heard}");
    let tag = heard.lines().last().and_then(|line| line.split(' ').next()).unwrap().to_owned();
    upstream.write_all(b"+ idling\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(10 * 60 - 2)).await;
    upstream.write_all(b"* 4 EXISTS\r\n").await.unwrap();
    let mut still_here = 0;
    loop {
        line.clear();
        tool.read_line(&mut line).await.unwrap();
        if line != "* OK still here\r\n" {
            break;
        }
        still_here += 1;
    }
    assert_eq!(line, "* 4 EXISTS\r\n");
    assert!((4..7).contains(&still_here), "one in five minutes: {still_here}");
    tokio::time::resume();
    tool.write_all(b"DONE\r\n").await.unwrap();
    line.clear();
    upstream.read_line(&mut line).await.unwrap();
    assert_eq!(line, "DONE\r\n");
    upstream.write_all(format!("{tag} OK idled\r\n").as_bytes()).await.unwrap();
    line.clear();
    tool.read_line(&mut line).await.unwrap();
    assert_eq!(line, "b OK idled\r\n");
}

#[tokio::test]
async fn a_folder_that_was_refused_at_its_literal_leaves_none_open() {
    let house = House::new().await;
    let (tool, upstream, _running) = house.session_until("IDLE UNSELECT", CancellationToken::new()).await;
    let (mut tool, mut upstream) = (BufReader::new(tool), BufReader::new(upstream));
    let (mut line, mut told) = (String::new(), String::new());
    for (said, answer) in [("a EXAMINE A\r\n", "OK done"), ("b EXAMINE {1+}\r\n\"\r\n", "NO not this")] {
        tool.write_all(said.as_bytes()).await.unwrap();
        line.clear();
        upstream.read_line(&mut line).await.unwrap();
        let tag = line.split(' ').next().unwrap();
        upstream.write_all(format!("{tag} {answer}\r\n").as_bytes()).await.unwrap();
        tool.read_line(&mut told).await.unwrap();
    }
    assert!(line.ends_with("EXAMINE {1}\r\n"), "{line}");
    tool.write_all(b"c FETCH 1 FLAGS\r\n").await.unwrap();
    tool.read_line(&mut told).await.unwrap();
    assert!(told.ends_with("c BAD select a folder first\r\n"), "{told}");
}

#[tokio::test]
async fn a_goodbye_does_not_become_the_message_that_was_announced() {
    let house = House::granting(GrantTerms::of(Preset::Full.scopes())).await;
    let shutdown = CancellationToken::new();
    let (mut tool, upstream, running) = house.session_until("IDLE UNSELECT", shutdown.clone()).await;
    let mut upstream = BufReader::new(upstream);
    let mut line = String::new();
    tool.write_all(b"a APPEND INBOX {9}\r\n").await.unwrap();
    upstream.read_line(&mut line).await.unwrap();
    assert!(line.ends_with(" APPEND INBOX {9}\r\n"), "{line}");
    // Nobody has sent the message yet, and the upstream waits for nine octets.
    shutdown.cancel();
    running.await.unwrap();
    let mut rest = String::new();
    upstream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "", "the message that was announced");
}

/// Fragments of which a tool's stream is made: good commands, bad ones, halves of them, and noise.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let text = |text: &'static str| Just(text.as_bytes().to_vec());
    prop_oneof![
        4 => proptest::sample::select(vec![
            "a SELECT INBOX\r\n", "b FETCH 1:* (FLAGS BODY[])\r\n", "c STORE 1 +FLAGS (\\Deleted)\r\n", "d EXPUNGE\r\n",
            "e COPY 1 INBOX\r\n", "f UID SEARCH TEXT {3+}\r\nabc\r\n", "g LIST \"\" *\r\n", "h STATUS {5+}\r\nINBOX (MESSAGES)\r\n",
            "i APPEND INBOX {4+}\r\nabcd\r\n", "j CREATE \"x\r\n", "k NOOP\r\n", "l IDLE\r\nDONE\r\n", "m CLOSE\r\n",
            "n DELETE {7+}\r\nArchive\r\n", "o UID FETCH 1 RFC822\r\n", "p SETACL INBOX anyone lrswi\r\n", "q NAMESPACE\r\n",
            "r SELECT INBOX (CONDSTORE)\r\n", "s STORE 1 (UNCHANGEDSINCE 9) +FLAGS (a)\r\n", "t ENABLE CONDSTORE X\r\n",
            "u LIST (SUBSCRIBED) \"\" (a {3+}\r\nb*c) RETURN (STATUS (MESSAGES))\r\n", "v FETCH 1 (BINARY[]) (CHANGEDSINCE 1)\r\n",
            "w UID SEARCH RETURN (MIN) TEXT {3+}\r\nabc\r\n", "x APPEND INBOX ~{4+}\r\nabcd\r\n", "y SORT (DATE) UTF-8 ALL\r\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => text("\r\n"),
        1 => text(" "),
        1 => text("\""),
        1 => text("{12+}\r\n"),
        1 => text("{12}\r\n"),
        1 => text("z EXPUNGE\r\n"),
        1 => text("UID "),
        2 => proptest::collection::vec(any::<u8>(), 0..12),
        2 => "[ -~]{0,20}".prop_map(String::into_bytes),
        1 => "[a-c] (SELECT|FETCH|SEARCH|STORE|LOGIN|MOVE) [0-9a-zA-Z\\[\\](){}+\" *:,]{0,24}\r\n".prop_map(String::into_bytes),
    ]
}

/// An upstream that reads by announced lengths and nothing else, answers OK to all, and remembers what it heard.
async fn strict_upstream(stream: DuplexStream) -> Vec<Vec<u8>> {
    let mut stream = BufReader::new(stream);
    let mut heard = Vec::new();
    loop {
        let mut whole = Vec::new();
        loop {
            let start = whole.len();
            if stream.read_until(b'\n', &mut whole).await.unwrap_or(0) == 0 {
                assert!(whole.is_empty(), "half a command: {:?}", String::from_utf8_lossy(&whole));
                return heard;
            }
            let line = whole[start..].strip_suffix(b"\r\n").expect("a line ends in CRLF");
            assert!(!line.iter().any(|byte| matches!(byte, b'\r' | 0)), "a bare CR or a NUL went upstream");
            let Some(open) = line.iter().rposition(|byte| *byte == b'{').filter(|_| line.ends_with(b"}")) else {
                break;
            };
            let length: usize = String::from_utf8_lossy(&line[open + 1..line.len() - 1])
                .strip_suffix('+')
                .expect("literals are not waited for here")
                .parse()
                .expect("a length");
            let at = whole.len();
            whole.resize(at + length, 0);
            stream.read_exact(&mut whole[at..]).await.expect("a literal is whole");
        }
        if whole == b"DONE\r\n" {
            continue;
        }
        let tag = String::from_utf8_lossy(&whole).split(' ').next().unwrap_or_default().to_owned();
        if whole.ends_with(b"IDLE\r\n") {
            stream.write_all(b"+ idling\r\n").await.expect("answer");
        }
        let _ = stream.write_all(format!("{tag} OK done\r\n").as_bytes()).await;
        heard.push(whole);
    }
}

#[test]
fn im_01_an_upstream_hears_permitted_commands_and_nothing_else() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let house = runtime.block_on(House::new());
    let rights = runtime.block_on(house.admitted()).judge(|rights| Ok(rights.clone())).unwrap();
    let names = std::cell::RefCell::new(BTreeSet::new());
    let config = Config { cases: 1000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&proptest::collection::vec(fragment(), 1..24), |fragments| {
            let stream = fragments.concat();
            let heard = runtime.block_on(async {
                let (tool, upstream, running) = house.session().await;
                let upstream = tokio::spawn(strict_upstream(upstream));
                let (mut answers, mut commands) = tokio::io::split(tool);
                let reading = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await });
                let _ = commands.write_all(&stream).await;
                let _ = commands.shutdown().await;
                running.await.expect("the session ends well");
                drop(commands);
                let _ = reading.await;
                upstream.await.expect("the upstream understood all of it")
            });
            for bytes in heard {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let parsed = Request::parse(&bytes).unwrap_or_else(|_| panic!("{text:?} is no command"));
                let (tag, rest) = text.split_once(' ').expect("a tag");
                if rest == "LOGOUT\r\n" {
                    continue;
                }
                assert!(tag.starts_with('w') && tag.len() > 16, "{text:?} carries a foreign tag");
                let name = command::name(&parsed.body);
                let again = decide_request(&rights, State::default(), parsed.clone());
                let again = again.unwrap_or_else(|denial| panic!("{text:?} is not permitted: {denial:?}"));
                assert_eq!(again.into_inner(), parsed, "{text:?} is not what policy makes of it");
                assert!(!rest.contains("BODY[") && !rest.contains("BINARY["), "{text:?} marks messages as read");
                names.borrow_mut().insert(name);
            }
            Ok(())
        })
        .unwrap();
    let names = names.into_inner();
    let permitted = [
        "CLOSE",
        "ENABLE",
        "EXAMINE",
        "FETCH",
        "IDLE",
        "LIST",
        "NAMESPACE",
        "NOOP",
        "SEARCH",
        "STATUS",
        "UID FETCH",
        "UID SEARCH",
        "UNSELECT",
        "CHECK",
        "LSUB",
    ];
    assert!(names.iter().all(|name| permitted.contains(&name.as_str())), "{names:?}");
    assert!(names.len() >= 7, "the streams were too poor to prove anything: {names:?}");
}
