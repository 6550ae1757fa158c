//! Secrets that everything was fed with are looked for in everything that was written or printed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::gateway::{Gateway, base64, plain};
use crate::support::process::Program;
use crate::support::stage::{ADDRESS, PASSWORD, Stage};
use crate::support::wire::{self, Wire};
use crate::support::{PATIENCE, folder};

#[test]
fn vl_05_no_secret_is_written_or_printed_anywhere() {
    let mut stage = talkative();
    let tool = stage.gateway.add_tool("helpdesk", ADDRESS, "helpdesk");
    let token = stage.gateway.token(&tool, ADDRESS);
    let handle = stage.gateway.handle(&tool, ADDRESS, "imap");
    let mut printed = use_and_misuse(&stage, &token);
    printed.push_str(&use_and_misuse(&stage, &handle));
    let mut wrong = tool.clone();
    wrong.secret.push('x');
    for tool in [&tool, &wrong] {
        let form = format!("grant_type=client_credentials&resource=mailto:{ADDRESS}&client_secret={}", tool.secret);
        // The secret in header and form at once is wrong as well; what counts here is that nobody writes it down.
        let answer = stage.gateway.token_answer(tool, &form).expect("an answer");
        assert!(answer.status >= 400, "{answer:?}");
    }
    for args in [&["mailbox", "list"][..], &["mailbox", "test", ADDRESS], &["client", "list"], &["grant", "list"]] {
        printed.push_str(&stage.gateway.manage_ok(&[args, &["--format", "json"]].concat(), b""));
    }
    printed.extend(every_answer(&stage.gateway, &stage.gateway.operator_token).into_iter().map(|(_, body)| body));
    printed.extend(stage.gateway.audit().iter().map(ToString::to_string));
    printed.push_str(&stage.gateway.manage_ok(&["audit", "export"], b""));
    let operator = stage.gateway.operator_token.clone();
    let secrets = [PASSWORD, &tool.secret, &operator, &token, &handle];
    // Once while it runs, with the write-ahead log on disk, and once more after an orderly stop.
    search_files(&stage, &secrets);
    stage.gateway.stop();
    search_files(&stage, &secrets);
    printed.push_str(&stage.gateway.output());
    assert!(printed.contains("TRACE"), "the log is as talkative as it can be");
    assert_hidden("the output", printed.as_bytes(), &secrets);
    if let Some(postgres) = stage.gateway.postgres() {
        assert_hidden("the database dump", postgres.dump().as_bytes(), &secrets);
    }
}

#[test]
fn au_03_records_hold_no_secret_but_tell_tokens_apart() {
    let stage = Stage::sending();
    let tool = stage.gateway.add_tool("helpdesk", ADDRESS, "helpdesk");
    let (one, two) = (stage.gateway.token(&tool, ADDRESS), stage.gateway.token(&tool, ADDRESS));
    use_and_misuse(&stage, &one);
    let export = stage.gateway.manage_ok(&["audit", "export"], b"");
    assert_hidden(
        "the export",
        export.as_bytes(),
        &[PASSWORD, &tool.secret, &stage.gateway.operator_token, &one, &two],
    );
    // Neither a token's signature alone: with the claims, which are no secret, it would be the token again.
    let signature = |token: &str| token.rsplit('.').next().expect("a signature").to_owned();
    assert_hidden("the export", export.as_bytes(), &[&signature(&one), &signature(&two)]);
    let issued: Vec<_> = stage.gateway.audit().into_iter().filter(|event| event["code"] == "token.issued").collect();
    assert_eq!(issued.len(), 2);
    assert_ne!(issued[0]["detail"]["jti"], issued[1]["detail"]["jti"]);
}

#[test]
fn vl_08_no_role_is_shown_a_password_by_any_answer_of_the_api() {
    let stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut imap = stage.gateway.imap_session(ADDRESS, &token);
    let mut served = 0;
    for role in ["admin", "security", "auditor"] {
        let args = ["operator", "add", role, "--role", role, "--format", "json"];
        let printed: serde_json::Value = serde_json::from_str(&stage.gateway.manage_ok(&args, b"")).expect("JSON");
        let operator = printed["operator_token"].as_str().expect("a token").to_owned();
        for (path, body) in every_answer(&stage.gateway, &operator) {
            served += usize::from(!body.contains("urn:mailwarden:problem"));
            let own = [PASSWORD, &*tool.secret, &*token, &*operator];
            assert_hidden(&format!("what {role} gets from {path}"), body.as_bytes(), &own);
        }
    }
    assert!(served >= 3 * 8, "{served} answers were no refusals");
    imap.command_ok("still", "NOOP");
}

#[test]
fn vl_05_the_demo_keeps_its_secrets_in_the_files_that_are_for_them() {
    let dir = folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailwarden"));
    command.arg("dev").arg("--data").arg(dir.path().join("data")).current_dir(dir.path());
    command.args([
        "--https-port",
        "0",
        "--imaps-port",
        "0",
        "--smtps-port",
        "0",
        "--submission-port",
        "0",
        "--pop3s-port",
        "0",
    ]);
    let mut demo = Program::start("mailwarden dev", &mut command);
    demo.wait_for_line("ready", PATIENCE);
    let env = fs::read_to_string(dir.path().join("data/dev.env")).expect("read dev.env");
    let kek = fs::read_to_string(dir.path().join("data/kek")).expect("read the KEK").trim().to_owned();
    let value = |key: &str| env.lines().find_map(|line| line.strip_prefix(key)).expect("a value").to_owned();
    let shown = ["MAILWARDEN_OPERATOR_TOKEN=", "DEMO_READER_SECRET=", "DEMO_HELPDESK_SECRET="].map(value);
    let secrets: Vec<&str> = shown.iter().map(String::as_str).chain([&*kek]).collect();
    search_folder(dir.path(), &["kek", "dev.env"], &secrets);
    assert_hidden("dev.env", env.as_bytes(), &[&kek]);
    demo.stop();
    search_folder(dir.path(), &["kek", "dev.env"], &secrets);
    assert_hidden("the output", format!("{}{}", demo.stdout(), demo.stderr()).as_bytes(), &secrets);
    for name in ["kek", "dev.env"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(dir.path().join("data").join(name)).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn vl_04_another_kek_starts_nothing_and_changes_nothing() {
    let mut stage = Stage::reading(|_| ());
    stage.gateway.stop();
    let data = stage.gateway.dir().join("data");
    let image = || match stage.gateway.postgres() {
        Some(postgres) => postgres.dump().lines().filter(|line| !line.contains("restrict ")).collect(),
        None => format!("{:?}", fs::read(data.join("mailwarden.db")).expect("read the database")),
    };
    let before = image();
    let good = fs::read_to_string(data.join("kek")).expect("read the KEK");
    let other: String = good.chars().map(|c| if c == 'a' { 'b' } else { c }).collect::<String>().replace('0', "1");
    assert_ne!(good, other);
    fs::write(data.join("kek"), other).expect("write the KEK");
    let refused = stage.gateway.run(&["serve"], b"");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("not the key encryption key that the database was made with"), "{refused:?}");
    assert!(!refused.stdout.contains("listening"), "{refused:?}");
    assert!(image() == before, "the database was changed");
    fs::write(data.join("kek"), good).expect("write the KEK");
    stage.gateway.serve();
    stage.gateway.manage_ok(&["mailbox", "test", ADDRESS], b"");
}

/// A scene whose gateway logs whatever it can.
fn talkative() -> Stage {
    let mut stage = Stage::sending();
    stage.gateway.stop();
    stage.gateway.environment = vec![("MAILWARDEN_LOG_FILTER", "trace".to_owned())];
    stage.gateway.serve();
    stage
}

/// The answer to every GET that the API knows, with the ids that there are in its place.
fn every_answer(gateway: &Gateway, operator: &str) -> Vec<(String, String)> {
    let answer = |path: &str| {
        let head = format!("GET /api/v1{path} HTTP/1.1\r\nAuthorization: Bearer {operator}");
        wire::https(gateway.port("https"), gateway.ca_file(), &head, "").expect("an answer")
    };
    let get = |path: &str| {
        let answer = answer(path);
        format!("{}\n{}", answer.head, answer.body)
    };
    let mut answers = Vec::new();
    let described = answer("/openapi.json").json();
    let paths = described["paths"].as_object().expect("paths").iter();
    for path in paths.filter(|(_, item)| item.get("get").is_some()).filter_map(|(path, _)| path.strip_prefix("/api/v1"))
    {
        let Some((list, rest)) = path.split_once("/{id}") else {
            answers.push((path.to_owned(), get(path)));
            continue;
        };
        let body = get(list);
        for id in body.split('"').filter(|word| word.len() == 16 && word.get(3..4) == Some("_")) {
            answers.push((format!("{list}/{id}{rest}"), get(&format!("{list}/{id}{rest}"))));
        }
    }
    assert!(answers.len() > 8, "there are routes: {answers:?}");
    answers
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for (name, form) in forms(PASSWORD.as_bytes()) {
        let text = [b"noise ", &form[..], b" noise"].concat();
        assert!(holds(&text, &form), "{name}");
    }
    let shifted = base64(format!("\0{ADDRESS}\0{PASSWORD}").as_bytes());
    assert!(forms(PASSWORD.as_bytes()).iter().any(|(_, form)| holds(shifted.as_bytes(), form)));
}

/// Good and bad logins, a denial and a broken upstream: everything that may tempt a program to print its input.
fn use_and_misuse(stage: &Stage, token: &str) -> String {
    let mut printed = String::new();
    let mut imap = stage.gateway.imap_session(ADDRESS, token);
    printed.push_str(&imap.command_ok("a", "SELECT INBOX").join("\n"));
    printed.push_str(&imap.command("b", "EXPUNGE").join("\n"));
    imap.command_ok("c", "LOGOUT");
    for login in [
        format!("LOGIN {ADDRESS} x{token}"),
        format!("LOGIN {token}"),
        format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, &format!("x{token}"))),
        format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, PASSWORD)),
        format!("AUTHENTICATE NONSENSE {}", base64(PASSWORD.as_bytes())),
        format!("{token} NOOP"),
    ] {
        let mut imap = stage.gateway.imap();
        imap.send(format!("a {login}\r\nz LOGOUT\r\n"));
        // The answers may go on the wire to the one who sent the secret; they are not searched.
        let _ = imap.rest();
    }
    let mut smtp = Wire::connect(stage.gateway.port("smtps"), stage.gateway.ca_file());
    smtp.reply();
    smtp.send(format!("EHLO {token}\r\n"));
    smtp.reply();
    smtp.send(format!("AUTH PLAIN {}\r\n", plain(ADDRESS, &format!("x{token}"))));
    smtp.reply();
    smtp.send("QUIT\r\n");
    let _ = smtp.rest();
    let refused = stage.gateway.add_mailbox("third@example.test", PASSWORD, stage.upstream(), &stage.ca);
    printed.push_str(&refused.stdout);
    printed.push_str(&refused.stderr);
    stage.dovecot.set_password(ADDRESS, "another-password");
    let mut imap = stage.gateway.imap();
    printed.push_str(&imap.command("a", &format!("LOGIN {ADDRESS} {token}")).join("\n"));
    stage.dovecot.set_password(ADDRESS, PASSWORD);
    printed
}

fn search_files(stage: &Stage, secrets: &[&str]) {
    search_folder(stage.gateway.dir(), &[], secrets);
}

fn search_folder(folder: &Path, but: &[&str], secrets: &[&str]) {
    let mut open = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("read a folder").map(|entry| entry.expect("a folder entry").path()));
        } else if !path.file_name().is_some_and(|name| but.iter().any(|but| name == *but))
            && let Ok(content) = fs::read(&path)
        {
            files += 1;
            assert_hidden(&path.display().to_string(), &content, secrets);
        }
    }
    assert!(files > 1, "there was something to search");
}

fn assert_hidden(place: &str, content: &[u8], secrets: &[&str]) {
    for (number, secret) in secrets.iter().enumerate() {
        for (name, form) in forms(secret.as_bytes()) {
            assert!(!holds(content, &form), "secret {number} lies in {place} as {name}");
        }
    }
}

/// A secret as it might be written: plain, hex, URL-escaped, UTF-16, and in base64 at each of the three positions it can have.
fn forms(secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let hex = |upper: bool| {
        let digits = secret.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        digits.collect::<String>().into_bytes()
    };
    let text = String::from_utf8_lossy(secret);
    let utf16 = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<_>>();
    let escaped = secret.iter().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    });
    let mut all = vec![
        ("text".to_owned(), secret.to_vec()),
        ("hex".to_owned(), hex(false)),
        ("upper-case hex".to_owned(), hex(true)),
        ("URL escapes".to_owned(), escaped.collect::<String>().into_bytes()),
        ("UTF-16, low octet first".to_owned(), utf16(u16::to_le_bytes)),
        ("UTF-16, high octet first".to_owned(), utf16(u16::to_be_bytes)),
    ];
    for position in 0..3 {
        // Only the characters that depend on nothing but the secret.
        let text = base64(&[&vec![0; position][..], secret].concat());
        let first = [0, 2, 3][position];
        let whole = (position + secret.len()) / 3 * 4;
        let inner = text[first..whole].to_owned();
        all.push((format!("base64url at {position}"), inner.replace('+', "-").replace('/', "_").into_bytes()));
        all.push((format!("base64 at {position}"), inner.into_bytes()));
    }
    all
}

fn holds(content: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return false };
    let starts = content.iter().enumerate().filter(|(_, byte)| *byte == first);
    starts.map(|(at, _)| &content[at..]).any(|rest| rest.starts_with(part))
}
