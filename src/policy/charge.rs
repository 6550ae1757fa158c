//! What a command is charged to its grant's budgets before it begins: one table for the doors, which take it off, and for `explain`,
//! which looks whether it is there. How much an answer holds is known only when it has come; that at least something is left is asked
//! before.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName, Section};

use crate::domain::budget::{Budgeted, Budgets, Span, Used};
use crate::policy::{Denial, budget};
use crate::protocol::imap::command::{mailbox_name, name};
use crate::protocol::pop3::command::Command;

/// What a login is called where it is explained or refused.
pub const LOGIN: &str = "login";

/// What has to be left for a command to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// What was asked, without content.
    pub asked: String,
    /// The folder that it opens.
    pub folder: Option<String>,
    /// How much of what has to be left; 0: it is used by what has to follow the command.
    pub amounts: Vec<(Budgeted, u64)>,
}

/// What a FETCH asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// Nothing but what `mail.metadata` gives.
    None,
    /// Header fields.
    Header,
    /// Bodies, or parts of them.
    Body,
}

/// A limit that a command counts on, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Of what.
    pub what: Budgeted,
    /// In which span.
    pub span: Span,
    /// How much there is in such a span.
    pub limit: u64,
    /// How much of it is used.
    pub used: u64,
    /// How much has to be left for the command to begin.
    pub needs: u64,
}

impl Account {
    /// How much is left.
    pub fn left(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Whether that is enough.
    pub fn is_enough(self) -> bool {
        self.needs <= self.left()
    }
}

impl Charge {
    fn new(asked: &str, amounts: &[(Budgeted, u64)]) -> Self {
        Self { asked: asked.to_owned(), folder: None, amounts: amounts.to_vec() }
    }

    fn opening(self, folder: &str) -> Self {
        Self { folder: Some(folder.to_owned()), ..self }
    }

    /// Of a login: what it takes is a place among the sessions.
    pub fn login() -> Self {
        Self::new(LOGIN, &[])
    }

    /// Of an IMAP command.
    pub fn imap(body: &CommandBody<'_>) -> Self {
        let new = |amounts| Self::new(&name(body), amounts);
        match body {
            CommandBody::Select { mailbox, .. } | CommandBody::Examine { mailbox, .. } => {
                new(&[]).opening(&mailbox_name(mailbox).unwrap_or_default())
            }
            CommandBody::Fetch { macro_or_item_names, .. } => match content(macro_or_item_names) {
                Content::None => new(&[]),
                Content::Header => new(&[(Budgeted::Bytes, 1)]),
                Content::Body => new(&[(Budgeted::MessagesRead, 1), (Budgeted::Bytes, 1)]),
            },
            _ => new(&[]),
        }
    }

    /// Of an APPEND of so many octets.
    pub fn append(octets: u64) -> Self {
        Self::new("APPEND", &[(Budgeted::Bytes, octets)])
    }

    /// Of the maildrop.
    pub fn maildrop() -> Self {
        Self::new("the maildrop", &[]).opening("INBOX")
    }

    /// Of a POP3 command in a maildrop that is open.
    pub fn pop3(command: Command) -> Self {
        let amounts: &[_] = match command {
            Command::Retr(_) | Command::Top(_, 1..) => &[(Budgeted::MessagesRead, 1), (Budgeted::Bytes, 1)],
            Command::Top(_, 0) => &[(Budgeted::Bytes, 1)],
            Command::Stat | Command::List(_) | Command::Uidl(_) | Command::Dele(_) => &[],
        };
        Self::new(command.name(), amounts)
    }

    /// Of MAIL FROM: the message that it begins is charged at DATA.
    pub fn mail() -> Self {
        Self::new("MAIL FROM", &[(Budgeted::Bytes, 0), (Budgeted::MessagesSent, 0)])
    }

    /// Of RCPT TO.
    pub fn rcpt() -> Self {
        Self::new("RCPT TO", &[(Budgeted::Recipients, 1)])
    }

    /// Of DATA.
    pub fn data() -> Self {
        Self::new("DATA", &[(Budgeted::Bytes, 1), (Budgeted::MessagesSent, 1)])
    }

    /// The limits of `budgets` that it counts on, where so much was used and its folder was counted in these spans already.
    pub fn accounts(&self, budgets: &Budgets, used: &Used, counted: &[Span]) -> Vec<Account> {
        let folder = self.folder.iter().map(|_| (Budgeted::Folders, 1));
        let charged = folder.chain(self.amounts.iter().copied());
        let accounts = charged.flat_map(|(what, needs)| {
            budgets.of(what).limits().map(move |(span, limit)| {
                let needs = if what == Budgeted::Folders && counted.contains(&span) { 0 } else { needs };
                Account { what, span, limit, used: used.of(what, span), needs }
            })
        });
        accounts.collect()
    }

    /// Decides whether there is enough on each of its accounts.
    pub fn settle(&self, accounts: &[Account]) -> Result<(), Denial> {
        match accounts.iter().find(|account| !account.is_enough()) {
            Some(Account { what, span, limit, .. }) => Err(budget::exhausted(&self.asked, *what, *span, *limit)),
            None => Ok(()),
        }
    }
}

/// The most that one of the items gives. What is not known to be less is a body.
pub fn content(items: &MacroOrMessageDataItemNames<'_>) -> Content {
    let MacroOrMessageDataItemNames::MessageDataItemNames(items) = items else { return Content::None };
    let each = items.iter().map(|item| match item {
        MessageDataItemName::Body
        | MessageDataItemName::BodyStructure
        | MessageDataItemName::Envelope
        | MessageDataItemName::Flags
        | MessageDataItemName::InternalDate
        | MessageDataItemName::ModSeq
        | MessageDataItemName::BinarySize { .. }
        | MessageDataItemName::Rfc822Size
        | MessageDataItemName::Uid => Content::None,
        MessageDataItemName::Rfc822Header
        | MessageDataItemName::BodyExt {
            section: Some(Section::Header(None) | Section::HeaderFields(None, _) | Section::HeaderFieldsNot(None, _)),
            ..
        } => Content::Header,
        _ => Content::Body,
    });
    each.max().unwrap_or(Content::None)
}

#[cfg(test)]
mod tests {
    use imap_codec::imap_types::command::CommandBody;

    use super::{Account, Charge, Content, content};
    use crate::domain::budget::{Budgeted, Budgets, Span, Used};
    use crate::domain::clock::Timestamp;
    use crate::protocol::imap::command::parse;

    #[test]
    fn what_a_fetch_gives_is_told_by_its_items() {
        for (items, expected) in [
            ("FLAGS", Content::None),
            ("FULL", Content::None),
            ("(UID BODYSTRUCTURE ENVELOPE RFC822.SIZE)", Content::None),
            ("(FLAGS MODSEQ)", Content::None),
            ("(UID BINARY.SIZE[1])", Content::None),
            ("(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])", Content::Header),
            ("(MODSEQ RFC822.HEADER)", Content::Header),
            ("(BINARY.SIZE[1] BINARY.PEEK[1])", Content::Body),
            ("(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])", Content::Header),
            ("BODY[HEADER]", Content::Header),
            ("RFC822.HEADER", Content::Header),
            ("BODY[]", Content::Body),
            ("BODY.PEEK[]<0.10>", Content::Body),
            ("(BODY[HEADER] BODY[TEXT])", Content::Body),
            ("BODY[1]", Content::Body),
            ("BODY[1.HEADER]", Content::Body),
            ("BODY[1.MIME]", Content::Body),
            ("RFC822", Content::Body),
            ("RFC822.TEXT", Content::Body),
        ] {
            let parsed = parse(format!("a UID FETCH 1 {items}\r\n").as_bytes()).unwrap();
            let CommandBody::Fetch { macro_or_item_names, .. } = parsed.body else { panic!("{items}") };
            assert_eq!(content(&macro_or_item_names), expected, "{items}");
        }
    }

    #[test]
    fn a_command_counts_on_each_limit_of_what_it_uses_and_the_first_that_is_short_refuses_it() {
        let budgets: Budgets =
            serde_json::from_str(r#"{"bytes":{"hour":9,"day":10},"folders":{"day":2},"recipients":{"hour":0}}"#)
                .unwrap();
        let used = Used::new(
            Timestamp(0),
            vec![
                (Budgeted::Bytes, Span::Hour, 8),
                (Budgeted::Bytes, Span::Day, 10),
                (Budgeted::Folders, Span::Day, 3),
                (Budgeted::MessagesRead, Span::Hour, 7),
            ],
        );
        let accounts = Charge::append(1).accounts(&budgets, &used, &[]);
        let account = |what, span, (limit, used, needs): (u64, u64, u64)| Account { what, span, limit, used, needs };
        assert_eq!(
            accounts,
            [account(Budgeted::Bytes, Span::Hour, (9, 8, 1)), account(Budgeted::Bytes, Span::Day, (10, 10, 1))]
        );
        let refused = |charge: Charge, counted: &[Span]| {
            charge.settle(&charge.accounts(&budgets, &used, counted)).err().and_then(|denial| denial.object)
        };
        assert_eq!(refused(Charge::append(1), &[]).as_deref(), Some("bytes=10/day"));
        assert_eq!(refused(Charge::append(2), &[]).as_deref(), Some("bytes=9/hour"));
        assert_eq!(refused(Charge::append(0), &[]), None);
        assert_eq!(refused(Charge::mail(), &[]), None);
        assert_eq!(refused(Charge::data(), &[]).as_deref(), Some("bytes=10/day"));
        assert_eq!(refused(Charge::rcpt(), &[]).as_deref(), Some("recipients=0/hour"));
        assert_eq!(refused(Charge::maildrop(), &[]).as_deref(), Some("folders=2/day"));
        assert_eq!(refused(Charge::maildrop(), &[Span::Hour]).as_deref(), Some("folders=2/day"));
        assert_eq!(refused(Charge::maildrop(), &[Span::Day]), None);
        assert_eq!(refused(Charge::login(), &[]), None);
    }
}
