//! A tool whose tokens are bound to its key, before the token endpoint and the resource.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::dpop::{Key, Proof};
use super::gateway::{Gateway, Tool};
use super::http::{GRANT, HERE, ask, basic, get, post};
use super::stage::{ADDRESS, ScriptedStage};
use super::wire::Answer;

/// The issuer, on a default port: a tool may name the port or not.
pub(crate) const ISSUER: &str = "https://mail.example.test/oauth";

/// A gateway with a tool whose tokens must be bound, and one that may choose.
pub(crate) struct Scene {
    stage: ScriptedStage,
    pub(crate) bound: Tool,
    pub(crate) free: Tool,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let mut stage = ScriptedStage::set();
        let gateway = &mut stage.gateway;
        let free = gateway.add_tool("free", ADDRESS, "backup");
        let add = ["client", "add", "bound", "--required-binding", "dpop", "--format", "json"];
        let printed: Value = serde_json::from_str(&gateway.manage_ok(&add, b"")).expect("JSON");
        assert_eq!(printed["required_binding"], "dpop");
        let text = |name: &str| printed[name].as_str().expect("a text").to_owned();
        let bound = Tool { id: text("client_id"), secret: text("client_secret") };
        gateway.manage_ok(&["grant", "add", "--client", &bound.id, "--mailbox", ADDRESS, "--preset", "backup"], b"");
        let own = format!("https://localhost:{}/oauth", gateway.port("https"));
        gateway.edit_config(&own, ISSUER);
        gateway.stop();
        gateway.serve();
        Self { stage, bound, free }
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.stage.gateway
    }

    /// The nonce of now, as an answer names it.
    pub(crate) fn nonce(&self) -> String {
        nonce(&self.ask_token(&self.bound, ""))
    }

    /// Asks for a token with these further header lines.
    pub(crate) fn ask_token(&self, tool: &Tool, headers: &str) -> Answer {
        ask(self.gateway(), HERE, post(&format!("{}{headers}", basic(tool)), GRANT))
    }

    /// Asks the resource with these header lines.
    pub(crate) fn ask_resource(&self, headers: &str) -> Answer {
        self.ask_path(HERE, "/oauth/me", headers)
    }

    pub(crate) fn ask_path(&self, source: IpAddr, path: &str, headers: &str) -> Answer {
        ask(self.gateway(), source, get(path).replace("\r\n\r\n", &format!("\r\n{headers}\r\n")))
    }

    /// A token bound to `key`.
    pub(crate) fn token(&self, tool: &Tool, key: &Key, alg: &str) -> String {
        let proof = self.proof(key, alg, None).signed();
        let answer = self.ask_token(tool, &header(&proof));
        assert_eq!((answer.status, &answer.json()["token_type"]), (200, &json!("DPoP")), "{answer:?}");
        answer.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// A good proof: for the token endpoint, or with a token for the resource.
    pub(crate) fn proof<'a>(&self, key: &'a Key, alg: &str, token: Option<&str>) -> Proof<'a> {
        let proof = match token {
            None => key.proof(alg, "POST", &format!("{ISSUER}/token")),
            Some(token) => key.proof(alg, "GET", &format!("{ISSUER}/me")).token(token),
        };
        proof.claim("nonce", self.nonce())
    }
}

/// The header line of a proof.
pub(crate) fn header(proof: &str) -> String {
    format!("DPoP: {proof}\r\n")
}

/// The header lines of a token that is bound, and its proof.
pub(crate) fn shown(token: &str, proof: &str) -> String {
    format!("Authorization: DPoP {token}\r\n{}", header(proof))
}

/// The next nonce.
pub(crate) fn nonce(answer: &Answer) -> String {
    answer.header("dpop-nonce").unwrap_or_else(|| panic!("no nonce: {answer:?}")).to_owned()
}

/// The challenge of one scheme.
pub(crate) fn challenge<'a>(answer: &'a Answer, scheme: &str) -> &'a str {
    let values = answer.headers("www-authenticate");
    let found = values.iter().find(|value| value.starts_with(&format!("{scheme} ")));
    found.unwrap_or_else(|| panic!("no challenge of {scheme}: {answer:?}"))
}
