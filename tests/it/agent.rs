//! `mailwarden agent`: programs that know one fixed password, while the tokens behind it come and go.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::gateway::{Gateway, Tool, listeners, plain};
use crate::support::lmtp::Lmtp;
use crate::support::process::{self, Program};
use crate::support::stage::{ADDRESS, Stage};
use crate::support::{PATIENCE, give_to_mail_user, maildir, wait_for};

/// A running agent.
struct Agent {
    program: Program,
    imap: u16,
    smtp: u16,
    pop3: u16,
    password: String,
}

impl Agent {
    fn start(stage: &Stage, tool: &Tool) -> Self {
        let file = stage.dir.path().join("agent/password");
        let mut command = command(&stage.gateway, tool, &file);
        let mut program = Program::start("mailwarden agent", command.args(["--listen-imap", "127.0.0.1:0"]));
        program.wait_for_line("ready", PATIENCE);
        let ports = listeners(&program.stdout());
        assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
        let password = fs::read_to_string(file).expect("read the password").trim_end().to_owned();
        Self { program, imap: ports["imap"], smtp: ports["smtp"], pop3: ports["pop3"], password }
    }

    fn connect(port: u16) -> Clear {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("set a limit");
        let mut clear = Clear(BufReader::new(stream));
        clear.line();
        clear
    }
}

fn command(gateway: &Gateway, tool: &Tool, password_file: &Path) -> Command {
    let mut command = gateway.tool_command(tool, &["agent", "--mailbox", ADDRESS, "--listen-smtp", "127.0.0.1:0"]);
    command.args(["--listen-pop3", "127.0.0.1:0", "--pop3s"]).arg(format!("localhost:{}", gateway.port("pop3s")));
    command.arg("--imaps").arg(format!("localhost:{}", gateway.port("imaps")));
    command.arg("--smtps").arg(format!("localhost:{}", gateway.port("smtps")));
    command.arg("--password-file").arg(password_file);
    command
}

/// A connection without TLS, as the agent takes it.
struct Clear(BufReader<TcpStream>);

impl Clear {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("send");
    }

    /// Sends a line and reads up to the line that begins with `last`.
    fn until(&mut self, line: &str, last: &str) -> Vec<String> {
        self.send(&format!("{line}\r\n"));
        let mut heard = Vec::new();
        while !heard.last().is_some_and(|line: &String| line.starts_with(last)) {
            let next = self.line();
            assert!(!next.is_empty(), "{line:?}: the agent went away after {heard:?}");
            heard.push(next);
        }
        heard
    }

    /// Sends a line; the one line of answer must begin with `code`.
    fn say(&mut self, line: &str, code: &str) {
        self.send(&format!("{line}\r\n"));
        let answer = self.line();
        assert!(answer.starts_with(code), "{line:?} was answered {answer:?}, not {code}");
    }
}

fn tokens_of(gateway: &Gateway, tool: &Tool) -> usize {
    let is_own = |event: &serde_json::Value| event["code"] == "token.issued" && event["client_id"] == tool.id.as_str();
    gateway.audit().iter().filter(|event| is_own(event)).count()
}

#[test]
fn getmail_and_s_nail_read_and_send_with_one_password_across_renewals() {
    let stage = Stage::sending();
    let tool = stage.gateway.add_client("old programs");
    let args = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "helpdesk", "--token-ttl", "2"];
    stage.gateway.manage_ok(&args, b"");
    let agent = Agent::start(&stage, &tool);
    let (home, copies) = (stage.dir.path().join("home"), Lmtp::start(ADDRESS));
    fs::create_dir_all(home.join("getmail")).expect("make a folder");
    let (password, imap, smtp) = (&agent.password, agent.imap, agent.smtp);
    let getmailrc = format!(
        "[retriever]\ntype = SimpleIMAPRetriever\nserver = 127.0.0.1\nport = {imap}\nusername = {ADDRESS}\npassword = {password}\n\
         mailboxes = (\"INBOX\",)\n{}[options]\nread_all = false\n",
        copies.getmail_destination()
    );
    fs::write(home.join("getmail/getmailrc"), getmailrc).expect("write getmail's settings");
    let user = ADDRESS.replace('@', "%40");
    let mailrc = format!(
        "set v15-compat\nset mta=smtp://{user}:{password}@127.0.0.1:{smtp}\nset smtp-auth=login\nset from={ADDRESS}\nset sendwait\n"
    );
    fs::write(home.join("mailrc"), mailrc).expect("write s-nail's settings");
    let mut sent = 0;
    let mut seen = 0;
    // At the start one token is got; three renewals make four.
    while seen < 4 {
        sent += 1;
        let mut send = Command::new("s-nail");
        send.args(["-:u", "-s", &format!("number {sent}"), ADDRESS]);
        send.env("HOME", &home).env("MAILRC", home.join("mailrc")).current_dir(&home);
        process::run(&mut send, b"sent through the agent\n").expect_ok("s-nail");
        let arrived = || (maildir::messages(&stage.maildir()).len() == sent).then_some(());
        wait_for("the message to arrive", PATIENCE, arrived);
        let mut fetch = Command::new("getmail");
        fetch.arg("--getmaildir").arg(home.join("getmail")).env("HOME", &home);
        process::run(&mut fetch, b"").expect_ok("getmail");
        assert_eq!(copies.messages().len(), sent, "getmail has them all");
        seen = tokens_of(&stage.gateway, &tool);
    }
    assert!(sent >= 3, "{sent} messages went through");
    let said = format!("{}{}", agent.program.stdout(), agent.program.stderr());
    assert!(!said.contains(password) && !said.contains("WARN"), "{said}");
}

#[test]
fn getmail_reads_by_pop3_with_one_password_across_renewals() {
    let stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_client("old program");
    let args = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "backup", "--token-ttl", "2"];
    stage.gateway.manage_ok(&args, b"");
    let agent = Agent::start(&stage, &tool);
    let (home, copies) = (stage.dir.path().join("home"), Lmtp::start(ADDRESS));
    fs::create_dir_all(&home).expect("make a folder");
    let getmailrc = format!(
        "[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {}\nusername = {ADDRESS}\npassword = {}\n\
         {}[options]\nread_all = false\n",
        agent.pop3,
        agent.password,
        copies.getmail_destination()
    );
    fs::write(home.join("getmailrc"), getmailrc).expect("write getmail's settings");
    let (mut arrived, mut seen) = (Vec::new(), 0);
    // At the start one token is got; three renewals make four.
    while seen < 4 {
        let number = arrived.len() + 1;
        let message = format!("Subject: number {number}\r\n\r\nhello\r\n.\r\n..dots\r\n").into_bytes();
        let file = stage.maildir().join("new").join(format!("18000000{number:02}.M1.test"));
        fs::write(&file, &message).expect("deliver");
        give_to_mail_user(&file);
        arrived.push(message);
        let mut fetch = Command::new("getmail");
        fetch.arg("--getmaildir").arg(&home).env("HOME", &home);
        process::run(&mut fetch, b"").expect_ok("getmail");
        assert_eq!(copies.messages(), arrived, "getmail has each once");
        seen = tokens_of(&stage.gateway, &tool);
    }
    assert!(arrived.len() >= 3, "{} messages came", arrived.len());
    let said = format!("{}{}", agent.program.stdout(), agent.program.stderr());
    assert!(!said.contains(&agent.password) && !said.contains("WARN"), "{said}");
    let mut pop3 = Agent::connect(agent.pop3);
    pop3.until("CAPA", ".");
    pop3.say("STAT", "-ERR");
    pop3.say(&format!("USER {ADDRESS}"), "+OK");
    // What follows the login in the same breath is not lost.
    pop3.send(&format!("PASS {}\r\nDELE 1\r\n", agent.password));
    assert_eq!(pop3.line(), "+OK logged in");
    let refused = pop3.line();
    assert!(refused.starts_with("-ERR [SYS/PERM]"), "the gateway judges: {refused}");
    let mut stranger = Agent::connect(agent.pop3);
    stranger.say(&format!("AUTH PLAIN {}", plain(ADDRESS, &tool.secret)), "-ERR [AUTH]");
    stranger.say(&format!("USER {ADDRESS}"), "+OK");
    stranger.say("PASS wrong", "-ERR [AUTH]");
    stranger.say("AUTH XOAUTH2", "-ERR");
    assert_eq!(stranger.line(), "-ERR too many failures");
}

#[test]
fn the_agent_shows_its_tool_the_gateway_and_keeps_nothing_back() {
    let stage = Stage::sending();
    let tool = stage.gateway.add_tool("old program", ADDRESS, "backup");
    let agent = Agent::start(&stage, &tool);
    let mut imap = Agent::connect(agent.imap);
    imap.until("a CAPABILITY", "a OK");
    // What follows the login in the same breath is not lost.
    imap.send(&format!("b LOGIN {ADDRESS} {{{}+}}\r\n{}\r\nc EXAMINE INBOX\r\n", agent.password.len(), agent.password));
    let welcome = imap.line();
    assert!(welcome.starts_with("b OK [CAPABILITY IMAP4rev1") && welcome.contains("IDLE"), "{welcome}");
    assert!(!welcome.contains("AUTH="), "there is nobody to log in to any more: {welcome}");
    while !imap.line().starts_with("c OK") {}
    let refused = imap.until("d CREATE Drafts", "d ");
    assert!(refused.iter().any(|line| line.contains("[NOPERM]")), "the gateway judges: {refused:?}");
    // A token that was revoked meanwhile is replaced, and nobody notices.
    stage.gateway.manage_ok(&["revoke", "--client", &tool.id], b"");
    let mut rest = String::new();
    imap.0.read_to_string(&mut rest).expect("the end");
    assert!(rest.contains("* BYE"), "the gateway's last word: {rest:?}");
    let mut again = Agent::connect(agent.imap);
    again.until(&format!("a AUTHENTICATE PLAIN {}", plain(ADDRESS, &agent.password)), "a OK");
    again.until("b LOGOUT", "b OK");
    assert_eq!(tokens_of(&stage.gateway, &tool), 2);
}

#[test]
fn the_agents_doors_open_to_its_password_alone_and_stand_on_loopback() {
    let stage = Stage::sending();
    let tool = stage.gateway.add_tool("old program", ADDRESS, "helpdesk");
    let mut agent = Agent::start(&stage, &tool);
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut imap = Agent::connect(agent.imap);
    for login in [
        format!("LOGIN {ADDRESS} {token}"),
        format!("LOGIN other@example.test {}", agent.password),
        format!("LOGIN {ADDRESS} \"\""),
    ] {
        let answer = imap.until(&format!("a {login}"), "a ");
        assert!(answer[0].starts_with("a NO [AUTHENTICATIONFAILED]"), "{login}: {answer:?}");
    }
    assert!(imap.line().starts_with("* BYE"), "three are enough");
    let mut smtp = Agent::connect(agent.smtp);
    let offered = smtp.until("EHLO tool", "250 ");
    assert!(offered.iter().any(|line| line.ends_with("AUTH PLAIN LOGIN")), "{offered:?}");
    smtp.say(&format!("MAIL FROM:<{ADDRESS}>"), "530");
    smtp.say(&format!("AUTH PLAIN {}", plain(ADDRESS, &tool.secret)), "535");
    smtp.say(&format!("AUTH PLAIN {}", plain(ADDRESS, &agent.password)), "235");
    smtp.say("MAIL FROM:<somebody@else.test>", "553 5.7.1");
    smtp.say(&format!("MAIL FROM:<{ADDRESS}>"), "250");
    let mut long = Agent::connect(agent.imap);
    // The agent closes without reading all of it.
    let _ = long.0.get_mut().write_all(&vec![b'x'; 20_000]);
    assert!(long.line().starts_with("* BYE"), "an endless line is not waited for");
    let password = agent.password.clone();
    assert!(agent.program.stop().success(), "it stops when it is told to");
    let said = format!("{}{}", agent.program.stdout(), agent.program.stderr());
    assert!(!said.contains(&password), "{said}");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let file = stage.dir.path().join("agent/password");
        let refused = process::run(command(&stage.gateway, &tool, &file).args(["--listen-imap", address]), b"");
        assert!(refused.code == Some(2) && refused.stderr.contains("loopback only"), "{address}: {refused:?}");
    }
}
