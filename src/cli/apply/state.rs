//! What is there, as the API tells.

use anyhow::Context;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::api::Api;
use crate::cli::apply::file::Terms;
use crate::domain::address::MailAddress;
use crate::domain::bounds::Bounds;
use crate::domain::client::TokenAlg;
use crate::domain::clock::Timestamp;
use crate::domain::mailbox::Upstream;
use crate::domain::scope::ScopeSet;

pub(super) struct Current {
    pub(super) mailboxes: Vec<Mailbox>,
    pub(super) clients: Vec<Client>,
    pub(super) grants: Vec<Grant>,
}

#[derive(Deserialize)]
pub(super) struct Mailbox {
    pub(super) id: String,
    pub(super) address: MailAddress,
    pub(super) upstream: Upstream,
}

#[derive(Deserialize)]
pub(super) struct Client {
    #[serde(rename = "client_id")]
    pub(super) id: String,
    pub(super) name: String,
    pub(super) token_alg: TokenAlg,
    pub(super) default_mailbox: Option<String>,
    pub(super) version: String,
}

#[derive(Deserialize)]
pub(super) struct Grant {
    pub(super) id: String,
    pub(super) client_id: String,
    pub(super) mailbox_id: String,
    scope: ScopeSet,
    bounds: Bounds,
    token_ttl_secs: u32,
    session_ttl_secs: u32,
    expires_at: Option<String>,
    pub(super) version: String,
}

impl Current {
    pub(super) async fn read(api: &Api) -> anyhow::Result<Self> {
        Ok(Self {
            mailboxes: list(api, "mailboxes").await?,
            clients: list(api, "clients").await?,
            grants: list(api, "grants").await?,
        })
    }

    /// What people call the mailbox with this id; the id where it is gone.
    pub(super) fn mailbox_name<'a>(&'a self, id: &'a str) -> &'a str {
        self.mailboxes.iter().find(|one| one.id == id).map_or(id, |one| one.address.as_str())
    }

    /// The client of a grant, and its mailbox, by name.
    pub(super) fn cell<'a>(&'a self, grant: &'a Grant) -> (&'a str, &'a str) {
        let client = self.clients.iter().find(|one| one.id == grant.client_id);
        (client.map_or(&*grant.client_id, |one| &*one.name), self.mailbox_name(&grant.mailbox_id))
    }
}

impl Grant {
    pub(super) fn terms(&self) -> Terms {
        Terms {
            scopes: self.scope,
            bounds: self.bounds.clone(),
            token_ttl: self.token_ttl_secs,
            session_ttl: self.session_ttl_secs,
            expires: self.expires_at.as_deref().and_then(Timestamp::parse_rfc3339),
        }
    }
}

async fn list<T: DeserializeOwned>(api: &Api, noun: &str) -> anyhow::Result<Vec<T>> {
    let mut answer = api.call(Method::GET, &format!("/{noun}"), None).await?;
    let rows = answer.get_mut(noun).map(serde_json::Value::take).unwrap_or_default();
    serde_json::from_value(rows).with_context(|| format!("the service tells of {noun} what this version cannot read"))
}
