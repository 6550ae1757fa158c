//! How a plan is told: one line per thing, then what becomes reachable.

use serde_json::{Value, json};

use crate::cli::apply::file::Terms;
use crate::cli::apply::plan::{Deed, Plan, Step};
use crate::domain::bounds::{Bounds, Pin};
use crate::domain::clock::Timestamp;
use crate::domain::mailbox::{Endpoint, TlsMode, Upstream};

impl Step {
    /// `create`, `change` or `remove`, and the sign for it.
    pub(super) fn action(&self) -> (&'static str, char) {
        match self.deed {
            Deed::AddMailbox { .. } | Deed::AddClient { .. } | Deed::AddGrant { .. } => ("create", '+'),
            Deed::Change { .. } => ("change", '~'),
            Deed::Remove { .. } => ("remove", '-'),
        }
    }
}

/// The plan for people.
pub(super) fn lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &plan.steps {
        lines.push(format!("{} {} {}: {}", step.action().1, step.kind, step.name, step.what));
    }
    lines.extend(plan.kept.iter().map(|name| format!("  {name}: not in the file, kept")));
    if !plan.cells.is_empty() {
        lines.push("newly reachable (client, mailbox, scope):".to_owned());
    }
    for cell in &plan.cells {
        let mark = if cell.why == "new" { String::new() } else { format!(" ({})", cell.why) };
        lines.push(format!("  {}, {}, {}{mark}", cell.client, cell.mailbox, cell.scope));
    }
    let count = |action| plan.steps.iter().filter(|step| step.action().0 == action).count();
    lines.push(match plan.steps.len() {
        0 => "nothing to change".to_owned(),
        _ => format!("{} to create, {} to change, {} to remove", count("create"), count("change"), count("remove")),
    });
    lines
}

/// The plan as data; `done` is how many of its steps were taken.
pub(super) fn data(plan: &Plan, done: usize, secrets: &[Value]) -> Value {
    let step = |(at, step): (usize, &Step)| json!({ "action": step.action().0, "kind": step.kind, "name": step.name, "what": step.what, "done": at < done });
    json!({
        "changes": plan.steps.len(), "steps": plan.steps.iter().enumerate().map(step).collect::<Vec<_>>(),
        "kept": plan.kept, "reachable": plan.cells, "clients": secrets,
    })
}

/// The changed ones of name, before and after.
pub(super) fn changes(members: &[(&str, String, String)]) -> String {
    let changed = members.iter().filter(|(_, before, after)| before != after);
    changed.map(|(name, before, after)| format!("{name} {before} → {after}")).collect::<Vec<_>>().join("; ")
}

pub(super) fn terms_changed(before: &Terms, after: &Terms) -> String {
    let members: Vec<_> = members(before).into_iter().zip(members(after)).collect();
    changes(&members.into_iter().map(|((name, before), (_, after))| (name, before, after)).collect::<Vec<_>>())
}

/// What a new grant says, without what has its default.
pub(super) fn terms(terms: &Terms) -> String {
    let mut members = members(terms).into_iter();
    let scopes = members.next().map(|(_, scopes)| scopes).unwrap_or_default();
    let usual = ["any", "own", "never", "no", "refuse", "digest", "300 s", "3600 s"];
    let rest = members.filter(|(_, value)| !usual.contains(&&**value));
    std::iter::once(scopes).chain(rest.map(|(name, value)| format!("{name} {value}"))).collect::<Vec<_>>().join("; ")
}

fn members(terms: &Terms) -> Vec<(&'static str, String)> {
    let Bounds {
        folders,
        senders,
        recipients,
        networks,
        protocols,
        mechanisms,
        pin,
        pop3_delete,
        budgets,
        audit_recipients,
    } = &terms.bounds;
    let protocols = protocols.as_ref().map(|list| list.iter().map(|one| one.as_str()).collect::<Vec<_>>());
    let mechanisms = mechanisms.as_ref().map(|list| list.iter().map(|one| one.as_str()).collect::<Vec<_>>());
    vec![
        ("scopes", terms.scopes.to_string()),
        ("folders", listed(folders.as_deref(), "any")),
        ("senders", listed(senders.as_deref(), "own")),
        ("recipients", listed(recipients.as_deref(), "any")),
        ("networks", listed(networks.as_deref(), "any")),
        ("protocols", listed(protocols.as_deref(), "any")),
        ("mechanisms", listed(mechanisms.as_deref(), "any")),
        ("pin", pin.map_or_else(|| "no".to_owned(), pinned)),
        ("pop3_delete", pop3_delete.unwrap_or_default().as_str().to_owned()),
        (
            "budgets",
            budgets.map(|all| all.to_string()).filter(|all| !all.is_empty()).unwrap_or_else(|| "no".to_owned()),
        ),
        ("audit_recipients", audit_recipients.unwrap_or_default().as_str().to_owned()),
        ("token_ttl", format!("{} s", terms.token_ttl)),
        ("session_ttl", format!("{} s", terms.session_ttl)),
        ("expires", terms.expires.map_or_else(|| "never".to_owned(), Timestamp::to_rfc3339)),
    ]
}

fn pinned(pin: Pin) -> String {
    match (pin.source, pin.single_connection) {
        (true, true) => "source once",
        (true, false) => "source",
        (false, true) => "once",
        (false, false) => "no",
    }
    .to_owned()
}

fn listed<T: ToString>(list: Option<&[T]>, absent: &str) -> String {
    match list {
        None => absent.to_owned(),
        Some([]) => "none".to_owned(),
        Some(list) => list.iter().map(T::to_string).collect::<Vec<_>>().join(" "),
    }
}

pub(super) fn upstream(upstream: &Upstream) -> String {
    let Upstream { connector: _, username, imap, smtp } = upstream;
    format!("imap {}, smtp {}, username {username}", endpoint(imap.as_ref()), endpoint(smtp.as_ref()))
}

pub(super) fn upstreams(before: &Upstream, after: &Upstream) -> String {
    let ca = |end: Option<&Endpoint>| end.and_then(|end| end.ca_pem.clone());
    let named = |one: &Option<Endpoint>| endpoint(one.as_ref());
    let mut told = changes(&[
        ("username", before.username.clone(), after.username.clone()),
        ("imap", named(&before.imap), named(&after.imap)),
        ("smtp", named(&before.smtp), named(&after.smtp)),
    ]);
    let both = [(&before.imap, &after.imap), (&before.smtp, &after.smtp)];
    if told.is_empty() && both.iter().any(|(before, after)| ca(before.as_ref()) != ca(after.as_ref())) {
        "another CA".clone_into(&mut told);
    }
    told
}

fn endpoint(endpoint: Option<&Endpoint>) -> String {
    endpoint.map_or_else(
        || "none".to_owned(),
        |end| {
            let tls = if end.tls == TlsMode::Implicit { "implicit" } else { "starttls" };
            format!("{}:{} {tls}", end.host, end.port)
        },
    )
}
