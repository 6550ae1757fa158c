//! The audit log seen from outside: complete, in one line each, verifiable elsewhere, and in the way when it cannot be written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use mailwarden::domain::event::EventCode;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::manual::details;
use crate::support::api::Api;
use crate::support::ca::Ca;
use crate::support::dovecot::Dovecot;
use crate::support::gateway::{Gateway, Upstream, plain};
use crate::support::process;
use crate::support::stage::{ADDRESS, PASSWORD, Stage};
use crate::support::wire::{self, Wire};
use crate::support::{PATIENCE, folder, wait_for};

/// A small file system of its own; it is taken off with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Puts a file system of `megabytes` over a folder, with what the folder held.
    fn over(folder: &Path, megabytes: u32) -> Self {
        let aside = folder.with_extension("aside");
        fs::rename(folder, &aside).expect("set the folder aside");
        fs::create_dir(folder).expect("make the folder");
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder);
        process::run(&mut mount, b"").expect_ok("mount, which needs root");
        let disk = Self(folder.to_owned());
        let mut copy = Command::new("cp");
        process::run(copy.arg("-a").arg(aside.join(".")).arg(folder), b"").expect_ok("cp");
        disk
    }

    /// Takes all that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let zeros = fs::File::open("/dev/zero").expect("open /dev/zero");
        let filled = std::io::copy(&mut BufReader::new(zeros), &mut fs::File::create(&path).expect("a file"));
        assert_eq!(filled.expect_err("it is full").kind(), std::io::ErrorKind::StorageFull);
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn the_list_is_narrowed_by_code_client_and_mailbox_and_knows_who_is_gone() {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let other = "other@example.test";
    let dovecot = Dovecot::start(&ca, &[(ADDRESS, PASSWORD), (other, PASSWORD)]);
    let gateway = Gateway::start(&ca);
    for address in [ADDRESS, other] {
        let upstream = Upstream { imap: dovecot.imaps, smtp: None, starttls: false };
        gateway.add_mailbox(address, PASSWORD, upstream, &ca).expect_ok("mailbox add");
    }
    let (first, second) = (gateway.add_tool("first", ADDRESS, "backup"), gateway.add_tool("second", other, "backup"));
    gateway.token(&first, ADDRESS);
    gateway.token(&second, other);
    let list = |asked: &[&str]| -> Vec<(String, Value, Value)> {
        let printed = gateway.manage_ok(&[&["audit", "list", "--format", "json"], asked].concat(), b"");
        let page: Value = serde_json::from_str(&printed).expect("JSON");
        let events = page["events"].as_array().expect("events").clone();
        let told = |event: &Value| (event["code"].to_string(), event["client_id"].clone(), event["mailbox_id"].clone());
        events.iter().map(told).collect()
    };
    let issued = list(&["--code", "token.issued"]);
    assert_eq!(issued.len(), 2);
    assert!(issued.iter().all(|(code, ..)| code == "\"token.issued\""), "{issued:?}");
    let of_first = list(&["--client", "first"]);
    assert!(!of_first.is_empty() && of_first.iter().all(|(_, client, _)| *client == first.id), "{of_first:?}");
    assert_eq!(list(&["--client", &first.id]), of_first, "the id names it too");
    let of_other = list(&["--mailbox", other]);
    let mailbox = of_other.first().expect("it was added").2.clone();
    assert!(of_other.len() >= 2 && of_other.iter().all(|(.., id)| *id == mailbox), "{of_other:?}");
    assert_eq!(list(&["--code", "token.issued", "--client", "first"]).len(), 1);
    assert_eq!(list(&["--client", "first", "--mailbox", other]), [], "all of them hold");

    gateway.manage_ok(&["client", "remove", &first.id], b"");
    let gone = list(&["--client", &first.id]);
    assert!(gone.len() > of_first.len(), "with its removal: {gone:?}");
    for (asked, word) in [
        (["--client", "first"], "client"),
        (["--client", "nobody"], "client"),
        (["--mailbox", "nobody@example.test"], "mailbox"),
        (["--code", "no.such"], "no such code"),
    ] {
        let refused = gateway.manage(&[&["audit", "list"][..], &asked].concat(), b"");
        assert_ne!(refused.code, Some(0), "{asked:?}");
        assert!(refused.stderr.contains(word), "{asked:?}: {}", refused.stderr);
    }
}

#[test]
fn au_01_a_full_disk_stops_tokens_and_the_service_recovers_alone() {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let dovecot = Dovecot::start(&ca, &[(ADDRESS, PASSWORD)]);
    let mut gateway = Gateway::prepare_on(&ca, None);
    let disk = SmallDisk::over(&gateway.dir().join("data"), 16);
    gateway.serve();
    let upstream = Upstream { imap: dovecot.imaps, smtp: None, starttls: false };
    gateway.add_mailbox(ADDRESS, PASSWORD, upstream, &ca).expect_ok("mailbox add");
    let tool = gateway.add_tool("backup", ADDRESS, "backup");
    let form = format!("grant_type=client_credentials&resource=mailto:{ADDRESS}");
    let mut issued = 0;
    let mut ask = || {
        let answer = gateway.token_answer(&tool, &form).expect("the token endpoint answers");
        let has_token = answer.body.contains("access_token");
        assert_eq!(has_token, answer.status == 200, "{answer:?}");
        issued += usize::from(has_token);
        answer
    };
    assert_eq!(ask().status, 200);
    let filler = disk.fill();
    // What the database file has room for is still written; then there is none.
    let refused = (0..5000).map(|_| ask()).find(|answer| answer.status != 200).expect("a refusal");
    for answer in [refused, ask(), ask()] {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.json()["error"], "temporarily_unavailable", "{answer:?}");
    }
    fs::remove_file(filler).expect("make room");
    wait_for("tokens to be issued again", PATIENCE, || (ask().status == 200).then_some(()));
    let recorded = gateway.audit().iter().filter(|event| event["code"] == "token.issued").count();
    assert_eq!(recorded, issued, "as many records as tokens");
    gateway.manage_ok(&["audit", "verify"], b"");
    gateway.stop();
    drop(disk);
}

#[test]
fn au_08_an_export_is_verified_where_there_is_neither_server_nor_database() {
    let mut stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    stage.gateway.token(&tool, ADDRESS);
    let verified = stage.gateway.manage_ok(&["audit", "verify", "--format", "json"], b"");
    let key = serde_json::from_str::<Value>(&verified).expect("JSON")["key"].as_str().expect("a key").to_owned();
    let dir = folder();
    let export = dir.path().join("export.jsonl");
    let path = export.display().to_string();
    let printed = stage.gateway.manage_ok(&["audit", "export"], b"");
    stage.gateway.manage_ok(&["audit", "export", "--output", &path], b"");
    let again = stage.gateway.manage(&["audit", "export", "--output", &path], b"");
    assert_eq!(again.code, Some(2), "an existing file was overwritten");
    stage.gateway.stop();

    let text = fs::read_to_string(&export).expect("read the export");
    let lines: Vec<&str> = text.lines().collect();
    assert!(text.starts_with(printed.lines().next().expect("a line")), "both ways give the same");
    let events = lines.iter().filter(|line| line.contains("\"type\":\"event\"")).count();
    assert!(lines.last().is_some_and(|line| line.contains("\"type\":\"checkpoint\"")), "it ends with a checkpoint");
    let verify = |path: &str, key: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailwarden"));
        command.env_clear().current_dir("/").args(["audit", "verify", "--file", path, "--key", key]).args(more);
        process::run(&mut command, b"")
    };
    let good = verify(&path, &key, &["--format", "json"]).expect_ok("audit verify --file");
    assert_eq!(serde_json::from_str::<Value>(&good).expect("JSON")["events"], events);
    verify(&path, &key, &["--expect-seq", &events.to_string()]).expect_ok("as far as it is known to have come");
    let bad = |finished: process::Finished, seq: usize| {
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains(&format!(" {seq}")), "record {seq} is not named: {finished:?}");
    };
    bad(verify(&path, &key, &["--expect-seq", &(events + 1).to_string()]), events + 1);
    bad(verify(&path, &"A".repeat(43), &[]), 1);
    fs::write(&export, text.replacen("success", "denied", 1)).expect("edit the export");
    let at = lines.iter().position(|line| line.contains("success")).expect("a success");
    let before = lines[..=at].iter().filter(|line| line.contains("\"type\":\"event\"")).count();
    bad(verify(&path, &key, &[]), before);
}

#[test]
fn vl_01_a_swapped_ciphertext_raises_an_alarm_at_the_next_login() {
    let mut stage = Stage::reading(|_| ());
    let other = "other@example.test";
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS)).command_ok("a", "LOGOUT");
    // A second mailbox of the same account: its ciphertext, and no other thing, takes the first one's place.
    stage.gateway.manage_ok(
        &[
            "mailbox",
            "add",
            "--address",
            other,
            "--username",
            ADDRESS,
            "--imap",
            &format!("localhost:{}", stage.dovecot.imaps),
            "--ca-file",
            &stage.ca.file().display().to_string(),
            "--password-stdin",
        ],
        format!("{PASSWORD}\n").as_bytes(),
    );
    stage.gateway.stop();
    edit_database(
        &stage.gateway,
        "UPDATE credentials SET sealed = o.sealed, wrapped_dek = o.wrapped_dek FROM credentials o, mailboxes m, mailboxes n \
         WHERE credentials.mailbox_id = m.id AND m.address = 'support@example.test' AND o.mailbox_id = n.id \
         AND n.address = 'other@example.test'",
    );
    stage.gateway.serve();
    let mut imap = stage.gateway.imap();
    let answer = imap.command("a", &format!("LOGIN {ADDRESS} {}", stage.gateway.token(&tool, ADDRESS)));
    assert!(answer.last().is_some_and(|line| line.starts_with("a NO")), "{answer:?}");
    let log = stage.gateway.audit();
    let alarm = log.iter().find(|event| event["code"] == "tampering.detected").expect("an alarm");
    assert_eq!((&alarm["detail"]["table"], &alarm["outcome"]), (&"credentials".into(), &"failure".into()));
    assert!(alarm["mailbox_id"].is_string(), "{alarm}");
}

#[test]
fn au_05_every_event_code_occurs_and_says_who_where_whence_and_how_it_ended() {
    let mut stage = Stage::sending();
    everything_happens(&mut stage);
    let log = stage.gateway.audit();
    let mut seen: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for event in &log {
        seen.entry(event["code"].as_str().expect("a code").to_owned()).or_default().push(event);
    }
    let missing: Vec<_> =
        EventCode::ALL.iter().map(|code| code.as_str()).filter(|code| !seen.contains_key(*code)).collect();
    assert!(missing.is_empty(), "codes that nothing in the scenario list leads to: {missing:?}");
    let (mut faults, manual) = (BTreeSet::new(), details());
    for (code, events) in &seen {
        for event in events {
            for member in ["actor", "outcome", "at"].iter().chain(required(code)) {
                // What the house does by itself at its first start has no request behind it.
                let by_house = event["actor"] == "system" && ["source", "request_id"].contains(member);
                if !event[*member].is_string() && !by_house {
                    faults.insert(format!("{code} has no {member}"));
                }
            }
            let detail = event["detail"].as_object().expect("details");
            for name in detail.keys().filter(|name| !manual[code].contains(*name)) {
                faults.insert(format!("the manual does not say that {code} tells {name}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let outcomes: BTreeSet<_> = log.iter().map(|event| event["outcome"].as_str().expect("an outcome")).collect();
    assert_eq!(outcomes, BTreeSet::from(["denied", "failure", "success"]));
}

/// What records of each code must name besides actor and outcome. The session or the request is what ties records together.
fn required(code: &str) -> &'static [&'static str] {
    match code {
        "service.started" | "service.stopped" | "tampering.detected" => &[],
        "operator.added" | "operator.removed" | "operator.refused" => &["source", "request_id"],
        "key.published" | "key.revoked" => &["source", "request_id"],
        "mailbox.added" | "mailbox.removed" | "mailbox.tested" | "credential.set" => {
            &["mailbox_id", "source", "request_id"]
        }
        "mailbox.quarantined" | "mailbox.recovered" => &["mailbox_id"],
        "client.added" | "client.changed" | "client.removed" | "client.secret-rotated" | "client.secret-retired" => {
            &["client_id", "source", "request_id"]
        }
        "grant.added" | "grant.changed" | "grant.removed" => {
            &["client_id", "mailbox_id", "grant_id", "source", "request_id"]
        }
        "token.issued" => &["client_id", "mailbox_id", "grant_id", "source", "request_id"],
        "token.refused" | "revoked" | "freeze.added" | "freeze.ended" | "sessions.killed" => &["source", "request_id"],
        "token.revoked" => &["client_id", "mailbox_id", "source", "request_id"],
        "budget.exhausted" => &["client_id", "mailbox_id", "grant_id", "session_id", "source"],
        "login.refused" => &["source", "verdict_id"],
        "token.exposed" => &["client_id", "source"],
        "session.killed" => &["session_id", "source", "request_id"],
        "command.denied" => &["client_id", "mailbox_id", "grant_id", "session_id", "verdict_id", "source"],
        "messages.read"
        | "messages.changed"
        | "folder.changed"
        | "folder.visited"
        | "credential.used"
        | "login.accepted"
        | "session.ended"
        | "message.submitted"
        | "message.indeterminate" => &["client_id", "mailbox_id", "grant_id", "session_id", "source"],
        other => panic!("say here what records of {other} must name"),
    }
}

/// A freeze, its end, and an end to all sessions of a client at once.
fn freeze_and_kill(gateway: &Gateway, client: &str) {
    gateway.manage_ok(&["freeze", "--client", client, "--level", "cut", "--reason", "a drill"], b"");
    gateway.manage_ok(&["thaw", "--all"], b"");
    gateway.manage_ok(&["session", "kill", "--client", client], b"");
}

/// One scene after the other, so that everything that can be recorded is.
fn everything_happens(stage: &mut Stage) {
    let gateway = &stage.gateway;
    let json = |text: String| serde_json::from_str::<Value>(&text).expect("JSON");
    // Operators.
    let printed = json(gateway.manage_ok(&["operator", "add", "guard", "--role", "auditor", "--format", "json"], b""));
    let id = printed["id"].as_str().expect("an id").to_owned();
    gateway.manage_ok(&["operator", "remove", &id], b"");
    let refused = wire::https(gateway.port("https"), gateway.ca_file(), "GET /api/v1/clients HTTP/1.1", "");
    assert_eq!(refused.expect("an answer").status, 401);
    // Signing keys.
    gateway.manage_ok(&["key", "rotate", "--now", "--revoke"], b"");
    // Clients and grants.
    let tool = gateway.add_tool("helpdesk", ADDRESS, "helpdesk");
    gateway.manage_ok(&["client", "rotate-secret", &tool.id], b"");
    gateway.manage_ok(&["client", "retire-secrets", &tool.id], b"");
    let printed = gateway.manage_ok(&["client", "rotate-secret", &tool.id, "--format", "json"], b"");
    let mut tool = tool;
    json(printed)["client_secret"].as_str().expect("a secret").clone_into(&mut tool.secret);
    let gone = gateway.add_tool("gone", ADDRESS, "backup");
    let grants = json(gateway.manage_ok(&["grant", "list", "--format", "json"], b""));
    let grant =
        grants["grants"].as_array().expect("grants").iter().find(|grant| grant["client_id"] == gone.id.as_str());
    let id = grant.expect("a grant")["id"].as_str().expect("an id");
    for (path, body) in [
        (format!("/api/v1/grants/{id}"), serde_json::json!({ "scope": "mail.metadata" })),
        (format!("/api/v1/clients/{}", gone.id), serde_json::json!({ "name": "going" })),
    ] {
        assert_eq!(Api::of(gateway).json("PUT", &path, &gateway.operator_token, &body).status, 200, "{path}");
    }
    gateway.manage_ok(&["grant", "remove", id], b"");
    gateway.manage_ok(&["client", "remove", &gone.id], b"");
    // Mailboxes.
    gateway.manage_ok(&["mailbox", "test", ADDRESS], b"");
    gateway.manage_ok(&["mailbox", "set-credential", ADDRESS, "--password-stdin"], format!("{PASSWORD}\n").as_bytes());
    freeze_and_kill(gateway, &tool.id);
    // Tokens, a session with a denial, one that is ended.
    let wrong = gateway.token_answer(&gone, "grant_type=client_credentials").expect("an answer");
    assert_eq!(wrong.status, 401);
    let token = gateway.token(&tool, ADDRESS);
    let mut imap = gateway.imap_session(ADDRESS, &token);
    imap.command_ok("a", "SELECT INBOX");
    work(&mut imap);
    let listed = json(gateway.manage_ok(&["session", "list", "--format", "json"], b""));
    gateway.manage_ok(&["session", "kill", listed["sessions"][0]["id"].as_str().expect("an id")], b"");
    imap.rest().expect("the session ends");
    assert!(gateway.imap().command("a", &format!("LOGIN {ADDRESS} x{token}"))[0].starts_with("a NO"));
    submit(gateway, ADDRESS, &token, "250");
    spend(gateway);
    // A token in the clear is void, with all of its client's.
    let mut clear = std::net::TcpStream::connect(("127.0.0.1", gateway.port("imap"))).expect("connect");
    clear.write_all(format!("a LOGIN {ADDRESS} {token}\r\nb LOGOUT\r\n").as_bytes()).expect("send");
    clear.read_to_end(&mut Vec::new()).expect("an answer");
    wait_for("the exposed token to be void", PATIENCE, || {
        gateway.audit().iter().any(|event| event["code"] == "token.exposed").then_some(())
    });
    let tokens = wire::https(
        gateway.port("https"),
        gateway.ca_file(),
        &format!("GET /api/v1/tokens HTTP/1.1\r\nAuthorization: Bearer {}", gateway.operator_token),
        "",
    );
    let id = tokens.expect("an answer").json()["tokens"][0]["id"].as_str().expect("a token").to_owned();
    gateway.manage_ok(&["revoke", "--token", &id], b"");
    gateway.manage_ok(&["revoke", "--client", &tool.id], b"");
    // A submission whose answer never comes: the server behind stops between the message and its reply.
    indeterminate(stage);
    // A credential that the upstream refuses, until it takes it again.
    let gateway = &stage.gateway;
    let token = gateway.token(&tool, ADDRESS);
    stage.dovecot.set_password(ADDRESS, "not-the-password");
    wait_for("the quarantine", PATIENCE, || {
        let mut imap = gateway.imap();
        imap.command("a", &format!("LOGIN {ADDRESS} {token}"));
        gateway.audit().iter().any(|event| event["code"] == "mailbox.quarantined").then_some(())
    });
    stage.dovecot.set_password(ADDRESS, PASSWORD);
    wait_for("the recovery", PATIENCE, || {
        let again = ["mailbox", "set-credential", ADDRESS, "--password-stdin"];
        (gateway.manage(&again, format!("{PASSWORD}\n").as_bytes()).code == Some(0)).then_some(())
    });
    // A row that somebody edits, a stop, a start, the end of a mailbox.
    gateway.add_tool("edited", ADDRESS, "backup");
    stage.gateway.stop();
    edit_database(&stage.gateway, "UPDATE clients SET token_alg = 'ES256' WHERE name = 'edited'");
    stage.gateway.serve();
    stage.gateway.manage_ok(&["client", "list"], b"");
    let listed = json(stage.gateway.manage_ok(&["mailbox", "list", "--format", "json"], b""));
    for mailbox in listed["mailboxes"].as_array().expect("mailboxes") {
        stage.gateway.manage_ok(&["mailbox", "remove", mailbox["id"].as_str().expect("an id")], b"");
    }
}

/// A budget that is used up before anything was.
fn spend(gateway: &Gateway) {
    let spent = gateway.add_client("spent");
    let mut grant = vec!["grant", "add", "--client", &spent.id, "--mailbox", ADDRESS, "--preset", "backup"];
    grant.extend(["--budget", "folders=0/day"]);
    gateway.manage_ok(&grant, b"");
    let mut imap = gateway.imap_session(ADDRESS, &gateway.token(&spent, ADDRESS));
    assert!(imap.command("a", "EXAMINE INBOX")[0].starts_with("a NO [LIMIT]"));
}

/// Reads, changes, makes folders, and is refused.
fn work(imap: &mut Wire) {
    imap.command_ok("c", "APPEND INBOX {10+}\r\nSubject: x");
    imap.command_ok("c", "FETCH * BODY[]");
    imap.command_ok("d", r"STORE * +FLAGS (\Seen)");
    imap.command_ok("e", "SUBSCRIBE INBOX");
    assert!(imap.command("b", "EXPUNGE").last().is_some_and(|line| line.contains("NOPERM")));
}

fn submit(gateway: &Gateway, address: &str, token: &str, expected: &str) {
    let mut smtp = Wire::connect(gateway.port("smtps"), gateway.ca_file());
    smtp.reply();
    let auth = format!("AUTH PLAIN {}", plain(address, token));
    let (from, to) = (format!("MAIL FROM:<{address}>"), format!("RCPT TO:<{address}>"));
    let message = format!("From: <{address}>\r\nSubject: hello\r\n\r\nHello\r\n.");
    for (line, code) in
        [("EHLO test", "250"), (&auth, "235"), (&from, "250"), (&to, "250"), ("DATA", "354"), (&message, expected)]
    {
        smtp.send(format!("{line}\r\n"));
        let reply = smtp.reply();
        assert!(reply[0].starts_with(code), "{line}: {reply:?}");
    }
}

/// A message to a server that takes it and goes away without a word.
fn indeterminate(stage: &Stage) {
    let leaf = stage.ca.issue("silent");
    let chain = CertificateDer::pem_file_iter(&leaf.certificate).expect("read the certificate");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a PEM certificate");
    let key = PrivateKeyDer::from_pem_file(&leaf.key).expect("a PEM key");
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate fit");
    let tls = Arc::new(tls);
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind any port");
    let smtp = format!("localhost:{}", listener.local_addr().expect("the bound address").port());
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let tls = rustls::ServerConnection::new(Arc::clone(&tls)).expect("TLS settings");
            // Whoever goes away has gone away; the next one comes.
            let _ = converse(rustls::StreamOwned::new(tls, tcp));
        }
    });
    let (gateway, address) = (&stage.gateway, "silent@example.test");
    let ca_file = stage.ca.file().display().to_string();
    gateway.manage_ok(
        &["mailbox", "add", "--address", address, "--smtp", &smtp, "--ca-file", &ca_file, "--password-stdin"],
        b"anything\n",
    );
    let tool = gateway.add_tool("silent", address, "marketing");
    submit(gateway, address, &gateway.token(&tool, address), "451");
}

fn converse(stream: impl Read + Write) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"220 silent ESMTP\r\n")?;
    let mut is_message = false;
    let mut line = String::new();
    while stream.read_line(&mut line)? > 0 {
        let command = std::mem::take(&mut line).trim_end().to_ascii_uppercase();
        let answer = match command.split(' ').next().unwrap_or_default() {
            "." if is_message => return Ok(()),
            _ if is_message => continue,
            "EHLO" => "250-silent\r\n250 AUTH PLAIN",
            "AUTH" => "235 welcome",
            "DATA" => {
                is_message = true;
                "354 go on"
            }
            "QUIT" => "221 bye",
            _ => "250 fine",
        };
        stream.get_mut().write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}

/// Changes the database behind the service's back.
fn edit_database(gateway: &Gateway, statement: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
        let changed = if let Some(postgres) = gateway.postgres() {
            let pool = sqlx::PgPool::connect(&postgres.url()).await.expect("connect");
            statement.execute(&pool).await.expect("edit").rows_affected()
        } else {
            let url = format!("sqlite:{}/data/mailwarden.db", gateway.dir().display());
            let pool = sqlx::SqlitePool::connect(&url).await.expect("connect");
            statement.execute(&pool).await.expect("edit").rows_affected()
        };
        assert!(changed > 0, "nothing was there to be changed");
    });
}
