//! Our own program, as it is released and as an admin sets it up: SQLite, durable audit log, certificates of upstreams verified.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::peer::{Login, OURS, Peer, Upstream};
use crate::process::{PROXY_CPU, Process, pinned};
use crate::settings;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mailwarden");
/// A mailbox takes three upstream logins at a time, so that a wrong credential locks nothing.
const MAILBOXES: usize = 16;

pub(crate) fn start(root: &Path, folder: &Path, upstream: &Upstream) -> anyhow::Result<Peer> {
    let place = folder.join("mailwarden");
    fs::create_dir(&place)?;
    let config = place.join("mailwarden.toml");
    fs::write(&config, settings::mailwarden(root, &place))?;
    let printed = run(Command::new(PROGRAM).args(["init", "--config"]).arg(&config), "")?;
    let operator = printed
        .lines()
        .find_map(|line| line.strip_prefix("MAILWARDEN_OPERATOR_TOKEN="))
        .context("no operator token")?;

    let mut process = Process::start(pinned(PROXY_CPU, PROGRAM).args(["serve", "--config"]).arg(&config))?;
    let (mut https, mut imap, mut smtp) = (String::new(), 0, 0);
    loop {
        let line = process.line()?;
        let port = line.rsplit_once(':').map(|(_, port)| port.to_owned());
        match (line.split(' ').nth(1), port) {
            (Some("https"), Some(port)) => https = port,
            (Some("imaps"), Some(port)) => imap = port.parse()?,
            (Some("smtps"), Some(port)) => smtp = port.parse()?,
            _ if line == "ready" => break,
            _ => (),
        }
    }
    let manage = |arguments: &[&str], input: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("MAILWARDEN_URL", format!("https://localhost:{https}"));
        command.env("MAILWARDEN_CA", root.join("ca.pem")).env("MAILWARDEN_OPERATOR_TOKEN", operator);
        run(&mut command, input)
    };
    let printed = manage(&["client", "add", "load", "--format", "json"], "")?;
    let client: serde_json::Value = serde_json::from_str(&printed)?;
    let text = |name: &str| client.get(name).and_then(serde_json::Value::as_str).context("no client");
    let (id, secret) = (text("client_id")?, text("client_secret")?);
    let (ca, imap_at) = (root.join("ca.pem").display().to_string(), format!("localhost:{}", upstream.imaps));
    let smtp_at = upstream.smtp.map(|(smtps, _)| format!("localhost:{smtps}"));
    let mut logins = Vec::new();
    for number in 0..MAILBOXES {
        let address = format!("mailbox{number}@example.com");
        let mut add = vec!["mailbox", "add", "--address", &address, "--username", &upstream.user, "--imap", &imap_at];
        add.extend(["--ca-file", &ca, "--password-stdin"]);
        if let Some(smtp_at) = &smtp_at {
            add.extend(["--smtp", smtp_at, "--smtp-tls", "implicit"]);
        }
        manage(&add, &format!("{}\n", upstream.password))?;
        let grant = ["grant", "add", "--client", id, "--mailbox", &address, "--preset", "full", "--token-ttl", "3600"];
        manage(&grant, "")?;
        let mut command = Command::new(PROGRAM);
        command.args(["token", "--mailbox", &address]).env("MAILWARDEN_URL", format!("https://localhost:{https}"));
        command
            .env("MAILWARDEN_CA", root.join("ca.pem"))
            .env("MAILWARDEN_CLIENT_ID", id)
            .env("MAILWARDEN_CLIENT_SECRET", secret);
        logins.push(Login::bearer(&address, run(&mut command, "")?.trim()));
    }
    Ok(Peer { name: OURS, imap, smtp, logins, processes: vec![process] })
}

/// Runs a command to its end; gives what it printed.
fn run(command: &mut Command, input: &str) -> anyhow::Result<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("no input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{:?}: {said}", command.get_args().next());
    Ok(String::from_utf8(output.stdout)?)
}
