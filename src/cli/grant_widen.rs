//! `grant widen`: a grant as it is, and more.

use anyhow::{Context, bail, ensure};
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::cli::api::Api;
use crate::cli::budget::{self, Limit};
use crate::cli::grant::Lists;
use crate::cli::manage::segment;
use crate::domain::budget::OnExhausted;

/// Entries to add.
#[derive(Debug, Default, Args)]
#[command(mut_arg("network", |arg| arg.help("A network or address that the tool may come from; may be repeated")))]
pub(super) struct Widen {
    /// The grant's id
    id: String,
    #[command(flatten)]
    lists: Lists,
    /// A SASL mechanism; may be repeated
    #[arg(long)]
    mechanism: Vec<String>,
    /// A larger budget, e.g. recipients=200/hour; may be repeated
    #[arg(long, value_name = "NAME=NUMBER/SPAN", value_parser = budget::limit)]
    budget: Vec<budget::Limit>,
}

impl Widen {
    /// Reads the grant, adds to it, and writes it if nobody changed it meanwhile.
    pub(super) async fn run(self, api: &Api) -> anyhow::Result<Value> {
        let path = format!("/grants/{}", segment(&self.id));
        let grant = api.call(Method::GET, &path, None).await?;
        let version = grant.get("version").and_then(Value::as_str).context("the answer names no version")?.to_owned();
        api.replace(&path, &version, &self.terms(&grant)?).await?;
        api.call(Method::GET, &path, None).await
    }

    fn terms(&self, grant: &Value) -> anyhow::Result<Value> {
        let mut bounds = grant.get("bounds").and_then(Value::as_object).cloned().unwrap_or_default();
        let network = self.lists.network.iter().map(|text| network(text)).collect();
        let lists = Lists { network, ..self.lists.clone() };
        for (name, more) in lists.bounds().into_iter().chain([("mechanisms", &self.mechanism)]) {
            if !more.is_empty() {
                add(&mut bounds, name, more)?;
            }
        }
        for limit in &self.budget {
            raise(&mut bounds, *limit)?;
        }
        let given = grant.get("scope").and_then(Value::as_str).unwrap_or_default();
        let scope: Vec<&str> = given.split(' ').chain(self.lists.scope.iter().map(String::as_str)).collect();
        let nothing = self.lists.scope.is_empty() && Some(&bounds) == grant.get("bounds").and_then(Value::as_object);
        ensure!(
            !nothing,
            "say what to add: --scope, --folder, --sender, --recipient, --network, --protocol, --mechanism or --budget"
        );
        let kept = |name: &str| grant.get(name).cloned().unwrap_or_default();
        Ok(json!({
            "scope": scope.join(" "), "bounds": bounds, "token_ttl_secs": kept("token_ttl_secs"),
            "session_ttl_secs": kept("session_ttl_secs"), "expires_at": kept("expires_at"),
        }))
    }
}

/// Adds to a list. An absent one does not limit, so that an entry in it would narrow; senders are the exception.
fn add(bounds: &mut Map<String, Value>, name: &str, more: &[String]) -> anyhow::Result<()> {
    if name != "senders" && !bounds.contains_key(name) {
        bail!("the grant does not limit {name}: a list would narrow it");
    }
    let list = bounds.entry(name).or_insert_with(|| json!([]));
    let list = list.as_array_mut().with_context(|| format!("{name} is no list"))?;
    for one in more.iter().map(|one| json!(one)) {
        if !list.contains(&one) {
            list.push(one);
        }
    }
    Ok(())
}

/// Sets a limit to more than it is. An absent one does not limit. To be answered only is more than to be frozen.
fn raise(bounds: &mut Map<String, Value>, limit: Limit) -> anyhow::Result<()> {
    let of = bounds.get_mut("budgets");
    let (now, more) = match limit {
        Limit::Then(then) => {
            let now = of.and_then(|of| of.get_mut("on_exhausted")).filter(|now| **now == json!(OnExhausted::Freeze));
            let now = now.filter(|_| then == OnExhausted::Answer);
            *now.context("of a used-up budget, only on_exhausted=answer in the place of freeze widens the grant")? =
                json!(then);
            return Ok(());
        }
        Limit::Sessions(most) => (of.and_then(|of| of.get_mut("sessions")), u64::from(most)),
        Limit::Counted(what, span, amount) => {
            (of.and_then(|of| of.get_mut(what.as_str())?.get_mut(span.as_str())), amount.into())
        }
    };
    match now {
        Some(now) if now.as_u64().is_some_and(|now| now < more) => {
            *now = json!(more);
            Ok(())
        }
        Some(now) if now.is_u64() => bail!("the grant's budget is {now} already: that would not widen it"),
        _ => bail!("the grant has no such budget: one would narrow it"),
    }
}

/// A single address is the network that holds it alone.
fn network(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.to_owned(), |one| ipnet::IpNet::from(one).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Lists, Widen};
    use crate::cli::budget::limit;

    fn widen(lists: Lists) -> Widen {
        Widen { lists, ..Widen::default() }
    }

    #[test]
    fn what_there_is_stays_and_more_comes_to_it() {
        let grant = json!({
            "scope": "mail.read", "bounds": { "folders": ["INBOX"], "networks": ["10.0.0.0/8"] },
            "token_ttl_secs": 60, "session_ttl_secs": 0, "expires_at": null,
        });
        let more = widen(Lists {
            scope: vec!["mail.flag".to_owned()],
            folder: vec!["INBOX".to_owned(), "Archive".to_owned()],
            network: vec!["192.0.2.7".to_owned()],
            ..Lists::default()
        });
        let expected = json!({
            "scope": "mail.read mail.flag",
            "bounds": { "folders": ["INBOX", "Archive"], "networks": ["10.0.0.0/8", "192.0.2.7/32"] },
            "token_ttl_secs": 60, "session_ttl_secs": 0, "expires_at": null,
        });
        assert_eq!(more.terms(&grant).unwrap(), expected);
        let narrows = widen(Lists { recipient: vec!["a@x.test".to_owned()], ..Lists::default() });
        assert!(narrows.terms(&grant).is_err(), "no list of recipients is no limit");
        assert!(Widen::default().terms(&grant).is_err(), "nothing to add");
    }

    #[test]
    fn a_budget_only_grows() {
        let grant = json!({
            "scope": "mail.send", "bounds": { "budgets": {
                "recipients": { "hour": 5, "day": 9 }, "sessions": 2, "on_exhausted": "freeze" } },
            "token_ttl_secs": 60, "session_ttl_secs": 0, "expires_at": null,
        });
        let more = |budgets: &[&str]| {
            let budget = budgets.iter().map(|text| limit(text).unwrap()).collect();
            let terms = Widen { budget, ..Widen::default() }.terms(&grant);
            terms.ok().map(|terms| terms["bounds"]["budgets"].clone())
        };
        let expected = json!({ "recipients": { "hour": 10, "day": 9 }, "sessions": 3, "on_exhausted": "answer" });
        assert_eq!(more(&["recipients=10/hour", "sessions=3", "on_exhausted=answer"]), Some(expected));
        for narrower in [
            "recipients=5/hour",
            "recipients=8/day",
            "sessions=1",
            "bytes=100/day",
            "messages_read=1/hour",
            "on_exhausted=freeze",
        ] {
            assert_eq!(more(&[narrower]), None, "{narrower}");
        }
    }
}
