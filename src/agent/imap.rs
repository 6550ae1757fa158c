//! The agent's IMAP door. What follows the login is between the tool and the gateway.

use imap_codec::imap_types::command::CommandBody;
use zeroize::Zeroizing;

use crate::agent::door::{Door, Entry, MAX_LINE, Speech, Step};
use crate::domain::session::Protocol;
use crate::protocol::imap::{command, framing};
use crate::protocol::sasl::{self, Attempt};
use crate::upstream::wire::WireError;

const CAPABILITIES: &str = "IMAP4rev1 ID LITERAL+ SASL-IR AUTH=PLAIN AUTH=LOGIN";
/// Most literals of a command before login.
const MAX_LITERALS: usize = 2;

pub(in crate::agent) struct Imap;

impl Speech for Imap {
    const PROTOCOL: Protocol = Protocol::Imap;
    const GO_ON: &'static str = "+ ";
    const TOO_MANY: &'static str = "* BYE too many failures";

    fn greeting() -> String {
        format!("* OK [CAPABILITY {CAPABILITIES}] mailwarden agent ready")
    }

    async fn step(door: &mut Door<'_>) -> Result<Step, WireError> {
        let Some(bytes) = whole_command(door).await? else { return door.end("* BYE malformed or too long").await };
        let Some((tag, _)) = framing::split_tag(&bytes) else { return bad(door, "*").await };
        let Ok(command) = command::parse(&bytes) else { return bad(door, tag).await };
        match command.body {
            CommandBody::Capability => door.say(&format!("* CAPABILITY {CAPABILITIES}\r\n{tag} OK done")).await,
            CommandBody::Noop => door.say(&format!("{tag} OK done")).await,
            CommandBody::Id { .. } => door.say(&format!("* ID NIL\r\n{tag} OK done")).await,
            CommandBody::Logout => door.end(&format!("* BYE see you\r\n{tag} OK done")).await,
            CommandBody::Login { username, password } => {
                let attempt = sasl::login(username.as_ref(), password.declassify().as_ref());
                enter(door, tag, attempt.ok()).await
            }
            CommandBody::Authenticate { mechanism, initial_response } => {
                let initial = initial_response.map(|secret| Some(Zeroizing::new(secret.declassify().to_vec())));
                match door.exchange(mechanism.as_ref(), initial).await? {
                    Some(attempt) => enter(door, tag, attempt).await,
                    None => door.say(&format!("{tag} NO [CANNOT] the agent takes PLAIN and LOGIN")).await,
                }
            }
            _ => door.say(&format!("{tag} BAD log in first")).await,
        }
    }
}

/// One whole command with its literals; `None` for what is too long or no command.
async fn whole_command(door: &mut Door<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, WireError> {
    let mut command = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    for _ in 0..=MAX_LITERALS {
        let line = match door.tool.line(MAX_LINE - command.len()).await {
            Ok(line) => Zeroizing::new(line),
            Err(WireError::Closed) => return Err(WireError::Closed),
            Err(WireError::TooLong | WireError::BadLine) => return Ok(None),
        };
        command.extend_from_slice(&line);
        command.extend_from_slice(b"\r\n");
        match framing::literal_at_end(&line) {
            Ok(None) => return Ok(Some(command)),
            Ok(Some(literal)) if literal.length < MAX_LINE.saturating_sub(command.len()) as u64 => {
                if literal.is_sync {
                    door.tool.send(b"+ OK\r\n").await?;
                }
                command.extend_from_slice(&Zeroizing::new(door.tool.exactly(literal.length).await?));
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

async fn bad(door: &mut Door<'_>, tag: &str) -> Result<Step, WireError> {
    door.bad(&format!("{tag} BAD unknown or malformed command")).await
}

async fn enter(door: &mut Door<'_>, tag: &str, attempt: Option<Attempt>) -> Result<Step, WireError> {
    match door.enter(attempt).await {
        Entry::In(gateway) => {
            // Some programs look for this one name as it is written in RFC 3501.
            let names = gateway.capabilities.join(" ").replace("IMAP4REV1", "IMAP4rev1");
            door.say(&format!("{tag} OK [CAPABILITY {names}] logged in")).await?;
            Ok(Step::In(gateway.wire))
        }
        Entry::Wrong => door.bad(&format!("{tag} NO [AUTHENTICATIONFAILED] wrong user name or password")).await,
        Entry::NoAccess => door.bad(&format!("{tag} NO [UNAVAILABLE] the agent got no access; its log says why")).await,
    }
}
