//! A gateway before upstreams for reading and sending that do as they are told, with a tool that may do everything.

use tempfile::TempDir;

use super::ca::Ca;
use super::folder;
use super::gateway::{Gateway, Tool, Upstream, plain};
use super::smtp_upstream::{Act, SmtpUpstream};
use super::stage::{ADDRESS, PASSWORD};
use super::submission::say;
use super::upstream::imap::ScriptedImap;
use super::wire::{Answer, Wire};

/// The scene. Fields go in this order, so the gateway ends before its upstreams.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) imap: ScriptedImap,
    pub(crate) smtp: SmtpUpstream,
    pub(crate) tool: Tool,
    pub(crate) token: String,
    pub(crate) ca: Ca,
    _dir: TempDir,
}

impl Scene {
    pub(crate) fn set() -> Self {
        let dir = folder();
        let ca = Ca::create(&dir.path().join("ca"));
        let (imap, smtp) = (ScriptedImap::start(&ca), SmtpUpstream::start(&ca, |_| Act::Well));
        let gateway = Gateway::start(&ca);
        let upstream = Upstream { imap: imap.port, smtp: Some(smtp.port), starttls: false };
        gateway.add_mailbox(ADDRESS, PASSWORD, upstream, &ca).expect_ok("mailbox add");
        let tool = gateway.add_tool("frozen", ADDRESS, "full");
        let token = gateway.token(&tool, ADDRESS);
        Self { gateway, imap, smtp, tool, token, ca, _dir: dir }
    }

    /// Freezes with these arguments; gives the freeze's id.
    pub(crate) fn freeze(&self, args: &[&str]) -> String {
        let all = [&["freeze"], args, &["--reason", "a drill", "--format", "json"]].concat();
        let printed = self.gateway.manage_ok(&all, b"");
        let freeze: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        freeze["id"].as_str().expect("an id").to_owned()
    }

    /// The freezes in force.
    pub(crate) fn freezes(&self) -> Vec<serde_json::Value> {
        let printed = self.gateway.manage_ok(&["freeze", "list", "--format", "json"], b"");
        let list: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        list["freezes"].as_array().expect("freezes").clone()
    }

    /// An IMAP session with INBOX open for writing.
    pub(crate) fn imap_session(&self) -> Wire {
        let mut imap = self.gateway.imap_session(ADDRESS, &self.token);
        imap.command_ok("open", "SELECT INBOX");
        imap
    }

    /// A submission session past AUTH.
    pub(crate) fn smtp_session(&self) -> Wire {
        let mut smtp = self.smtp_door();
        say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, &self.token)), "235");
        smtp
    }

    /// A submission connection before AUTH.
    pub(crate) fn smtp_door(&self) -> Wire {
        let mut smtp = Wire::connect(self.gateway.port("smtps"), self.gateway.ca_file());
        assert_eq!(smtp.reply()[0].get(..3), Some("220"));
        say(&mut smtp, "EHLO tool.example.test", "250");
        smtp
    }

    /// What the token endpoint says when this tool asks for a signed token, or for a handle of a protocol.
    pub(crate) fn ask(&self, tool: &Tool, protocol: Option<&str>) -> Answer {
        let mut form = format!("grant_type=client_credentials&resource=mailto:{ADDRESS}");
        if let Some(protocol) = protocol {
            form.push_str(&format!(
                "&protocol={protocol}&requested_token_type=urn:mailwarden:params:oauth:token-type:handle"
            ));
        }
        self.gateway.token_answer(tool, &form).expect("an answer")
    }

    /// How many records of this code there are.
    pub(crate) fn recorded(&self, code: &str) -> Vec<serde_json::Value> {
        self.gateway.audit().into_iter().filter(|event| event["code"] == code).collect()
    }
}
