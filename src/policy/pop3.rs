//! POP3: a maildrop is the mailbox's INBOX, content and all. Nothing of it is there for a tool that may not read.

use crate::domain::folder::FolderPath;
use crate::domain::scope::Scope;
use crate::policy::charge::Charge;
use crate::policy::{Denial, Permit, Rights};
use crate::protocol::pop3::command::{Command, verb};

/// Leave to open the maildrop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open;

/// Decides whether there is a maildrop for this tool.
pub fn open(rights: &Rights) -> Result<Permit<Open>, Denial> {
    let asked = "the maildrop";
    if !rights.scopes.allows(Scope::Read) {
        return Err(Denial::scope(asked, Scope::Read));
    }
    match FolderPath::from_name("INBOX", None) {
        Some(inbox) if rights.bounds.allow_folder(&inbox) => Ok(Permit(Open)),
        _ => {
            let text = "POP3 serves INBOX, which lies outside the grant's bounds";
            Err(Denial::rule("folder", asked, text).about("INBOX"))
        }
    }
}

/// Decides one command.
pub fn decide(rights: &Rights, command: Command) -> Result<Permit<Command>, Denial> {
    open(rights)?;
    let needed = match command {
        Command::Stat | Command::List(_) | Command::Uidl(_) | Command::Retr(_) | Command::Top(..) => Scope::Read,
        // Nothing happens at the upstream: it is the tool's own list that gets shorter.
        Command::Dele(_) if rights.bounds.hides_deleted() => Scope::Read,
        Command::Dele(_) => Scope::Delete,
    };
    if rights.scopes.allows(needed) { Ok(Permit(command)) } else { Err(Denial::scope(command.name(), needed)) }
}

pub(super) fn is_command(line: &str) -> bool {
    verb(line.as_bytes()).is_some_and(|(verb, rest)| Command::parse(&verb, rest).is_some())
}

/// What a line like `RETR 1` would get; `None` when it is no command of POP3. `LIST` with two arguments is IMAP's.
pub(super) fn explain(rights: &Rights, line: &str) -> Option<Result<Charge, Denial>> {
    let (verb, rest) = verb(line.as_bytes())?;
    let command = Command::parse(&verb, rest)?;
    // A tool has to open the maildrop first.
    let folder = Charge::maildrop().folder;
    Some(decide(rights, command).map(|permit| Charge { folder, ..Charge::pop3(permit.into_inner()) }))
}

#[cfg(test)]
mod tests {
    use super::{explain, open};
    use crate::domain::bounds::Bounds;
    use crate::domain::scope::Scope;
    use crate::policy::Rights;

    fn rights(scopes: &str, bounds: &str) -> Rights {
        Rights {
            scopes: scopes.parse().unwrap(),
            bounds: serde_json::from_str(bounds).unwrap(),
            mailbox: "support@example.test".parse().unwrap(),
        }
    }

    #[test]
    fn each_command_takes_its_scope() {
        let reading = ["STAT", "LIST", "LIST 1", "UIDL", "UIDL 1", "RETR 1", "TOP 1 0"];
        for (scopes, may_read, may_delete) in [
            ("mail.metadata", false, false),
            ("mail.delete", false, false),
            ("mail.flag mail.append mail.organize mail.send", false, false),
            ("mail.read", true, false),
            ("mail.read mail.flag mail.append mail.organize mail.send", true, false),
            ("mail.read mail.delete", true, true),
        ] {
            let rights = rights(scopes, "{}");
            assert_eq!(open(&rights).is_ok(), may_read, "{scopes}");
            for command in reading {
                let decision = explain(&rights, command).unwrap();
                assert_eq!(
                    decision.err().and_then(|denial| denial.needs),
                    (!may_read).then_some(Scope::Read),
                    "{command}"
                );
            }
            let needs = explain(&rights, "DELE 1").unwrap().err().and_then(|denial| denial.needs);
            let expected = if may_read { Scope::Delete } else { Scope::Read };
            assert_eq!(needs, (!may_delete).then_some(expected), "{scopes}");
        }
    }

    #[test]
    fn a_grant_without_inbox_has_no_maildrop() {
        for (bounds, is_open) in [
            (r#"{"folders":["Archive"]}"#, false),
            (r#"{"folders":["INBOX/*"]}"#, false),
            (r#"{"folders":[]}"#, false),
            (r#"{"folders":["inbox"]}"#, true),
            (r#"{"folders":["*"]}"#, true),
        ] {
            let rights = rights("mail.read mail.delete", bounds);
            assert_eq!(open(&rights).is_ok(), is_open, "{bounds}");
            for command in ["STAT", "RETR 1", "DELE 1"] {
                assert_eq!(explain(&rights, command).unwrap().is_ok(), is_open, "{bounds} {command}");
            }
        }
        let virtually = rights("mail.read", r#"{"pop3_delete":"virtual"}"#);
        assert!(explain(&virtually, "DELE 1").unwrap().is_ok());
        let rights = Rights { bounds: Bounds::default(), ..rights("mail.read", "{}") };
        assert!(explain(&rights, "LIST \"\" *").is_none() && explain(&rights, "NOOP").is_none());
    }
}
