//! A tool at the token endpoint, and what is the same in all that it hears there.

use std::net::IpAddr;

use super::gateway::Tool;
use super::http::{HERE, ask, basic, post};
use super::stage::{ADDRESS, Stage};
use super::wire::Answer;

/// A gateway with one mailbox and a tool that may read and send there.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) tool: Tool,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let stage = Stage::reading(|_| ());
        let tool = stage.gateway.add_client("tool");
        let scopes = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "archive"];
        stage.gateway.manage_ok(&scopes, b"");
        Self { stage, tool }
    }

    pub(crate) fn ask(&self, source: IpAddr, request: impl AsRef<[u8]>) -> Answer {
        ask(&self.stage.gateway, source, request)
    }

    /// Asks with client_secret_basic.
    pub(crate) fn form(&self, form: &str) -> Answer {
        self.ask(HERE, post(&basic(&self.tool), form))
    }
}

/// The answer is JSON that nobody may keep.
pub(crate) fn not_kept(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert!(answer.json().is_object());
}
