//! The agent's SMTP door: greeting and login. What follows is between the tool and the gateway.

use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::agent::doors::Doors;
use crate::protocol::sasl::{self, Attempt, Mechanism};
use crate::protocol::smtp::verb;
use crate::upstream::wire::{Wire, WireError};

/// What the gateway offers after login, without its limit: it says that itself when a message is too large.
const EHLO: &str = "250-mailwarden agent\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-SIZE\r\n\
    250 AUTH PLAIN LOGIN";
/// Longest line before login.
const MAX_LINE: usize = 8192;
/// How many failed logins and bad commands one connection may make.
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
    door.say("220 mailwarden agent ESMTP").await.ok()?;
    loop {
        match door.step().await {
            Ok(Step::Next) if door.failures >= MAX_FAILURES => {
                let _ = door.say("421 4.7.0 too many failures").await;
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
        let line = match self.tool.line(MAX_LINE).await {
            Ok(line) => Zeroizing::new(line),
            Err(WireError::Closed) => return Err(WireError::Closed),
            Err(WireError::TooLong | WireError::BadLine) => {
                self.say("500 5.5.2 line too long or malformed").await?;
                return Ok(Step::End);
            }
        };
        let Some((verb, rest)) = verb(&line) else { return self.bad("500 5.5.2 command not understood").await };
        match verb.as_str() {
            "EHLO" => self.say(EHLO).await,
            "HELO" => self.say("250 mailwarden agent").await,
            "NOOP" | "RSET" => self.say("250 2.0.0 OK").await,
            "AUTH" => self.auth(rest).await,
            "QUIT" => {
                self.say("221 2.0.0 bye").await?;
                Ok(Step::End)
            }
            "MAIL" | "RCPT" | "DATA" => self.bad("530 5.7.0 authentication required").await,
            _ => self.bad("502 5.5.1 command not served").await,
        }
    }

    async fn bad(&mut self, text: &str) -> Result<Step, WireError> {
        self.failures += 1;
        self.say(text).await
    }

    async fn auth(&mut self, rest: &str) -> Result<Step, WireError> {
        let (name, initial) = rest.split_once(' ').map_or((rest, None), |(name, initial)| (name, Some(initial)));
        let challenge = match Mechanism::parse(name) {
            Some(Mechanism::Plain) => "",
            Some(Mechanism::Login) => "VXNlcm5hbWU6",
            _ => return self.bad("504 5.5.4 the agent takes PLAIN and LOGIN").await,
        };
        let first = match initial {
            Some("=") => Some(Zeroizing::default()),
            Some(text) => sasl::decode(text.as_bytes()).ok(),
            None => self.response(challenge).await?,
        };
        let attempt = match first {
            Some(user) if !challenge.is_empty() => {
                let password = self.response("UGFzc3dvcmQ6").await?;
                password.and_then(|password| sasl::login(&user, &password).ok())
            }
            Some(response) => sasl::parse(Mechanism::Plain, &response).ok(),
            None => None,
        };
        self.attempt(attempt).await
    }

    /// Asks for one response; `None` when the tool cancels or sends no base64.
    async fn response(&mut self, challenge: &str) -> Result<Option<Zeroizing<Vec<u8>>>, WireError> {
        self.tool.send(format!("334 {challenge}\r\n").as_bytes()).await?;
        let line = Zeroizing::new(self.tool.line(MAX_LINE).await?);
        Ok(sasl::decode(&line).ok())
    }

    async fn attempt(&mut self, attempt: Option<Attempt>) -> Result<Step, WireError> {
        let Some(mailbox) = attempt.as_ref().and_then(|attempt| self.doors.admit(attempt)) else {
            return self.bad("535 5.7.8 wrong user name or password").await;
        };
        match self.doors.smtp(mailbox).await {
            Ok(gateway) => {
                self.say("235 2.7.0 authenticated").await?;
                Ok(Step::In(gateway))
            }
            Err(error) => {
                tracing::warn!(%mailbox, %error, "a tool could not be served");
                self.bad("454 4.7.0 the agent got no access; its log says why").await
            }
        }
    }
}
