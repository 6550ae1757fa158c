//! Client certificates at every door: whom they prove, which tokens need them, and what ties the tokens of tools that have none.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tempfile::TempDir;

use crate::support::ca::{Ca, Leaf};
use crate::support::clients::{curl, library_script, script};
use crate::support::dovecot::Dovecot;
use crate::support::folder;
use crate::support::gateway::{Gateway, Upstream, base64, plain};
use crate::support::http::{HERE, answer, ask, elsewhere, get, post};
use crate::support::smtp_upstream::{Act, SmtpUpstream};
use crate::support::stage::{ADDRESS, PASSWORD};
use crate::support::submission::say;
use crate::support::wire::{Answer, Wire, tcp};

const GRANT: &str = "grant_type=client_credentials";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A gateway that trusts an authority for clients, before a Dovecot and an upstream for sending. Fields go in this order.
struct Scene {
    gateway: Gateway,
    _smtp: SmtpUpstream,
    _dovecot: Dovecot,
    /// A certificate that its client made itself.
    own: Leaf,
    /// Another one.
    other: Leaf,
    /// A certificate of the authority.
    issued: Leaf,
    dir: TempDir,
}

impl Scene {
    fn set() -> Self {
        let dir = folder();
        let ca = Ca::create(&dir.path().join("ca"));
        let dovecot = Dovecot::start(&ca, &[(ADDRESS, PASSWORD)]);
        let smtp = SmtpUpstream::start(&ca, |_| Act::Well);
        let mut gateway = Gateway::prepare(&ca);
        gateway.edit_config("[database]", &format!("client_ca = \"{}\"\n[database]", ca.file().display()));
        gateway.serve();
        let upstream = Upstream { imap: dovecot.imaps, smtp: Some(smtp.port), starttls: false };
        gateway.add_mailbox(ADDRESS, PASSWORD, upstream, &ca).expect_ok("mailbox add");
        let [own, other] = ["own", "other"].map(|name| self_made(dir.path(), name));
        let issued = ca.issue_for("issued", &["tool.example.test"]);
        Self { gateway, _smtp: smtp, _dovecot: dovecot, own, other, issued, dir }
    }

    /// Registers a client that is proven by the certificate that it made itself; gives its id.
    fn self_signed(&self) -> String {
        let file = self.own.certificate.display().to_string();
        self.client("self-made", &["--auth", "self_signed_tls_client_auth", "--certificate-file", &file])
    }

    /// Registers a client that is proven by a certificate of the authority; gives its id.
    fn vouched_for(&self) -> String {
        self.client("vouched-for", &["--auth", "tls_client_auth", "--tls-san-dns", "tool.example.test"])
    }

    fn client(&self, name: &str, auth: &[&str]) -> String {
        let printed = self.gateway.manage_ok(&[&["client", "add", name, "--format", "json"], auth].concat(), b"");
        let client: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        assert!(client.get("client_secret").is_none(), "there is no secret");
        let id = client["client_id"].as_str().expect("an id").to_owned();
        self.gateway.manage_ok(&["grant", "add", "--client", &id, "--mailbox", ADDRESS, "--preset", "helpdesk"], b"");
        id
    }

    fn settings(&self, shown: Option<&Leaf>) -> Arc<ClientConfig> {
        Arc::new(settings(self.gateway.ca_file(), &VERSIONS, shown))
    }

    /// A token request over a connection with these settings.
    fn ask(&self, settings: &Arc<ClientConfig>, headers: &str, form: &str) -> Answer {
        let mut wire = Wire::with(tcp(self.gateway.port("https")), Arc::clone(settings));
        wire.send(post(headers, form));
        answer(&mut wire)
    }

    fn token(&self, id: &str, shown: &Leaf) -> String {
        let answer = self.ask(&self.settings(Some(shown)), "", &format!("{GRANT}&client_id={id}"));
        assert_eq!((answer.status, &answer.json()["token_type"]), (200, &"Bearer".into()), "{answer:?}");
        answer.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// Whether a token opens a session at a door, over a connection that shows a certificate or not.
    fn opens(&self, door: &str, token: &str, shown: Option<&Leaf>) -> bool {
        let stream = tcp(self.gateway.port(door));
        match door {
            "imaps" | "imap" => {
                if door == "imap" {
                    upgrade(&stream, "a STARTTLS", 2);
                }
                let mut wire = Wire::with(stream, self.settings(shown));
                if door == "imaps" {
                    wire.line();
                }
                let lines = wire.command("b", &format!("LOGIN {ADDRESS} {token}"));
                lines.last().is_some_and(|line| line.starts_with("b OK"))
            }
            _ => {
                if door == "submission" {
                    upgrade(&stream, "STARTTLS", 2);
                }
                let mut wire = Wire::with(stream, self.settings(shown));
                if door == "smtps" {
                    wire.reply();
                }
                say(&mut wire, "EHLO tool", "250");
                wire.send(format!("AUTH PLAIN {}\r\n", plain(ADDRESS, token)));
                wire.reply()[0].starts_with("235")
            }
        }
    }

    /// The reasons of refused logins so far.
    fn reasons(&self) -> Vec<String> {
        let refused = self.gateway.audit().into_iter().filter(|event| event["code"] == "login.refused");
        refused.map(|event| event["detail"]["reason"].as_str().expect("a reason").to_owned()).collect()
    }
}

/// Says one line in the clear and reads `lines` lines, that of the greeting among them.
fn upgrade(mut stream: &TcpStream, command: &str, lines: usize) {
    use std::io::{Read, Write};
    stream.write_all(format!("{command}\r\n").as_bytes()).expect("send");
    for _ in 0..lines {
        let mut octet = [0];
        while octet != *b"\n" {
            stream.read_exact(&mut octet).expect("read");
        }
    }
}

fn self_made(dir: &Path, name: &str) -> Leaf {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names, no error");
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("make a key");
    let leaf = Leaf { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
    fs::write(&leaf.certificate, params.self_signed(&key).expect("sign").pem()).expect("write the certificate");
    fs::write(&leaf.key, key.serialize_pem()).expect("write the key");
    leaf
}

/// Shows a certificate whatever the server names, with a key that may be another one's.
#[derive(Debug)]
struct Showing(Arc<CertifiedKey>);

impl Showing {
    fn new(chain: &Path, key: &Path) -> Self {
        let pem = fs::read(chain).expect("read the certificate");
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let key = rustls::crypto::ring::sign::any_supported_type(&key).expect("a key that signs");
        Self(Arc::new(CertifiedKey::new(chain, key)))
    }
}

impl ResolvesClientCert for Showing {
    fn resolve(&self, _named: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn settings(ca: &Path, versions: &[&'static SupportedProtocolVersion], shown: Option<&Leaf>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&fs::read(ca).expect("read the CA")) {
        roots.add(certificate.expect("PEM")).expect("a CA certificate");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("the provider speaks TLS")
        .with_root_certificates(roots);
    match shown {
        Some(leaf) => builder.with_client_cert_resolver(Arc::new(Showing::new(&leaf.certificate, &leaf.key))),
        None => builder.with_no_client_auth(),
    }
}

fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn int_05_the_methods_with_certificates_that_are_advertised_work_and_bind() {
    let scene = Scene::set();
    let metadata = ask(&scene.gateway, HERE, get("/.well-known/oauth-authorization-server/oauth")).json();
    assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
    let methods = metadata["token_endpoint_auth_methods_supported"].as_array().expect("methods");
    for (method, id, own, wrong) in [
        ("self_signed_tls_client_auth", scene.self_signed(), &scene.own, &scene.issued),
        ("tls_client_auth", scene.vouched_for(), &scene.issued, &scene.own),
    ] {
        assert!(methods.contains(&method.into()), "{methods:?}");
        let token = scene.token(&id, own);
        assert!(scene.opens("imaps", &token, Some(own)), "{method}");
        assert!(!scene.opens("imaps", &token, None), "{method}: bound");
        let form = format!("{GRANT}&client_id={id}");
        for shown in [Some(wrong), None] {
            let refused = scene.ask(&scene.settings(shown), "", &form);
            assert_eq!(error(&refused), (401, "invalid_client".to_owned()), "{method}");
        }
    }
}

#[test]
fn jwt_12_at_the_mail_doors_a_bound_token_needs_its_certificate_on_the_same_connection() {
    let scene = Scene::set();
    let token = scene.token(&scene.self_signed(), &scene.own);
    for door in ["imaps", "imap", "smtps", "submission"] {
        assert!(scene.opens(door, &token, Some(&scene.own)), "{door}");
        for shown in [None, Some(&scene.other)] {
            assert!(!scene.opens(door, &token, shown), "{door}");
        }
    }
    let reasons = scene.reasons();
    assert_eq!(reasons, vec!["token is bound to a TLS certificate that was not shown"; 8]);
}

#[test]
fn ca_15_a_certificate_is_worth_nothing_without_its_key() {
    let scene = Scene::set();
    let id = scene.self_signed();
    let stolen = Leaf { certificate: scene.own.certificate.clone(), key: scene.other.key.clone() };
    for version in VERSIONS {
        for (leaf, is_good) in [(&scene.own, true), (&stolen, false)] {
            let settings = settings(scene.gateway.ca_file(), &[version], Some(leaf));
            let mut wire = Wire::with(tcp(scene.gateway.port("https")), Arc::new(settings));
            let sent = wire.try_send(post("", &format!("{GRANT}&client_id={id}")).as_bytes());
            let first = sent.and_then(|()| wire.try_line());
            let is_answered = matches!(&first, Ok(Some(line)) if line.starts_with("HTTP/1.1 200"));
            assert_eq!(is_answered, is_good, "{version:?}: {first:?}");
            assert!(is_good || first.is_err(), "{version:?}: {first:?}");
        }
    }
}

#[test]
fn ca_15_a_chain_has_a_bounded_length() {
    let scene = Scene::set();
    let id = scene.self_signed();
    let own = fs::read_to_string(&scene.own.certificate).expect("read");
    for (further, is_good) in [(4, true), (5, false)] {
        let leaf = Leaf { certificate: scene.dir.path().join("chain.pem"), key: scene.own.key.clone() };
        fs::write(&leaf.certificate, own.repeat(1 + further)).expect("write");
        let mut wire = Wire::with(tcp(scene.gateway.port("https")), scene.settings(Some(&leaf)));
        let sent = wire.try_send(post("", &format!("{GRANT}&client_id={id}")).as_bytes());
        let first = sent.and_then(|()| wire.try_line());
        assert_eq!(matches!(&first, Ok(Some(line)) if line.ends_with("200 OK")), is_good, "{further}: {first:?}");
    }
}

#[test]
fn a_resumed_session_keeps_the_certificate_that_it_began_with() {
    let scene = Scene::set();
    let id = scene.self_signed();
    for version in VERSIONS {
        for (shown, status) in [(Some(&scene.own), 200), (None, 401), (Some(&scene.other), 401)] {
            let settings = Arc::new(settings(scene.gateway.ca_file(), &[version], shown));
            for round in 0..2 {
                let mut wire = Wire::with(tcp(scene.gateway.port("https")), Arc::clone(&settings));
                wire.send(post("", &format!("{GRANT}&client_id={id}")));
                let said = answer(&mut wire);
                assert_eq!(said.status, status, "{version:?} {round}: {said:?}");
                assert_eq!(wire.is_resumed(), round == 1, "{version:?}");
            }
        }
    }
}

#[test]
fn ca_16_what_a_proxy_says_of_certificate_and_address_is_not_read() {
    let scene = Scene::set();
    let id = scene.self_signed();
    let form = format!("{GRANT}&client_id={id}");
    let pem = fs::read_to_string(&scene.own.certificate).expect("read");
    let escaped: String = form_urlencoded(&pem);
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    let plain = base64(&der);
    let one_line = pem.trim().replace('\n', " ");
    for name in [
        "X-Client-Cert",
        "X-SSL-Client-Cert",
        "SSL_CLIENT_CERT",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-Tls-Client-Cert",
    ] {
        for value in [&escaped, &plain, &one_line, &format!("Cert=\"{escaped}\"")] {
            for shown in [None, Some(&scene.other)] {
                let said = scene.ask(&scene.settings(shown), &format!("{name}: {value}\r\n"), &form);
                // So many failures slow this address down in the end; a token is what must not come.
                let refused = [(401, "invalid_client".to_owned()), (429, "slow_down".to_owned())];
                assert!(refused.contains(&error(&said)), "{name}: {said:?}");
            }
        }
    }
    // RFC 9440's header, repeated, and what is said of the address.
    let far = "192.0.2.55";
    let headers = format!(
        "Client-Cert: :{plain}:\r\nClient-Cert: :{plain}:\r\nForwarded: for={far}\r\nX-Forwarded-For: {far}\r\nX-Real-IP: {far}\r\n"
    );
    let said = ask(&scene.gateway, elsewhere(1), post(&headers, &form));
    assert_eq!(error(&said), (401, "invalid_client".to_owned()));
    let audit = scene.gateway.audit();
    let refused: Vec<_> = audit.iter().filter(|event| event["code"] == "token.refused").collect();
    assert!(refused.len() > 10 && refused.iter().all(|event| event["source"] != far), "{refused:?}");
    assert_eq!(refused.last().expect("one")["source"], elsewhere(1).to_string());
    assert!(audit.iter().all(|event| event["code"] != "token.issued"));
}

fn form_urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn tokens_of_tools_without_keys_can_be_pinned_to_their_address_and_to_one_session() {
    let scene = Scene::set();
    let gateway = &scene.gateway;
    let tool = gateway.add_client("legacy");
    let grant = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "backup", "--pin-source"];
    gateway.manage_ok(&[&grant[..], &["--pin-once"]].concat(), b"");
    let token = gateway.token(&tool, ADDRESS);
    let log_in = |source| {
        let mut wire = from(gateway, source);
        wire.line();
        let lines = wire.command("a", &format!("LOGIN {ADDRESS} {token}"));
        lines.last().expect("a line").clone()
    };
    assert!(log_in(elsewhere(1)).starts_with("a NO [AUTHENTICATIONFAILED]"));
    assert!(log_in(HERE).starts_with("a OK"));
    assert!(log_in(HERE).starts_with("a NO [AUTHENTICATIONFAILED]"));
    assert_eq!(scene.reasons(), ["not permitted", "the token was used up by an earlier login"]);
}

/// A connection to the IMAP port from `source`.
fn from(gateway: &Gateway, source: std::net::IpAddr) -> Wire {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind((source, 0).into()).expect("bind the source address");
        let place = (std::net::Ipv4Addr::LOCALHOST, gateway.port("imaps")).into();
        socket.connect(place).await.expect("connect").into_std().expect("a socket")
    });
    stream.set_nonblocking(false).expect("a blocking socket");
    stream.set_read_timeout(Some(crate::support::PATIENCE)).expect("set the time limit");
    Wire::over(stream, gateway.ca_file())
}

#[test]
fn curl_python_and_node_show_their_certificates() {
    let scene = Scene::set();
    let (gateway, ca) = (&scene.gateway, scene.gateway.ca_file());
    for (id, leaf) in [(scene.self_signed(), &scene.own), (scene.vouched_for(), &scene.issued)] {
        let (certificate, key) = (leaf.certificate.display().to_string(), leaf.key.display().to_string());
        let issuer = format!("https://localhost:{}/oauth", gateway.port("https"));
        let (url, form) = (format!("{issuer}/token"), format!("{GRANT}&client_id={id}"));
        let shown = ["--cert", &*certificate, "--key", &*key];
        let printed = curl(ca, &[&shown[..], &["--data", &form, &url]].concat(), b"").expect_ok("curl");
        let said: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        let token = said["access_token"].as_str().unwrap_or_else(|| panic!("{printed}"));
        let place = format!("imaps://localhost:{}/INBOX", gateway.port("imaps"));
        let login = ["--user", ADDRESS, "--oauth2-bearer", token, "--request", "EXAMINE INBOX", &*place];
        curl(ca, &[&shown[..], &login].concat(), b"").expect_ok("curl with its certificate");
        assert_ne!(curl(ca, &login, b"").code, Some(0), "a bound token without the certificate");
        let imaps = gateway.port("imaps").to_string();
        let args = [&*url, &id, &certificate, &key, &imaps, ADDRESS];
        assert_eq!(library_script("mtls.py", ca, &args, b"").expect_ok("Python").trim(), "OK", "Python");
        let args = [&*issuer, &id, &certificate, &key];
        let printed = script("mtls.mjs", ca, &args, b"").expect_ok("Node");
        assert!(scene.opens("smtps", printed.trim(), Some(leaf)) && !scene.opens("smtps", printed.trim(), None));
    }
}
