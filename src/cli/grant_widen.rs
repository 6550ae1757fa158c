//! `grant widen`: a grant as it is, and more.

use anyhow::{Context, bail, ensure};
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::cli::api::Api;
use crate::cli::manage::segment;

/// Entries to add.
#[derive(Debug, Args)]
pub(super) struct Widen {
    /// The grant's id
    id: String,
    /// A scope; may be repeated
    #[arg(long)]
    scope: Vec<String>,
    /// A folder, or FOLDER/* for everything below; may be repeated
    #[arg(long)]
    folder: Vec<String>,
    /// An address or @domain that mail may come from; may be repeated
    #[arg(long)]
    sender: Vec<String>,
    /// An address or @domain that mail may go to; may be repeated
    #[arg(long)]
    recipient: Vec<String>,
    /// A network or address that the tool may come from; may be repeated
    #[arg(long)]
    network: Vec<String>,
    /// imap or smtp; may be repeated
    #[arg(long)]
    protocol: Vec<String>,
    /// A SASL mechanism; may be repeated
    #[arg(long)]
    mechanism: Vec<String>,
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
        let networks: Vec<String> = self.network.iter().map(|text| network(text)).collect();
        for (name, more) in [
            ("folders", &self.folder),
            ("senders", &self.sender),
            ("recipients", &self.recipient),
            ("networks", &networks),
            ("protocols", &self.protocol),
            ("mechanisms", &self.mechanism),
        ] {
            if !more.is_empty() {
                add(&mut bounds, name, more)?;
            }
        }
        let given = grant.get("scope").and_then(Value::as_str).unwrap_or_default();
        let scope: Vec<&str> = given.split(' ').chain(self.scope.iter().map(String::as_str)).collect();
        let nothing = self.scope.is_empty() && Some(&bounds) == grant.get("bounds").and_then(Value::as_object);
        ensure!(
            !nothing,
            "say what to add: --scope, --folder, --sender, --recipient, --network, --protocol or --mechanism"
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

/// A single address is the network that holds it alone.
fn network(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.to_owned(), |one| ipnet::IpNet::from(one).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Widen;

    fn widen() -> Widen {
        let none = Vec::new;
        Widen {
            id: "gra_1".to_owned(),
            scope: none(),
            folder: none(),
            sender: none(),
            recipient: none(),
            network: none(),
            protocol: none(),
            mechanism: none(),
        }
    }

    #[test]
    fn what_there_is_stays_and_more_comes_to_it() {
        let grant = json!({
            "scope": "mail.read", "bounds": { "folders": ["INBOX"], "networks": ["10.0.0.0/8"] },
            "token_ttl_secs": 60, "session_ttl_secs": 0, "expires_at": null,
        });
        let more = Widen {
            scope: vec!["mail.flag".to_owned()],
            folder: vec!["INBOX".to_owned(), "Archive".to_owned()],
            network: vec!["192.0.2.7".to_owned()],
            ..widen()
        };
        let expected = json!({
            "scope": "mail.read mail.flag",
            "bounds": { "folders": ["INBOX", "Archive"], "networks": ["10.0.0.0/8", "192.0.2.7/32"] },
            "token_ttl_secs": 60, "session_ttl_secs": 0, "expires_at": null,
        });
        assert_eq!(more.terms(&grant).unwrap(), expected);
        let narrows = Widen { recipient: vec!["a@x.test".to_owned()], ..widen() };
        assert!(narrows.terms(&grant).is_err(), "no list of recipients is no limit");
        assert!(widen().terms(&grant).is_err(), "nothing to add");
    }
}
