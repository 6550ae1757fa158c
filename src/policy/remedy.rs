//! What would let a refused command through: the change of the grant that does it, or why none does.

use crate::domain::bounds::Bounds;
use crate::domain::budget::Span;
use crate::domain::clock::Timestamp;
use crate::domain::folder::FolderPath;
use crate::domain::freeze::Freeze;
use crate::domain::grant::Grant;
use crate::domain::mailbox::Mailbox;
use crate::domain::scope::{Preset, Scope};
use crate::policy::budget::{Limit, RULE};
use crate::policy::charge::Account;

/// What was refused, as it was recorded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refused<'a> {
    /// The rule.
    pub rule: &'a str,
    /// The scope that is missing.
    pub needs: Option<Scope>,
    /// The folder, address or word that the rule is about.
    pub object: Option<&'a str>,
    /// The mail protocol.
    pub protocol: Option<&'a str>,
    /// What it counts on of the grant's budgets, as they stand now.
    pub accounts: &'a [Account],
}

/// Who can bring a remedy about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Who may change grants.
    Granter,
    /// Who may end freezes.
    Thawer,
    /// Who keeps the service's settings.
    Keeper,
    /// The tool itself: nobody has to permit anything.
    Tool,
    /// Nobody: no grant allows it.
    Nobody,
}

/// What would let it through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// Who can bring it about.
    pub who: Who,
    /// What has to be done, in words.
    pub text: String,
    /// Options of `grant widen` (with a grant) or `grant add` (without) that do it.
    pub options: Vec<(&'static str, String)>,
    /// Presets that hold all that the grant gives now and what is missing, widest last.
    pub presets: Vec<Preset>,
}

impl Remedy {
    fn of(who: Who, text: &str) -> Self {
        Self { who, text: text.to_owned(), options: Vec::new(), presets: Vec::new() }
    }

    fn change(text: String, options: Vec<(&'static str, String)>) -> Self {
        Self { who: Who::Granter, text, options, presets: Vec::new() }
    }
}

/// What would let `refused` through, as the grant stands now; `None` where there is no grant in force.
pub fn remedy(refused: Refused<'_>, grant: Option<(&Grant, &Mailbox)>) -> Remedy {
    let rule = refused.rule;
    if let Some(found) = without_grant(rule) {
        return found;
    }
    let Some((grant, mailbox)) = grant else {
        let preset = if refused.protocol == Some("smtp") { Preset::Marketing } else { Preset::Backup };
        let options = vec![("--preset", preset.as_str().to_owned())];
        return Remedy { presets: vec![preset], ..Remedy::change("make a grant".to_owned(), options) };
    };
    let by_now = Remedy::of(Who::Tool, "the grant allows it by now, or its token was narrower: ask for a new token");
    let bounds = &grant.bounds;
    let object = refused.object;
    let widen = |what: &str, option: &'static str, placeholder: &str| {
        let value = object.unwrap_or(placeholder).to_owned();
        Remedy::change(format!("add {value} to the grant's {what}"), vec![(option, value)])
    };
    match rule {
        "scope" => match refused.needs {
            Some(scope) if !grant.scopes.allows(scope) => {
                let wanted = grant.scopes.with(scope);
                let presets = Preset::ALL.into_iter().filter(|preset| preset.scopes().covers(wanted)).collect();
                let text = format!("add the scope {scope} to the grant");
                Remedy { presets, ..Remedy::change(text, vec![("--scope", scope.to_string())]) }
            }
            _ => by_now,
        },
        "folder" | "folder-tree" => folder(rule, object, bounds).unwrap_or(by_now),
        "sender" | "header-sender" => match object.and_then(|text| text.parse().ok()) {
            Some(sender) if bounds.allow_sender(&sender, &mailbox.address) => by_now,
            _ => {
                let mut found = widen("senders", "--sender", "ADDRESS");
                if bounds.senders.is_none() {
                    // A list takes the place of «the mailbox itself».
                    found.options.insert(0, ("--sender", mailbox.address.to_string()));
                }
                found
            }
        },
        "recipient" => match object.and_then(|text| text.parse().ok()) {
            Some(recipient) if bounds.allow_recipient(&recipient) => by_now,
            _ => widen("recipients", "--recipient", "ADDRESS"),
        },
        "network" => match object.and_then(|text| text.parse().ok()) {
            Some(source) if bounds.allow_source(source) => by_now,
            _ => widen("networks", "--network", "ADDRESS"),
        },
        "protocol" => widen("protocols", "--protocol", "PROTOCOL"),
        "mechanism" => widen("mechanisms", "--mechanism", "MECHANISM"),
        "whole-account" => Remedy::of(Who::Granter, "a grant that names no folders gives it: no list of them can"),
        RULE => match object.and_then(Limit::read) {
            Some(limit) if limit.is_lifted(&bounds.budgets.unwrap_or_default()) => by_now,
            Some(limit) => raise(limit, refused.accounts),
            None => Remedy::of(Who::Granter, "wait, or raise the grant's budgets"),
        },
        "token-scope" => Remedy::of(Who::Tool, "the token's scopes are none of the grant's: ask for a new token"),
        "grant" => by_now,
        _ => Remedy::of(Who::Granter, "look at the grant's bounds: `mailwarden grant show` tells them"),
    }
}

/// What would let through what the budget `limit` refused: all of the accounts that are short are raised.
fn raise(limit: Limit, accounts: &[Account]) -> Remedy {
    let short: Vec<&Account> = accounts.iter().filter(|account| !account.is_enough()).collect();
    let raised = |account: &&Account| {
        let limit = Limit::Counted(account.what, account.span, account.limit);
        ("--budget", limit.raised(account.used.saturating_add(account.needs)))
    };
    let mut options: Vec<_> = short.iter().map(raised).collect();
    if options.is_empty() {
        options.push(("--budget", limit.raised(0)));
    }
    let text = match limit {
        Limit::Counted(_, span, _) => {
            let is_day = span == Span::Day || short.iter().any(|account| account.span == Span::Day);
            let span = if is_day { Span::Day } else { Span::Hour };
            format!("wait for the next {} of UTC, or raise the budget", span.as_str())
        }
        Limit::Sessions(_) => "end one of the grant's sessions, or raise the budget".to_owned(),
    };
    Remedy::change(text, options)
}

/// What would let a folder be used or, by the rule `folder-tree`, be renamed with all below it; `None`: the grant does by now.
fn folder(rule: &str, object: Option<&str>, bounds: &Bounds) -> Option<Remedy> {
    let is_tree = rule == "folder-tree";
    let path = object.and_then(|path| FolderPath::from_name(path, Some('/')));
    let is_allowed = |path: &FolderPath| if is_tree { bounds.allow_tree(path) } else { bounds.allow_folder(path) };
    match path {
        Some(path) if is_allowed(&path) => None,
        // In a bound, a star stands for more than the folder that was asked for.
        Some(path) if !path.to_string().contains('*') => {
            let added = if is_tree { format!("{path}/*") } else { path.to_string() };
            Some(Remedy::change(format!("add {added} to the grant's folders"), vec![("--folder", added)]))
        }
        _ => Some(Remedy::change("add the folder".to_owned(), vec![("--folder", "FOLDER".to_owned())])),
    }
}

/// What would let through what a freeze refused; `None`: it is over. `made_by` is told as it is given.
pub fn thaw(freeze: Option<&Freeze>, made_by: &str) -> Remedy {
    let Some(freeze) = freeze else { return Remedy::of(Who::Tool, "the freeze is over: try again") };
    let end = freeze.thaws_at.map_or_else(|| "never".to_owned(), Timestamp::to_rfc3339);
    let (level, since) = (freeze.level.as_str(), freeze.created_at.to_rfc3339());
    let text =
        format!("end the freeze: {level} since {since} by {made_by} ({}); by itself it ends: {end}", freeze.reason);
    Remedy::of(Who::Thawer, &text)
}

/// The rules that hold whatever a grant says.
fn without_grant(rule: &str) -> Option<Remedy> {
    let (who, text) = match rule {
        "never" => (Who::Nobody, "no grant gives it"),
        "null-sender" => (Who::Nobody, "no grant gives it: a message names who sends it"),
        "unknown" => (Who::Nobody, "it is no command that the gateway knows"),
        "folder-name" => (Who::Tool, "write the folder's name in canonical modified UTF-7"),
        "pattern" => (Who::Tool, "ask with at most 8 wildcards"),
        "field-name" => (Who::Tool, "ask for header fields by names that they can have"),
        "search-depth" => (Who::Tool, "nest the search less deeply"),
        "costly-search" => {
            (Who::Keeper, "search without sorting, or switch costly searches on in the service's settings")
        }
        "header" => (Who::Tool, "write each header field once, in its plain form"),
        "recipient-count" => (Who::Tool, "send the rest in a further message"),
        "size" => (Who::Keeper, "send less, or raise the largest message in the service's settings"),
        "upstream" => (Who::Granter, "remove the mailbox and register it with an upstream for this protocol"),
        "connections" => (
            Who::Keeper,
            "wait, use fewer sessions at a time, or raise `[upstream]` connections in the service's settings",
        ),
        "token" => (Who::Tool, "ask for a new token: this one is unknown, over, or not for here"),
        "revoked" => (Who::Tool, "ask for a new token: those before the revocation are void"),
        "slowed" => (Who::Tool, "wait a minute: too many logins failed from this network"),
        "used-up" => (Who::Tool, "ask for a new token: the grant lets each open one session"),
        "binding" => (Who::Tool, "prove the key that the token is bound to"),
        "user" => (Who::Tool, "log in with the address of the token's mailbox"),
        "host" => (Who::Tool, "reach the service by its own name"),
        "pin-source" => (Who::Tool, "ask for the token from the address that it is used from"),
        _ => return None,
    };
    Some(Remedy::of(who, text))
}

#[cfg(test)]
mod tests {
    use super::without_grant;

    #[test]
    fn rules_that_no_grant_lifts_say_who_can_help() {
        for rule in ["never", "size", "header", "token", "pattern"] {
            assert!(without_grant(rule).is_some_and(|found| found.options.is_empty() && !found.text.is_empty()));
        }
        for rule in ["scope", "folder", "sender", "recipient", "network", "a-newer-rule"] {
            assert!(without_grant(rule).is_none(), "{rule}");
        }
    }
}
