//! Reading one command of a tool: a line, and the octets of its literals, all bounded.

use std::time::Duration;

use tokio::time::timeout;

use crate::gateway::imap::End;
use crate::protocol::imap::framing::{self, Literal, Pieces};
use crate::upstream::wire::{Wire, WireError};

/// How long a tool may say nothing outside IDLE (RFC 3501 section 5.4: half an hour at least).
pub(super) const AUTOLOGOUT: Duration = Duration::from_secs(30 * 60);

/// The end of a session whose tool is silent.
pub(super) fn autologout() -> End {
    End::Bye("nothing was said for half an hour".to_owned())
}

/// Waits for the rest of what a tool has begun to send, as long as it may be silent.
pub(super) async fn patiently<T>(reading: impl Future<Output = Result<T, WireError>>) -> Result<T, End> {
    Ok(timeout(AUTOLOGOUT, reading).await.map_err(|_| autologout())??)
}

/// What one command may use up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Most octets of a whole command, and so of a line of it.
    pub(super) octets: usize,
    /// Most literals.
    pub(super) literals: usize,
}

impl Budget {
    /// Before login (GW-09); room for a token in an AUTHENTICATE line.
    pub(super) const BEFORE_LOGIN: Self = Self { octets: 16 * 1024, literals: 2 };
    /// After login (IM-04).
    pub(super) const AFTER_LOGIN: Self = Self { octets: 64 * 1024, literals: 20 };
}

/// A command as it came.
#[derive(Debug)]
pub(super) enum Input {
    /// A whole one, with CRLF.
    Command(Vec<u8>),
    /// An APPEND up to the announcement of its message, without CRLF; nothing of the message was taken.
    Append(Vec<u8>, Literal),
    /// Refused while it was read; the tool was told. The connection is in step.
    Refused,
}

/// Reads on from `line`, the first line of a command.
pub(super) async fn rest_of(client: &mut Wire, line: Vec<u8>, budget: Budget, may_append: bool) -> Result<Input, End> {
    let mut command = Pieces::new(line);
    for _ in 0..=budget.literals {
        let found = command.any_literal();
        let is_append =
            |literal| may_append && crate::protocol::imap::command::parse_append(command.bytes(), literal).is_some();
        let literal = match found {
            Ok(None) => {
                let mut command = command.into_bytes();
                command.extend_from_slice(b"\r\n");
                return Ok(Input::Command(command));
            }
            Ok(Some(literal)) if is_append(literal) => return Ok(Input::Append(command.into_bytes(), literal)),
            Ok(Some(literal)) if !literal.is_binary => literal,
            Ok(Some(_)) | Err(framing::BadLiteral) => {
                let error = framing::BadLiteral;
                // Who knows where the next command starts.
                if let Some((tag, _)) = framing::split_tag(command.bytes()) {
                    client.queue(format!("{tag} BAD {error}\r\n").as_bytes()).await?;
                }
                return Err(End::Bye(error.to_string()));
            }
        };
        let room = |command: &Pieces| budget.octets.saturating_sub(command.bytes().len());
        if literal.length > room(&command) as u64 {
            return too_big(client, command.bytes(), literal, budget).await;
        }
        if literal.is_sync {
            client.send(b"+ OK\r\n").await?;
        }
        command.push_literal(&patiently(client.exactly(literal.length)).await?);
        let line = timeout(AUTOLOGOUT, client.line(room(&command))).await.map_err(|_| autologout())?;
        command.push_line(&line.map_err(|error| match error {
            WireError::TooLong => End::Bye("[TOOBIG] command too long".to_owned()),
            other => other.into(),
        })?);
    }
    Err(End::Bye("[LIMIT] too many literals".to_owned()))
}

/// A waiting tool is told no and goes on; one that does not wait has octets under way that nobody will read.
async fn too_big(client: &mut Wire, command: &[u8], literal: Literal, budget: Budget) -> Result<Input, End> {
    if let Some((tag, _)) = framing::split_tag(command) {
        let answer = format!("{tag} NO [TOOBIG] literals of a command may hold {} octets together\r\n", budget.octets);
        client.send(answer.as_bytes()).await?;
    }
    if literal.is_sync { Ok(Input::Refused) } else { Err(End::Bye("[TOOBIG] literal too long".to_owned())) }
}
