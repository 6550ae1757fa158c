//! Secrets that everything was fed with are looked for in everything that was written or printed.

use std::fs;

use crate::support::gateway::{base64, plain};
use crate::support::stage::{ADDRESS, PASSWORD, Stage};
use crate::support::wire::Wire;

#[test]
fn no_secret_is_written_or_printed_anywhere() {
    let mut stage = Stage::sending();
    let tool = stage.gateway.add_tool("helpdesk", ADDRESS, "helpdesk");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut printed = use_and_misuse(&stage, &token);
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
    printed.extend(stage.gateway.audit().iter().map(ToString::to_string));
    let operator = stage.gateway.operator_token.clone();
    let secrets = [PASSWORD, &tool.secret, &operator, &token];
    // Once while it runs, with the write-ahead log on disk, and once more after an orderly stop.
    search_files(&stage, &secrets);
    stage.gateway.stop();
    search_files(&stage, &secrets);
    printed.push_str(&stage.gateway.output());
    assert_hidden("the output", printed.as_bytes(), &secrets);
    if let Some(postgres) = stage.gateway.postgres() {
        assert_hidden("the database dump", postgres.dump().as_bytes(), &secrets);
    }
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
    let mut open = vec![stage.gateway.dir().to_owned()];
    let mut files = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("read a folder").map(|entry| entry.expect("a folder entry").path()));
        } else if let Ok(content) = fs::read(&path) {
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

/// A secret as it might be written: plain, hex, URL-escaped, and in base64 at each of the three positions it can have.
fn forms(secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let hex = |upper: bool| {
        let digits = secret.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        digits.collect::<String>().into_bytes()
    };
    let escaped = secret.iter().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    });
    let mut all = vec![
        ("text".to_owned(), secret.to_vec()),
        ("hex".to_owned(), hex(false)),
        ("upper-case hex".to_owned(), hex(true)),
        ("URL escapes".to_owned(), escaped.collect::<String>().into_bytes()),
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
