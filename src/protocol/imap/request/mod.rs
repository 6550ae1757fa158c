//! A command as the gateway knows it: what imap-codec parses, and the forms of it that imap-codec does not know: SEARCH and SORT with
//! RETURN (RFC 4731, RFC 5267) and LIST with options (RFC 5258). The rest of such a command is parsed and serialised by imap-codec.

use imap_codec::encode::Fragment;
use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::fetch::MacroOrMessageDataItemNames;

use crate::protocol::imap::command::{self, NotACommand};
use crate::protocol::imap::framing;
use crate::protocol::imap::list_form::ListForm;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The command without what its form adds.
    pub body: CommandBody<'static>,
    /// What is added.
    pub form: Form,
}

/// What a command says beyond its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing.
    Plain,
    /// The results that a SEARCH or SORT gives back; none named means all (RFC 4731 section 3.1).
    Returning(Vec<Found>),
    /// The options of a LIST.
    List(ListForm),
}

/// One result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The lowest number.
    Min,
    /// The highest number.
    Max,
    /// The set of all.
    All,
    /// How many.
    Count,
}

impl Found {
    const ALL: [(&'static str, Self); 4] =
        [("MIN", Self::Min), ("MAX", Self::Max), ("ALL", Self::All), ("COUNT", Self::Count)];

    fn parse(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())).map(|(_, found)| found)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::All => "ALL",
            Self::Count => "COUNT",
        }
    }
}

impl From<CommandBody<'static>> for Request {
    fn from(body: CommandBody<'static>) -> Self {
        Self { body, form: Form::Plain }
    }
}

impl Request {
    /// Parses one whole command, literals included. Nothing may be left over.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotACommand> {
        if let Ok(parsed) = command::parse(bytes) {
            return Ok(parsed.body.into());
        }
        returning(bytes).or_else(|| listing(bytes)).ok_or(NotACommand)
    }

    /// Serialises it under `tag`.
    pub fn serialise(self, tag: &str) -> Option<Vec<Fragment>> {
        match self.form {
            Form::Plain => {
                let is_open = has_one_bare_item(&self.body);
                let at = tag.len() + 1 + command::name(&self.body).len() + 1;
                let fragments = command::serialise(tag, self.body)?;
                if is_open { with_parentheses(fragments, at) } else { Some(fragments) }
            }
            Form::Returning(found) => {
                let at = tag.len() + 1 + command::name(&self.body).len() + 1;
                let mut fragments = command::serialise(tag, self.body)?;
                let Some(Fragment::Line { data }) = fragments.first_mut() else { return None };
                let names: Vec<&str> = found.into_iter().map(Found::as_str).collect();
                let (head, rest) = data.split_at_checked(at)?;
                *data = [head, format!("RETURN ({}) ", names.join(" ")).as_bytes(), rest].concat();
                Some(fragments)
            }
            Form::List(form) => form.serialise(tag, &self.body),
        }
    }
}

/// Whether imap-codec would write a FETCH whose one item runs into the modifiers that follow: `BODY[] (CHANGEDSINCE 5)` is misread by
/// Dovecot, which looks for the section in the parentheses.
fn has_one_bare_item(body: &CommandBody<'_>) -> bool {
    let CommandBody::Fetch { macro_or_item_names, modifiers, .. } = body else { return false };
    let MacroOrMessageDataItemNames::MessageDataItemNames(items) = macro_or_item_names else { return false };
    items.len() == 1 && !modifiers.is_empty()
}

/// Puts the one item of a FETCH, whose set begins at `at`, between parentheses.
fn with_parentheses(fragments: Vec<Fragment>, at: usize) -> Option<Vec<Fragment>> {
    let mut fragments = fragments;
    let Some(Fragment::Line { data }) = fragments.last_mut() else { return None };
    // Modifiers hold no parentheses themselves.
    let open = data.iter().rposition(|byte| *byte == b'(')?;
    data.insert(open.checked_sub(1)?, b')');
    let Some(Fragment::Line { data }) = fragments.first_mut() else { return None };
    let set = data.get(at..)?.iter().position(|byte| *byte == b' ')?;
    data.insert(at + set + 1, b'(');
    Some(fragments)
}

/// `[UID ]SEARCH RETURN (...) ...` and the same of SORT.
fn returning(bytes: &[u8]) -> Option<Request> {
    let (tag, rest) = framing::split_tag(bytes)?;
    let head = ["SEARCH ", "SORT ", "UID SEARCH ", "UID SORT "].into_iter().find(|head| begins(rest, head))?;
    let options = rest.get(head.len()..).filter(|options| begins(options, "RETURN ("))?.get("RETURN (".len()..)?;
    let end = options.iter().position(|byte| *byte == b')')?;
    let (inside, after) = (options.get(..end)?, options.get(end..)?.strip_prefix(b") ")?);
    let found = match inside {
        [] => Vec::new(),
        words => words.split(|byte| *byte == b' ').map(Found::parse).collect::<Option<Vec<_>>>()?,
    };
    let body = command::parse(&[tag.as_bytes(), b" ", head.as_bytes(), after].concat()).ok()?.body;
    matches!(body, CommandBody::Search { .. } | CommandBody::Sort { .. })
        .then_some(Request { body, form: Form::Returning(found) })
}

fn listing(bytes: &[u8]) -> Option<Request> {
    let (tag, rest) = framing::split_tag(bytes)?;
    let arguments = rest.get("LIST ".len()..).filter(|_| begins(rest, "LIST "))?;
    let (body, form) = ListForm::parse(tag, arguments)?;
    Some(Request { body, form: Form::List(form) })
}

/// Whether `text` begins with `word` in any letter case.
pub(super) fn begins(text: &[u8], word: &str) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests;
