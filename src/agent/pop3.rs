//! The agent's POP3 door. What follows the login is between the tool and the gateway.

use crate::agent::door::{Door, Entry, Speech, Step};
use crate::domain::session::Protocol;
use crate::protocol::pop3::command::verb;
use crate::protocol::sasl::{self, Attempt};
use crate::upstream::wire::WireError;

const CAPA: &str = "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUSER\r\nSASL PLAIN LOGIN\r\n.";

pub(in crate::agent) struct Pop3;

impl Speech for Pop3 {
    const PROTOCOL: Protocol = Protocol::Pop3;
    const GO_ON: &'static str = "+ ";
    const TOO_MANY: &'static str = "-ERR too many failures";

    fn greeting() -> String {
        "+OK mailwarden agent ready".to_owned()
    }

    async fn step(door: &mut Door<'_>) -> Result<Step, WireError> {
        let Some(line) = door.line().await? else { return door.end("-ERR line too long or malformed").await };
        match verb(&line).as_ref().map(|(verb, rest)| (verb.as_str(), *rest)) {
            Some(("CAPA", "")) => door.say(CAPA).await,
            Some(("USER", user)) if !user.is_empty() => user_and_pass(door, user).await,
            Some(("AUTH", "")) => door.say("+OK\r\nPLAIN\r\nLOGIN\r\n.").await,
            Some(("AUTH", rest)) => match door.auth(rest).await? {
                Some(attempt) => enter(door, attempt).await,
                None => door.bad("-ERR the agent takes PLAIN and LOGIN").await,
            },
            Some(("QUIT", "")) => door.end("+OK see you").await,
            _ => door.bad("-ERR unknown or malformed command").await,
        }
    }
}

/// USER, and the PASS that has to follow it.
async fn user_and_pass(door: &mut Door<'_>, user: &str) -> Result<Step, WireError> {
    door.say("+OK send PASS").await?;
    let Some(line) = door.line().await? else { return door.end("-ERR line too long or malformed").await };
    match verb(&line).as_ref().map(|(verb, rest)| (verb.as_str(), *rest)) {
        Some(("PASS", password)) => enter(door, sasl::login(user.as_bytes(), password.as_bytes()).ok()).await,
        Some(("QUIT", "")) => door.end("+OK see you").await,
        _ => door.bad("-ERR PASS comes next").await,
    }
}

async fn enter(door: &mut Door<'_>, attempt: Option<Attempt>) -> Result<Step, WireError> {
    match door.enter(attempt).await {
        Entry::In(gateway) => {
            door.say("+OK logged in").await?;
            Ok(Step::In(gateway.wire))
        }
        Entry::Wrong => door.bad("-ERR [AUTH] wrong user name or password").await,
        Entry::NoAccess => door.bad("-ERR [SYS/TEMP] the agent got no access; its log says why").await,
    }
}
