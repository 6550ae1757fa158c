//! What a plan makes reachable: client, mailbox and scope that were not possible before, or only within narrower limits.

use serde::Serialize;

use crate::cli::apply::file::Terms;
use crate::domain::address::MailAddress;
use crate::domain::bounds::Bounds;
use crate::domain::budget::Budgets;
use crate::domain::scope::Scope;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cell {
    pub(super) client: String,
    pub(super) mailbox: MailAddress,
    pub(super) scope: &'static str,
    pub(super) why: &'static str,
}

/// The cells that `after` opens; `before` is what was in force.
pub(super) fn opened(client: &str, mailbox: &MailAddress, before: Option<&Terms>, after: &Terms) -> Vec<Cell> {
    let why = |scope| match before.filter(|before| before.scopes.allows(scope)) {
        None => Some("new"),
        Some(before) if !for_scope(&before.bounds, scope).cover(&for_scope(&after.bounds, scope), mailbox) => {
            Some("wider bounds")
        }
        Some(before) if before.expires.is_some_and(|end| after.expires.is_none_or(|later| end < later)) => {
            Some("later end")
        }
        Some(_) => None,
    };
    let cell =
        |scope: Scope, why| Cell { client: client.to_owned(), mailbox: mailbox.clone(), scope: scope.as_str(), why };
    after.scopes.iter().filter_map(|scope| why(scope).map(|why| cell(scope, why))).collect()
}

/// The bounds that limit this scope.
fn for_scope(bounds: &Bounds, scope: Scope) -> Bounds {
    if scope == Scope::Send {
        let budgets = bounds.budgets.map(Budgets::for_sending);
        Bounds { folders: None, budgets, ..bounds.clone() }
    } else {
        let budgets = bounds.budgets.map(Budgets::for_reading);
        Bounds { senders: None, recipients: None, budgets, ..bounds.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::opened;
    use crate::cli::apply::file::Terms;
    use crate::domain::clock::Timestamp;

    fn terms(scopes: &str, bounds: &str, expires: Option<i64>) -> Terms {
        let (scopes, bounds) = (scopes.parse().unwrap(), serde_json::from_str(bounds).unwrap());
        Terms { scopes, bounds, token_ttl: 300, session_ttl: 3600, expires: expires.map(Timestamp) }
    }

    #[test]
    fn only_what_was_not_possible_before_is_a_cell() {
        let mailbox = "a@example.com".parse().unwrap();
        let (folder, recipient) = (r#"{"folders":["A"]}"#, r#"{"recipients":["@a.example"]}"#);
        for (before, after, expected) in [
            (None, terms("mail.read mail.send", "{}", None), &[("mail.read", "new"), ("mail.send", "new")][..]),
            (Some(terms("mail.read", "{}", None)), terms("mail.read", "{}", None), &[]),
            (Some(terms("mail.read", "{}", None)), terms("mail.metadata", folder, None), &[]),
            (Some(terms("mail.metadata", "{}", None)), terms("mail.read", "{}", None), &[("mail.read", "new")]),
            (Some(terms("mail.read", folder, None)), terms("mail.read", "{}", None), &[("mail.read", "wider bounds")]),
            (
                Some(terms("mail.read mail.send", folder, None)),
                terms("mail.read mail.send", "{}", None),
                &[("mail.read", "wider bounds")],
            ),
            (
                Some(terms("mail.read mail.send", r#"{"budgets":{"recipients":{"hour":1}}}"#, None)),
                terms("mail.read mail.send", r#"{"budgets":{"recipients":{"hour":2}}}"#, None),
                &[("mail.send", "wider bounds")],
            ),
            (
                Some(terms("mail.read mail.send", recipient, None)),
                terms("mail.read mail.send", "{}", None),
                &[("mail.send", "wider bounds")],
            ),
            (Some(terms("mail.read", "{}", Some(5))), terms("mail.read", "{}", Some(6)), &[("mail.read", "later end")]),
            (Some(terms("mail.read", "{}", Some(5))), terms("mail.read", "{}", None), &[("mail.read", "later end")]),
            (Some(terms("mail.read", "{}", None)), terms("mail.read", "{}", Some(5)), &[]),
        ] {
            let cells = opened("tool", &mailbox, before.as_ref(), &after);
            let found: Vec<_> = cells.iter().map(|cell| (cell.scope, cell.why)).collect();
            assert_eq!(found, expected, "{before:?} to {after:?}");
        }
    }
}
