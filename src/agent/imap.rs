//! The agent's IMAP door: greeting and login. What follows is between the tool and the gateway.

use imap_codec::imap_types::command::CommandBody;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::agent::doors::Doors;
use crate::protocol::imap::{command, framing};
use crate::protocol::sasl::{self, Attempt, Mechanism};
use crate::upstream::wire::{Wire, WireError};

const CAPABILITIES: &str = "IMAP4rev1 ID LITERAL+ SASL-IR AUTH=PLAIN AUTH=LOGIN";
/// Most octets of a command before login, and most literals in it.
const MAX_COMMAND: usize = 8192;
const MAX_LITERALS: usize = 2;
/// How many failed logins, and how many lines that are no commands, one connection may make.
const MAX_FAILURES: u32 = 3;

struct Door<'a> {
    doors: &'a Doors,
    tool: Wire,
    failures: u32,
}

enum Step {
    Next,
    In(Wire),
    End,
}

/// Leads a tool to the gateway: both connections, logged in; `None` when it left or was sent away.
pub(in crate::agent) async fn login(doors: &Doors, stream: TcpStream) -> Option<(Wire, Wire)> {
    let mut door = Door { doors, tool: Wire::new(Box::new(stream)), failures: 0 };
    door.say(&format!("* OK [CAPABILITY {CAPABILITIES}] mailwarden agent ready")).await.ok()?;
    loop {
        match door.step().await {
            Ok(Step::Next) if door.failures >= MAX_FAILURES => {
                let _ = door.say("* BYE too many failures").await;
                door.tool.shutdown().await;
                return None;
            }
            Ok(Step::Next) => (),
            Ok(Step::In(gateway)) => return Some((door.tool, gateway)),
            Ok(Step::End) | Err(_) => {
                door.tool.shutdown().await;
                return None;
            }
        }
    }
}

impl Door<'_> {
    async fn say(&mut self, text: &str) -> Result<Step, WireError> {
        self.tool.send(format!("{text}\r\n").as_bytes()).await?;
        Ok(Step::Next)
    }

    async fn step(&mut self) -> Result<Step, WireError> {
        let Some(bytes) = self.command().await? else {
            self.say("* BYE malformed or too long").await?;
            return Ok(Step::End);
        };
        let Some((tag, _)) = framing::split_tag(&bytes) else { return self.bad("*").await };
        let tag = tag.to_owned();
        let Ok(command) = command::parse(&bytes) else { return self.bad(&tag).await };
        match command.body {
            CommandBody::Capability => self.say(&format!("* CAPABILITY {CAPABILITIES}\r\n{tag} OK done")).await,
            CommandBody::Noop => self.say(&format!("{tag} OK done")).await,
            CommandBody::Id { .. } => self.say(&format!("* ID NIL\r\n{tag} OK done")).await,
            CommandBody::Logout => {
                self.say(&format!("* BYE see you\r\n{tag} OK done")).await?;
                Ok(Step::End)
            }
            CommandBody::Login { username, password } => {
                let attempt = sasl::login(username.as_ref(), password.declassify().as_ref());
                self.attempt(&tag, attempt.ok()).await
            }
            CommandBody::Authenticate { mechanism, initial_response } => {
                let initial = initial_response.map(|secret| Zeroizing::new(secret.declassify().to_vec()));
                self.authenticate(&tag, mechanism.as_ref(), initial).await
            }
            _ => self.say(&format!("{tag} BAD log in first")).await,
        }
    }

    /// One whole command with its literals; `None` for what is too long or no command.
    async fn command(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, WireError> {
        let mut command = Zeroizing::new(Vec::with_capacity(MAX_COMMAND));
        for _ in 0..=MAX_LITERALS {
            let line = match self.tool.line(MAX_COMMAND - command.len()).await {
                Ok(line) => Zeroizing::new(line),
                Err(WireError::Closed) => return Err(WireError::Closed),
                Err(WireError::TooLong | WireError::BadLine) => return Ok(None),
            };
            command.extend_from_slice(&line);
            command.extend_from_slice(b"\r\n");
            match framing::literal_at_end(&line) {
                Ok(None) => return Ok(Some(command)),
                Ok(Some(literal)) if literal.length < MAX_COMMAND.saturating_sub(command.len()) as u64 => {
                    if literal.is_sync {
                        self.tool.send(b"+ OK\r\n").await?;
                    }
                    command.extend_from_slice(&Zeroizing::new(self.tool.exactly(literal.length).await?));
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn bad(&mut self, tag: &str) -> Result<Step, WireError> {
        self.failures += 1;
        self.say(&format!("{tag} BAD unknown or malformed command")).await
    }

    async fn authenticate(
        &mut self,
        tag: &str,
        name: &str,
        initial: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Step, WireError> {
        let first = match Mechanism::parse(name) {
            Some(Mechanism::Plain) => "",
            Some(Mechanism::Login) => "VXNlcm5hbWU6",
            _ => return self.say(&format!("{tag} NO [CANNOT] the agent takes PLAIN and LOGIN")).await,
        };
        let response = match initial {
            Some(initial) => Some(initial),
            None => self.response(first).await?,
        };
        let attempt = match response {
            Some(user) if !first.is_empty() => {
                let password = self.response("UGFzc3dvcmQ6").await?;
                password.and_then(|password| sasl::login(&user, &password).ok())
            }
            Some(response) => sasl::parse(Mechanism::Plain, &response).ok(),
            None => None,
        };
        self.attempt(tag, attempt).await
    }

    /// Asks for one response; `None` when the tool cancels or sends no base64.
    async fn response(&mut self, challenge: &str) -> Result<Option<Zeroizing<Vec<u8>>>, WireError> {
        self.tool.send(format!("+ {challenge}\r\n").as_bytes()).await?;
        let line = Zeroizing::new(self.tool.line(MAX_COMMAND).await?);
        Ok(sasl::decode(&line).ok())
    }

    async fn attempt(&mut self, tag: &str, attempt: Option<Attempt>) -> Result<Step, WireError> {
        let Some(mailbox) = attempt.as_ref().and_then(|attempt| self.doors.admit(attempt)) else {
            self.failures += 1;
            return self.say(&format!("{tag} NO [AUTHENTICATIONFAILED] wrong user name or password")).await;
        };
        match self.doors.imap(mailbox).await {
            Ok((gateway, capabilities)) => {
                // Some programs look for this one name as it is written in RFC 3501.
                let names = capabilities.join(" ").replace("IMAP4REV1", "IMAP4rev1");
                self.say(&format!("{tag} OK [CAPABILITY {names}] logged in")).await?;
                Ok(Step::In(gateway))
            }
            Err(error) => {
                tracing::warn!(%mailbox, %error, "a tool could not be served");
                self.failures += 1;
                self.say(&format!("{tag} NO [UNAVAILABLE] the agent got no access; its log says why")).await
            }
        }
    }
}
