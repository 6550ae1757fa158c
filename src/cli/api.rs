//! The HTTP API as the command line sees it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::agent::https;

/// Where the API is and who asks.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// Base URL of the service
    #[arg(long, env = "MAILWARDEN_URL", global = true, default_value = "https://localhost:8443")]
    pub(super) url: String,
    /// PEM file with the CA of its certificate
    #[arg(long, env = "MAILWARDEN_CA", global = true)]
    pub(super) ca: Option<PathBuf>,
}

/// A client of the API.
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
    token: zeroize::Zeroizing<String>,
}

impl Api {
    pub(super) fn new(target: &Target) -> anyhow::Result<Self> {
        let token = crate::config::environment()
            .into_iter()
            .find(|(name, _)| name == "MAILWARDEN_OPERATOR_TOKEN")
            .map(|(_, value)| zeroize::Zeroizing::new(value))
            .context("set MAILWARDEN_OPERATOR_TOKEN in the environment; `mailwarden init` printed it")?;
        let base = base(&target.url)?;
        let client = https::client(target.ca.as_deref())?;
        Ok(Self { client, base, token })
    }

    /// Sends a request; gives the JSON of the answer, or its `detail` as the error.
    pub(super) async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method, &url).bearer_auth(self.token.as_str());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let text = self.send(request).await?.text().await?;
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }

    /// Replaces something, if it still is the version that was read.
    pub(super) async fn replace(&self, path: &str, version: &str, body: &Value) -> anyhow::Result<()> {
        let request = self.client.put(format!("{}{path}", self.base)).bearer_auth(self.token.as_str());
        self.send(request.header(reqwest::header::IF_MATCH, format!("\"{version}\"")).json(body)).await?;
        Ok(())
    }

    /// Opens an answer that is read piece by piece.
    pub(super) async fn open(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        self.send(self.client.get(format!("{}{path}", self.base)).bearer_auth(self.token.as_str())).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        let response = request.send().await.map_err(|error| {
            anyhow::anyhow!("cannot reach {}: check --url and --ca ({})", self.base, error.without_url())
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await?;
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        match problem.get("detail").and_then(Value::as_str) {
            Some(detail) => bail!("{detail}"),
            None => bail!("the service answered {status}"),
        }
    }
}

/// Where the API is.
fn base(url: &str) -> anyhow::Result<String> {
    Ok(format!("{}/api/v1", https::origin(url)?))
}

#[cfg(test)]
mod tests {
    use super::base;

    #[test]
    fn the_token_goes_nowhere_but_to_an_https_origin() {
        for good in ["https://mail-gw.example.com", "https://localhost:8443/", "https://[::1]:8443"] {
            assert_eq!(base(good).unwrap(), format!("{}/api/v1", good.trim_end_matches('/')));
        }
        for (bad, word) in [
            ("http://mail-gw.example.com", "clear"),
            ("ftp://mail-gw.example.com", "https"),
            ("mail-gw.example.com", "URL"),
            ("https://", "URL"),
            ("https://admin:mwo_x@mail-gw.example.com", "password"),
            ("https://mail-gw.example.com@evil.example", "user name"),
            ("https://mail-gw.example.com/api/v1", "behind"),
            ("https://mail-gw.example.com/?a", "behind"),
            ("https://mail-gw.example.com/#a", "behind"),
        ] {
            let said = format!("{:#}", base(bad).unwrap_err());
            assert!(said.contains(word) && !said.contains("mwo_x"), "{bad}: {said}");
        }
    }
}
