//! Which extensions of the upstream a command takes. One that it lacks is refused here: nothing is sent that was not offered.

use imap_codec::imap_types::command::{CommandBody, FetchModifier, SelectParameter};
use imap_codec::imap_types::extensions::binary::LiteralOrLiteral8;
use imap_codec::imap_types::extensions::sort::SortKey;
use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName};
use imap_codec::imap_types::search::SearchKey;
use imap_codec::imap_types::status::StatusDataItemName;

use crate::protocol::imap::list_form::{ListForm, Selection, Told};
use crate::protocol::imap::request::{Form, Request};

/// The names of all extensions that `request` takes.
pub(super) fn needed(request: &Request) -> Vec<String> {
    let mut needed = Vec::new();
    body(&request.body, &mut needed);
    match &request.form {
        Form::Plain => (),
        Form::Returning(_) if matches!(request.body, CommandBody::Sort { .. }) => needed.push("ESORT"),
        Form::Returning(_) => needed.push("ESEARCH"),
        Form::List(form) => list(form, &mut needed),
    }
    let mut needed: Vec<String> = needed.into_iter().map(str::to_owned).collect();
    if let CommandBody::Thread { algorithm, .. } = &request.body {
        needed.push(format!("THREAD={algorithm}").to_ascii_uppercase());
    }
    needed
}

/// Whether the upstream answers otherwise from this command on, to the end of the connection (RFC 7162 section 3.1).
pub(super) fn is_lasting(request: &Request) -> bool {
    needed(request).iter().any(|needed| matches!(needed.as_str(), "CONDSTORE" | "QRESYNC"))
}

fn body(body: &CommandBody<'_>, needed: &mut Vec<&'static str>) {
    match body {
        CommandBody::Idle => needed.push("IDLE"),
        CommandBody::Namespace => needed.push("NAMESPACE"),
        CommandBody::Unselect => needed.push("UNSELECT"),
        CommandBody::Move { .. } => needed.push("MOVE"),
        CommandBody::ExpungeUid { .. } => needed.push("UIDPLUS"),
        CommandBody::Select { parameters, .. } | CommandBody::Examine { parameters, .. } => {
            needed.extend(parameters.iter().map(|parameter| match parameter {
                SelectParameter::CondStore => "CONDSTORE",
                SelectParameter::QResync { .. } => "QRESYNC",
            }));
        }
        CommandBody::Status { item_names, .. } => status(item_names, needed),
        CommandBody::Fetch { macro_or_item_names, modifiers, .. } => {
            needed.extend(modifiers.iter().map(|modifier| match modifier {
                FetchModifier::ChangedSince(_) => "CONDSTORE",
                FetchModifier::Vanished => "QRESYNC",
            }));
            if let MacroOrMessageDataItemNames::MessageDataItemNames(items) = macro_or_item_names {
                needed.extend(items.iter().filter_map(item));
            }
        }
        CommandBody::Store { modifiers, .. } if !modifiers.is_empty() => needed.push("CONDSTORE"),
        CommandBody::Search { criteria, .. } => criteria.as_ref().iter().for_each(|key| search(key, needed)),
        CommandBody::Sort { sort_criteria, search_criteria, .. } => {
            needed.push("SORT");
            let is_display = |key| matches!(key, SortKey::DisplayFrom | SortKey::DisplayTo);
            if sort_criteria.as_ref().iter().any(|criterion| is_display(criterion.key.clone())) {
                needed.push("SORT=DISPLAY");
            }
            search_criteria.as_ref().iter().for_each(|key| search(key, needed));
        }
        CommandBody::Thread { search_criteria, .. } => {
            search_criteria.as_ref().iter().for_each(|key| search(key, needed));
        }
        CommandBody::GetQuota { .. } | CommandBody::GetQuotaRoot { .. } => needed.push("QUOTA"),
        CommandBody::Append { message: LiteralOrLiteral8::Literal8(_), .. } => needed.push("BINARY"),
        _ => (),
    }
}

fn status(items: &[StatusDataItemName], needed: &mut Vec<&'static str>) {
    needed.extend(items.iter().filter_map(|item| match item {
        StatusDataItemName::HighestModSeq => Some("CONDSTORE"),
        StatusDataItemName::Size => Some("STATUS=SIZE"),
        StatusDataItemName::Messages
        | StatusDataItemName::Recent
        | StatusDataItemName::UidNext
        | StatusDataItemName::UidValidity
        | StatusDataItemName::Unseen
        | StatusDataItemName::Deleted
        | StatusDataItemName::DeletedStorage => None,
    }));
}

fn item(item: &MessageDataItemName<'_>) -> Option<&'static str> {
    match item {
        MessageDataItemName::ModSeq => Some("CONDSTORE"),
        MessageDataItemName::Binary { .. } | MessageDataItemName::BinarySize { .. } => Some("BINARY"),
        _ => None,
    }
}

fn search(key: &SearchKey<'_>, needed: &mut Vec<&'static str>) {
    match key {
        SearchKey::And(keys) => keys.as_ref().iter().for_each(|key| search(key, needed)),
        SearchKey::Not(key) => search(key, needed),
        SearchKey::Or(left, right) => {
            search(left, needed);
            search(right, needed);
        }
        SearchKey::ModSequence { .. } => needed.push("CONDSTORE"),
        SearchKey::Older(_) | SearchKey::Younger(_) => needed.push("WITHIN"),
        _ => (),
    }
}

fn list(form: &ListForm, needed: &mut Vec<&'static str>) {
    if form.selection.is_some() || !form.more.is_empty() {
        needed.push("LIST-EXTENDED");
    }
    if form.selection.iter().flatten().any(|option| *option == Selection::SpecialUse) {
        needed.push("SPECIAL-USE");
    }
    for told in form.told.iter().flatten() {
        match told {
            Told::Subscribed | Told::Children => needed.push("LIST-EXTENDED"),
            Told::SpecialUse => needed.push("SPECIAL-USE"),
            Told::Status(items) => {
                needed.push("LIST-STATUS");
                status(items, needed);
            }
        }
    }
}

/// Commands that speak of the folder that is open.
pub(super) fn needs_selected(body: &CommandBody<'_>) -> bool {
    matches!(
        body,
        CommandBody::Check
            | CommandBody::Close
            | CommandBody::Unselect
            | CommandBody::Expunge
            | CommandBody::ExpungeUid { .. }
            | CommandBody::Search { .. }
            | CommandBody::Sort { .. }
            | CommandBody::Thread { .. }
            | CommandBody::Fetch { .. }
            | CommandBody::Store { .. }
            | CommandBody::Copy { .. }
            | CommandBody::Move { .. }
    )
}
