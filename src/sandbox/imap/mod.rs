//! The sandbox's IMAP server: enough of RFC 3501 for mail programs to read, file and wait, with IDLE (RFC 2177), UIDPLUS (RFC 4315),
//! UNSELECT (RFC 3691) and MOVE (RFC 6851).

mod fetch;
mod folders;
mod messages;
mod search;
mod structure;

use imap_codec::imap_types::command::CommandBody;

use crate::crypto::encoding::from_base64;
use crate::protocol::imap::command;
use crate::protocol::imap::framing::Pieces;
use crate::sandbox::Shared;
use crate::upstream::wire::{Wire, WireError};

const CAPABILITIES: &str = "IMAP4rev1 LITERAL+ AUTH=PLAIN IDLE NAMESPACE UNSELECT CHILDREN UIDPLUS MOVE";
/// Longest command line in octets.
const MAX_LINE: usize = 64 * 1024;
/// Most octets of one command, its literals included.
const MAX_COMMAND: u64 = 64 * 1024 * 1024;

struct Desk<'a> {
    wire: Wire,
    shared: &'a Shared,
    is_in: bool,
    selected: Option<Selected>,
}

/// The open folder as this connection knows it: sequence numbers are places in `uids`, and stay so until the client is told.
#[derive(Clone)]
struct Selected {
    folder: String,
    may_write: bool,
    uids: Vec<u32>,
}

pub(super) async fn serve(wire: Wire, shared: &Shared) -> Result<(), WireError> {
    let mut desk = Desk { wire, shared, is_in: false, selected: None };
    desk.wire.send(format!("* OK [CAPABILITY {CAPABILITIES}] sandbox\r\n").as_bytes()).await?;
    loop {
        let bytes = desk.read().await?;
        let Ok(command) = command::parse(&bytes) else {
            desk.wire.send(b"* BAD not understood\r\n").await?;
            continue;
        };
        let tag = command.tag.inner().to_owned();
        let is_logout = command.body == CommandBody::Logout;
        // RFC 3501 section 7.4.1: no EXPUNGE while numbers are being spoken of.
        let keeps_numbers =
            matches!(&command.body, CommandBody::Fetch { .. } | CommandBody::Store { .. } | CommandBody::Search { .. });
        let answer = desk.execute(command.body).await?;
        if !keeps_numbers {
            desk.news().await?;
        }
        desk.wire.send(format!("{tag} {answer}\r\n").as_bytes()).await?;
        if is_logout {
            return Ok(());
        }
    }
}

impl Desk<'_> {
    /// One whole command with its literals.
    async fn read(&mut self) -> Result<Vec<u8>, WireError> {
        let mut command = Pieces::new(self.wire.line(MAX_LINE).await?);
        while let Ok(Some(literal)) = command.literal() {
            if command.bytes().len() as u64 + literal.length > MAX_COMMAND {
                return Err(WireError::TooLong);
            }
            if literal.is_sync {
                self.wire.send(b"+ OK\r\n").await?;
            }
            command.push_literal(&self.wire.exactly(literal.length).await?);
            command.push_line(&self.wire.line(MAX_LINE).await?);
        }
        let mut bytes = command.into_bytes();
        bytes.extend_from_slice(b"\r\n");
        Ok(bytes)
    }

    async fn say(&mut self, text: &str) -> Result<(), WireError> {
        self.wire.queue(format!("* {text}\r\n").as_bytes()).await
    }

    /// Tells of messages that have gone and come since.
    async fn news(&mut self) -> Result<(), WireError> {
        let Some(mut selected) = self.selected.take() else { return Ok(()) };
        let now: Vec<u32> = self.shared.store.read(|folders| {
            folders
                .get(&selected.folder)
                .map_or_else(Vec::new, |folder| folder.messages.iter().map(|m| m.uid).collect())
        });
        // Each removal moves the ones behind it: told from the last to the first, the numbers stay right.
        for row in (0..selected.uids.len()).rev() {
            if selected.uids.get(row).is_some_and(|uid| !now.contains(uid)) {
                selected.uids.remove(row);
                self.say(&format!("{} EXPUNGE", row + 1)).await?;
            }
        }
        if now.len() > selected.uids.len() {
            self.say(&format!("{} EXISTS", now.len())).await?;
        }
        selected.uids = now;
        self.selected = Some(selected);
        Ok(())
    }

    async fn execute(&mut self, body: CommandBody<'static>) -> Result<String, WireError> {
        match body {
            CommandBody::Capability => self.say(&format!("CAPABILITY {CAPABILITIES}")).await?,
            CommandBody::Noop | CommandBody::Check => (),
            CommandBody::Logout => self.say("BYE bye").await?,
            CommandBody::Authenticate { .. } => return self.authenticate().await,
            _ if !self.is_in => return Ok("BAD log in first".to_owned()),
            CommandBody::Namespace => self.say("NAMESPACE ((\"\" \"/\")) NIL NIL").await?,
            CommandBody::List { reference, mailbox_wildcard } => {
                self.list("LIST", &reference, &mailbox_wildcard).await?
            }
            CommandBody::Lsub { reference, mailbox_wildcard } => {
                self.list("LSUB", &reference, &mailbox_wildcard).await?
            }
            CommandBody::Status { mailbox, item_names } => return self.status(&mailbox, &item_names).await,
            CommandBody::Select { mailbox, .. } => return self.select(&mailbox, true).await,
            CommandBody::Examine { mailbox, .. } => return self.select(&mailbox, false).await,
            CommandBody::Unselect => self.selected = None,
            CommandBody::Close => {
                if self.selected.as_ref().is_some_and(|selected| selected.may_write) {
                    self.expunge(None);
                }
                self.selected = None;
            }
            CommandBody::Create { mailbox } => return Ok(self.create(&mailbox)),
            CommandBody::Delete { mailbox } => return Ok(self.delete(&mailbox)),
            CommandBody::Rename { from, to } => return Ok(self.rename(&from, &to)),
            CommandBody::Subscribe { .. } | CommandBody::Unsubscribe { .. } => (),
            CommandBody::Append { mailbox, flags, message, .. } => return Ok(self.append(&mailbox, &flags, message)),
            CommandBody::Idle => self.idle().await?,
            body => return self.in_folder(body).await,
        }
        Ok("OK done".to_owned())
    }

    async fn authenticate(&mut self) -> Result<String, WireError> {
        self.wire.send(b"+ \r\n").await?;
        let line = zeroize::Zeroizing::new(self.wire.line(8192).await?);
        let response = zeroize::Zeroizing::new(from_base64(&line).unwrap_or_default());
        self.is_in = self.shared.accepts(&response);
        Ok(if self.is_in { "OK in" } else { "NO [AUTHENTICATIONFAILED] wrong" }.to_owned())
    }

    async fn idle(&mut self) -> Result<(), WireError> {
        let mut changes = self.shared.store.changes();
        self.wire.send(b"+ idling\r\n").await?;
        loop {
            if self.wire.take_line(64)?.is_some() {
                return Ok(());
            }
            self.news().await?;
            self.wire.flush().await?;
            tokio::select! {
                filled = self.wire.fill() => filled?,
                _ = changes.changed() => (),
            }
        }
    }
}
