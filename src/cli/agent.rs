//! `agent`: reads its settings, binds its doors on loopback, serves until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::agent::{Doors, LocalPassword, Tokens, serve};
use crate::app;
use crate::cli::out;
use crate::cli::tool::Who;
use crate::config;
use crate::crypto::random;
use crate::domain::address::MailAddress;
use crate::domain::mailbox::{Endpoint, TlsMode};
use crate::domain::session::Protocol;
use crate::upstream::dial::{DialPolicy, Dialer};

/// The variable that holds the local password.
const PASSWORD: &str = "MAILWARDEN_AGENT_PASSWORD";

#[derive(Debug, Args)]
#[command(
    after_help = "A program connects to the agent without TLS, with the mailbox's address as user name and the agent's password. \
    The agent gets access tokens, renews them, and logs in at the gateway, which judges every command.\n\nThe password is made at the \
    first start and kept in --password-file, readable by its owner only; or it is taken from MAILWARDEN_AGENT_PASSWORD. It opens nothing \
    but this agent."
)]
pub(super) struct Agent {
    #[command(flatten)]
    who: Who,
    /// A mailbox to serve; may be given several times
    #[arg(long, required = true)]
    mailbox: Vec<MailAddress>,
    /// Scopes of the tokens, separated by spaces [default: all that are granted]
    #[arg(long)]
    scope: Option<String>,
    /// Where to listen for IMAP, on loopback (port 0: any free one)
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present_any = ["listen_smtp", "listen_pop3"])]
    listen_imap: Option<SocketAddr>,
    /// Where to listen for SMTP, on loopback
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_smtp: Option<SocketAddr>,
    /// Where to listen for POP3, on loopback
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_pop3: Option<SocketAddr>,
    /// The gateway's IMAPS [default: port 993 of the service's host]
    #[arg(long, env = "MAILWARDEN_IMAPS", value_name = "HOST:PORT")]
    imaps: Option<String>,
    /// The gateway's SMTPS [default: port 465 of the service's host]
    #[arg(long, env = "MAILWARDEN_SMTPS", value_name = "HOST:PORT")]
    smtps: Option<String>,
    /// The gateway's POP3S [default: port 995 of the service's host]
    #[arg(long, env = "MAILWARDEN_POP3S", value_name = "HOST:PORT")]
    pop3s: Option<String>,
    /// File of the local password [default: mailwarden/agent-password in the user's folder for settings]
    #[arg(long, env = "MAILWARDEN_AGENT_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
}

impl Agent {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        app::close_to_debuggers()?;
        let mut sockets = Vec::new();
        let asked = [
            (Protocol::Imap, self.listen_imap),
            (Protocol::Smtp, self.listen_smtp),
            (Protocol::Pop3, self.listen_pop3),
        ];
        for (protocol, address) in asked {
            let Some(address) = address else { continue };
            // The password crosses these connections in the clear.
            ensure!(
                address.ip().to_canonical().is_loopback(),
                "the agent listens on loopback only, and {address} is not"
            );
            let socket = TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
            sockets.push((protocol, socket));
        }
        let doors = self.doors().await?;
        // What is wrong with id, secret or grant is said now and not to a program that cannot show it.
        for mailbox in &doors.mailboxes {
            doors.tokens.prove(mailbox).await.with_context(|| format!("no token for {mailbox}"))?;
        }
        let shutdown = CancellationToken::new();
        for (protocol, socket) in &sockets {
            out(&format!("listening {} {}", protocol.as_str(), socket.local_addr()?));
        }
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        out("ready");
        let stop = shutdown.clone();
        let told = async move {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
            }
            stop.cancel();
        };
        tokio::join!(serve(sockets, doors, shutdown), told);
        Ok(())
    }

    async fn doors(&self) -> anyhow::Result<Doors> {
        let ca_pem = match self.who.ca() {
            Some(path) => Some(
                std::fs::read_to_string(path).with_context(|| format!("cannot read the CA file {}", path.display()))?,
            ),
            None => None,
        };
        let endpoint = |named: &Option<String>, port| -> anyhow::Result<Endpoint> {
            let (host, port) = match named {
                Some(text) => host_and_port(text)?,
                None => (host_of(self.who.url())?, port),
            };
            Ok(Endpoint { host, port, tls: TlsMode::Implicit, ca_pem: ca_pem.clone() })
        };
        let (imap, smtp) = (endpoint(&self.imaps, 993)?, endpoint(&self.smtps, 465)?);
        let pop3 = endpoint(&self.pop3s, 995)?;
        let password = self.password()?;
        let tokens = Tokens::new(self.who.discover().await?, self.scope.clone());
        // Whoever runs the agent says where the gateway is; it may well stand in the company's own network.
        let everywhere = DialPolicy { allow_networks: vec!["0.0.0.0/0".parse()?, "::/0".parse()?] };
        let mailboxes = self.mailbox.clone();
        Ok(Doors { password, mailboxes, tokens, dialer: Dialer::new(everywhere), imap, smtp, pop3 })
    }

    fn password(&self) -> anyhow::Result<LocalPassword> {
        let entropy = random::system();
        if self.password_file.is_none()
            && let Some(text) = config::secret(PASSWORD)
        {
            return Ok(LocalPassword::new(&text, &entropy)?);
        }
        let path = match &self.password_file {
            Some(path) => path.clone(),
            None => settings_folder()?.join("mailwarden/agent-password"),
        };
        let (password, is_new) = LocalPassword::in_file(&path, &entropy)?;
        let word = if is_new { "was made and kept" } else { "is" };
        out(&format!("# the password for programs {word} in {}", path.display()));
        Ok(password)
    }
}

fn settings_folder() -> anyhow::Result<PathBuf> {
    let environment = config::environment();
    let value = |wanted: &str| environment.iter().find(|(name, value)| name == wanted && !value.is_empty());
    if let Some((_, folder)) = value("XDG_CONFIG_HOME") {
        return Ok(PathBuf::from(folder));
    }
    let (_, home) = value("HOME").context("there is no HOME; name the password's file with --password-file")?;
    Ok(PathBuf::from(home).join(".config"))
}

fn host_of(url: &str) -> anyhow::Result<String> {
    let parsed = url::Url::parse(url).context("MAILWARDEN_URL is not a URL of the form https://HOST[:PORT]")?;
    let host = parsed.host_str().context("MAILWARDEN_URL names no host")?;
    Ok(host.trim_matches(['[', ']']).to_owned())
}

fn host_and_port(text: &str) -> anyhow::Result<(String, u16)> {
    let parts =
        text.rsplit_once(':').and_then(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse().ok()?)));
    match parts {
        Some((host, port)) if !host.is_empty() => Ok((host.to_owned(), port)),
        _ => bail!("{text:?} is not HOST:PORT"),
    }
}

#[cfg(test)]
mod tests {
    use super::{host_and_port, host_of};

    #[test]
    fn the_gateway_is_named_or_stands_where_the_service_does() {
        assert_eq!(host_and_port("mail-gw.example.com:993").unwrap(), ("mail-gw.example.com".to_owned(), 993));
        assert_eq!(host_and_port("[::1]:993").unwrap(), ("::1".to_owned(), 993));
        for wrong in ["", "993", ":993", "host", "host:", "host:99999", "host:imaps"] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
        assert_eq!(host_of("https://mail-gw.example.com:8443").unwrap(), "mail-gw.example.com");
        assert_eq!(host_of("https://[::1]:8443").unwrap(), "::1");
    }
}
