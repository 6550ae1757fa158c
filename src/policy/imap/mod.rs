//! IMAP: every command that the parser knows, and what it takes (RFC 3501; effects as in RFC 9051). What is not named is denied.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::mailbox::Mailbox;

mod check;
pub mod table;

use crate::domain::scope::{Scope, ScopeSet};
use crate::policy::charge::Charge;
use crate::policy::imap::check::Check;
use crate::policy::imap::table::Needs;
use crate::policy::{Denial, Permit, Rights};
use crate::protocol::imap::command::{name, parse_append};
use crate::protocol::imap::framing::any_literal_at_end;
use crate::protocol::imap::request::{Form, Request};

/// Longest message that may be added, in octets.
const MAX_APPEND: u64 = 150 * 1024 * 1024;

/// What the decision depends on besides rights and command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The upstream's hierarchy delimiter.
    pub delimiter: Option<char>,
    /// Whether a folder is selected so that commands may change it.
    pub is_read_write: bool,
    /// Whether commands that cost the upstream much are switched on at this gateway.
    pub costly_search: bool,
}

/// Decides one command. The permitted command may differ from the asked one: SELECT becomes EXAMINE, `BODY[]` becomes
/// `BODY.PEEK[]`, CLOSE becomes UNSELECT, `\Deleted` is taken off an APPEND.
pub fn decide(
    rights: &Rights,
    state: State,
    body: CommandBody<'static>,
) -> Result<Permit<CommandBody<'static>>, Denial> {
    let asked = name(&body);
    let check = Check { rights, state, asked: &asked };
    check.row(&body)?;
    let permitted = match body {
        CommandBody::Noop | CommandBody::Logout | CommandBody::Capability | CommandBody::Check => body,
        CommandBody::Id { .. } | CommandBody::Enable { .. } | CommandBody::Unselect => body,
        CommandBody::Idle | CommandBody::Namespace | CommandBody::Expunge | CommandBody::ExpungeUid { .. } => body,
        CommandBody::Select { mailbox, parameters } if !writes(rights.scopes) => {
            check.folder(&mailbox)?;
            CommandBody::Examine { mailbox, parameters }
        }
        CommandBody::Select { ref mailbox, .. }
        | CommandBody::Examine { ref mailbox, .. }
        | CommandBody::Status { ref mailbox, .. }
        | CommandBody::Move { ref mailbox, .. }
        | CommandBody::Create { ref mailbox }
        | CommandBody::Subscribe { ref mailbox }
        | CommandBody::Unsubscribe { ref mailbox }
        | CommandBody::Delete { ref mailbox } => {
            check.folder(mailbox)?;
            body
        }
        CommandBody::Close if state.is_read_write && !rights.scopes.allows(Scope::Delete) => CommandBody::Unselect,
        CommandBody::Close => body,
        CommandBody::List { reference, mailbox_wildcard } => {
            CommandBody::List { reference, mailbox_wildcard: check.pattern(mailbox_wildcard)? }
        }
        CommandBody::Lsub { reference, mailbox_wildcard } => {
            CommandBody::Lsub { reference, mailbox_wildcard: check.pattern(mailbox_wildcard)? }
        }
        CommandBody::Search { ref criteria, .. } => {
            check.criteria(criteria)?;
            body
        }
        CommandBody::Sort { ref search_criteria, .. } => {
            check.costly()?;
            check.criteria(search_criteria)?;
            body
        }
        CommandBody::Thread { ref algorithm, ref search_criteria, .. } => {
            check.thread(algorithm)?;
            check.criteria(search_criteria)?;
            body
        }
        CommandBody::GetQuota { .. } => check.whole_account(body)?,
        CommandBody::GetQuotaRoot { ref mailbox } => {
            check.folder(mailbox)?;
            check.whole_account(body)?
        }
        CommandBody::Fetch { .. } => check.fetch(body)?,
        CommandBody::Store { ref kind, ref flags, .. } => {
            check.store(*kind, flags)?;
            body
        }
        CommandBody::Append { .. } => check.append(body)?,
        CommandBody::Copy { ref mailbox, .. } => {
            if !rights.scopes.allows(Scope::Organize) {
                check.needs(Scope::Append)?;
                check.needs(Scope::Read)?;
            }
            check.folder(mailbox)?;
            body
        }
        CommandBody::Rename { ref from, ref to } => {
            if matches!(from, Mailbox::Inbox) {
                // It moves every message out of INBOX (RFC 3501 section 6.3.5).
                check.needs(Scope::Delete)?;
            }
            check.tree(from)?;
            check.tree(to)?;
            body
        }
        // The table has refused these already. Named one by one: a command that a newer parser knows must not compile in silence.
        CommandBody::Login { .. }
        | CommandBody::Authenticate { .. }
        | CommandBody::Compress { .. }
        | CommandBody::SetQuota { .. } => return Err(check.never("no scope gives it")),
    };
    Ok(Permit(permitted))
}

/// Decides one command in any of its forms.
pub fn decide_request(rights: &Rights, state: State, request: Request) -> Result<Permit<Request>, Denial> {
    let Request { body, form } = request;
    let asked = name(&body);
    let body = decide(rights, state, body)?.into_inner();
    let form = match form {
        // What they give back are numbers that the plain command gives back too.
        Form::Plain | Form::Returning(_) => form,
        Form::List(list) => Form::List(Check { rights, state, asked: &asked }.list(list)?),
    };
    Ok(Permit(Request { body, form }))
}

/// Decides a command that the parser does not know, by its name: `None` when the table does not know it either.
pub fn decide_unparsed(command: &[u8]) -> Option<Denial> {
    let asked = table::name_in(command)?;
    match table::needs(&asked)? {
        Needs::Never(why) => Some(Denial::never(&asked, why)),
        Needs::Session | Needs::AnyOf(_) => None,
    }
}

/// Decides the size of a message that an APPEND announces.
pub fn decide_size(octets: u64) -> Result<(), Denial> {
    if octets <= MAX_APPEND {
        return Ok(());
    }
    Err(Denial::size("APPEND", &format!("a message may hold {MAX_APPEND} octets")))
}

/// What a line without a tag would get.
pub(super) fn explain(rights: &Rights, costly_search: bool, line: &str) -> Result<Charge, Denial> {
    let state = State { delimiter: Some('/'), is_read_write: true, costly_search };
    let tagged = format!("A {line}");
    if let Ok(Some(literal)) = any_literal_at_end(tagged.as_bytes())
        && let Some(append) = parse_append(tagged.as_bytes(), literal)
    {
        decide(rights, state, append.body)?;
        return decide_size(literal.length).map(|()| Charge::append(literal.length));
    }
    match Request::parse(format!("{tagged}\r\n").as_bytes()) {
        Ok(request) => decide_request(rights, state, request).map(|permit| Charge::imap(&permit.get().body)),
        Err(_) => Err(decide_unparsed(line.as_bytes())
            .unwrap_or_else(|| Denial::rule("unknown", line, "this is no command that the gateway knows"))),
    }
}

/// Whether any scope lets a tool change what is in a selected folder. If not, it is opened with EXAMINE.
fn writes(scopes: ScopeSet) -> bool {
    scopes.allows_any(&[Scope::Flag, Scope::Organize, Scope::Delete])
}

#[cfg(test)]
mod tests;
