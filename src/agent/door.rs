//! The way through any of the agent's doors: one step after the other until the tool is in, leaves, or has failed too often. What a
//! step is, and what is said, is the protocol's.

use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::agent::doors::{Doors, Gateway};
use crate::domain::session::Protocol;
use crate::protocol::sasl::{self, Attempt, Mechanism};
use crate::upstream::wire::{Wire, WireError, clear};

/// Longest line before login, and most octets of a command.
pub(in crate::agent) const MAX_LINE: usize = 8192;
/// How many failed logins, and how many lines that are no commands, one connection may make.
const MAX_FAILURES: u32 = 3;

/// What a protocol says and does before the login.
pub(in crate::agent) trait Speech {
    /// Which one it is.
    const PROTOCOL: Protocol;
    /// What stands before a challenge.
    const GO_ON: &'static str;
    /// The last line after too many failures.
    const TOO_MANY: &'static str;

    /// The first line.
    fn greeting() -> String;

    /// Hears one command and answers it.
    fn step(door: &mut Door<'_>) -> impl Future<Output = Result<Step, WireError>> + Send;
}

/// A tool that is not logged in yet.
pub(in crate::agent) struct Door<'a> {
    doors: &'a Doors,
    pub(in crate::agent) tool: Wire,
    failures: u32,
    protocol: Protocol,
    go_on: &'static str,
}

/// What a command led to.
pub(in crate::agent) enum Step {
    Next,
    In(Wire),
    End,
}

/// What became of a login.
pub(in crate::agent) enum Entry {
    In(Gateway),
    /// The tool showed no good user name or password.
    Wrong,
    /// The agent itself got no access.
    NoAccess,
}

/// Leads a tool to the gateway: both connections, logged in; `None` when it left or was sent away.
pub(in crate::agent) async fn login<S: Speech>(doors: &Doors, stream: TcpStream) -> Option<(Wire, Wire)> {
    let tool = Wire::new(clear(stream));
    let mut door = Door { doors, tool, failures: 0, protocol: S::PROTOCOL, go_on: S::GO_ON };
    door.say(&S::greeting()).await.ok()?;
    loop {
        match S::step(&mut door).await {
            Ok(Step::Next) if door.failures >= MAX_FAILURES => {
                let _ = door.say(S::TOO_MANY).await;
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
    /// Answers with a line.
    pub(in crate::agent) async fn say(&mut self, text: &str) -> Result<Step, WireError> {
        self.tool.send(format!("{text}\r\n").as_bytes()).await?;
        Ok(Step::Next)
    }

    /// Answers a failure with a line.
    pub(in crate::agent) async fn bad(&mut self, text: &str) -> Result<Step, WireError> {
        self.failures += 1;
        self.say(text).await
    }

    /// Answers with a line that is the last.
    pub(in crate::agent) async fn end(&mut self, text: &str) -> Result<Step, WireError> {
        self.say(text).await?;
        Ok(Step::End)
    }

    /// A line; `None` for one that is too long or malformed.
    pub(in crate::agent) async fn line(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, WireError> {
        match self.tool.line(MAX_LINE).await {
            Ok(line) => Ok(Some(Zeroizing::new(line))),
            Err(WireError::Closed) => Err(WireError::Closed),
            Err(WireError::TooLong | WireError::BadLine) => Ok(None),
        }
    }

    /// The arguments of AUTH in SMTP and POP3: a mechanism that the agent takes, and the exchange. `None` for another one.
    pub(in crate::agent) async fn auth(&mut self, arguments: &str) -> Result<Option<Option<Attempt>>, WireError> {
        let (name, initial) =
            arguments.split_once(' ').map_or((arguments, None), |(name, initial)| (name, Some(initial)));
        let initial = initial.map(|text| match text {
            "=" => Some(Zeroizing::default()),
            text => sasl::decode(text.as_bytes()).ok(),
        });
        self.exchange(name, initial).await
    }

    /// An exchange that may have an initial response, which may be no base64. `None` for a mechanism that the agent does not take.
    pub(in crate::agent) async fn exchange(
        &mut self,
        mechanism: &str,
        initial: Option<Option<Zeroizing<Vec<u8>>>>,
    ) -> Result<Option<Option<Attempt>>, WireError> {
        let challenge = match Mechanism::parse(mechanism) {
            Some(Mechanism::Plain) => "",
            Some(Mechanism::Login) => "VXNlcm5hbWU6",
            _ => return Ok(None),
        };
        let first = match initial {
            Some(initial) => initial,
            None => self.response(challenge).await?,
        };
        Ok(Some(match first {
            Some(user) if !challenge.is_empty() => {
                let password = self.response("UGFzc3dvcmQ6").await?;
                password.and_then(|password| sasl::login(&user, &password).ok())
            }
            Some(response) => sasl::parse(Mechanism::Plain, &response).ok(),
            None => None,
        }))
    }

    /// Asks for one response; `None` when the tool cancels or sends no base64.
    async fn response(&mut self, challenge: &str) -> Result<Option<Zeroizing<Vec<u8>>>, WireError> {
        self.tool.send(format!("{}{challenge}\r\n", self.go_on).as_bytes()).await?;
        let line = Zeroizing::new(self.tool.line(MAX_LINE).await?);
        Ok(sasl::decode(&line).ok())
    }

    /// Opens the gateway for a tool that showed the right password.
    pub(in crate::agent) async fn enter(&mut self, attempt: Option<Attempt>) -> Entry {
        let Some(mailbox) = attempt.as_ref().and_then(|attempt| self.doors.admit(attempt)) else {
            return Entry::Wrong;
        };
        match self.doors.open(self.protocol, mailbox).await {
            Ok(gateway) => Entry::In(gateway),
            Err(error) => {
                tracing::warn!(%mailbox, %error, "a tool could not be served");
                Entry::NoAccess
            }
        }
    }
}
