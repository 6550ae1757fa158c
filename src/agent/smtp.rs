//! The agent's SMTP door. What follows the login is between the tool and the gateway.

use crate::agent::door::{Door, Entry, Speech, Step};
use crate::domain::session::Protocol;
use crate::protocol::smtp::verb;
use crate::upstream::wire::WireError;

/// What the gateway offers after login, without its limit: it says that itself when a message is too large.
const EHLO: &str = "250-mailwarden agent\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-SIZE\r\n\
    250 AUTH PLAIN LOGIN";

pub(in crate::agent) struct Smtp;

impl Speech for Smtp {
    const PROTOCOL: Protocol = Protocol::Smtp;
    const GO_ON: &'static str = "334 ";
    const TOO_MANY: &'static str = "421 4.7.0 too many failures";

    fn greeting() -> String {
        "220 mailwarden agent ESMTP".to_owned()
    }

    async fn step(door: &mut Door<'_>) -> Result<Step, WireError> {
        let Some(line) = door.line().await? else { return door.end("500 5.5.2 line too long or malformed").await };
        let Some((verb, rest)) = verb(&line) else { return door.bad("500 5.5.2 command not understood").await };
        match verb.as_str() {
            "EHLO" => door.say(EHLO).await,
            "HELO" => door.say("250 mailwarden agent").await,
            "NOOP" | "RSET" => door.say("250 2.0.0 OK").await,
            "AUTH" => auth(door, rest).await,
            "QUIT" => door.end("221 2.0.0 bye").await,
            "MAIL" | "RCPT" | "DATA" => door.bad("530 5.7.0 authentication required").await,
            _ => door.bad("502 5.5.1 command not served").await,
        }
    }
}

async fn auth(door: &mut Door<'_>, rest: &str) -> Result<Step, WireError> {
    let Some(attempt) = door.auth(rest).await? else {
        return door.bad("504 5.5.4 the agent takes PLAIN and LOGIN").await;
    };
    match door.enter(attempt).await {
        Entry::In(gateway) => {
            door.say("235 2.7.0 authenticated").await?;
            Ok(Step::In(gateway.wire))
        }
        Entry::Wrong => door.bad("535 5.7.8 wrong user name or password").await,
        Entry::NoAccess => door.bad("454 4.7.0 the agent got no access; its log says why").await,
    }
}
