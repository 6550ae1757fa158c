//! The usual scene: a gateway before a real Dovecot (and Postfix), with one mailbox registered.

use std::path::PathBuf;

use tempfile::TempDir;

use super::ca::Ca;
use super::dovecot::Dovecot;
use super::folder;
use super::gateway::{Gateway, Upstream};
use super::postfix::Postfix;
use super::upstream::imap::ScriptedImap;
use super::wire::Wire;

/// The mailbox of most tests.
pub(crate) const ADDRESS: &str = "support@example.test";

/// Its password, which nobody but the vault and the upstream may ever see.
pub(crate) const PASSWORD: &str = "Canary/7f3a+9c1e=upstream\u{00e4}-password";

/// The scene. Fields go in this order, so the gateway ends before its upstreams.
pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) postfix: Option<Postfix>,
    pub(crate) dovecot: Dovecot,
    pub(crate) ca: Ca,
    pub(crate) dir: TempDir,
}

impl Stage {
    /// Reading only: Dovecot, whose INBOX `fill` may seed.
    pub(crate) fn reading(fill: impl FnOnce(&Dovecot)) -> Self {
        Self::set(fill, false)
    }

    /// Reading and sending: Dovecot and Postfix.
    pub(crate) fn sending() -> Self {
        Self::set(|_| (), true)
    }

    fn set(fill: impl FnOnce(&Dovecot), with_postfix: bool) -> Self {
        let dir = folder();
        let ca = Ca::create(&dir.path().join("ca"));
        let dovecot = Dovecot::start(&ca, &[(ADDRESS, PASSWORD)]);
        fill(&dovecot);
        let postfix = with_postfix.then(|| Postfix::start(&ca, &dovecot, &[ADDRESS]));
        let gateway = Gateway::start(&ca);
        let stage = Self { gateway, postfix, dovecot, ca, dir };
        stage.gateway.add_mailbox(ADDRESS, PASSWORD, stage.upstream(), &stage.ca).expect_ok("mailbox add");
        stage
    }

    /// Where the mailbox logs in, with TLS from the start.
    pub(crate) fn upstream(&self) -> Upstream {
        Upstream { imap: self.dovecot.imaps, smtp: self.postfix.as_ref().map(|p| p.smtps), starttls: false }
    }

    /// The same with STARTTLS.
    pub(crate) fn upstream_starttls(&self) -> Upstream {
        Upstream { imap: self.dovecot.imap, smtp: self.postfix.as_ref().map(|p| p.submission), starttls: true }
    }

    /// The mailbox's Maildir.
    pub(crate) fn maildir(&self) -> PathBuf {
        self.dovecot.maildir(ADDRESS)
    }
}

/// A gateway before an upstream that does what a script says. Fields go in this order, so the gateway ends first.
pub(crate) struct ScriptedStage {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: ScriptedImap,
    _dir: TempDir,
}

impl ScriptedStage {
    /// The upstream behaves well so far, and its mailbox is registered.
    pub(crate) fn set() -> Self {
        Self::set_with(|_| ())
    }

    /// The same under settings that `prepare` changes.
    pub(crate) fn set_with(prepare: impl FnOnce(&Gateway)) -> Self {
        let dir = folder();
        let ca = Ca::create(&dir.path().join("ca"));
        let upstream = ScriptedImap::start(&ca);
        let mut gateway = Gateway::prepare(&ca);
        prepare(&gateway);
        gateway.serve();
        let ports = Upstream { imap: upstream.port, smtp: None, starttls: false };
        gateway.add_mailbox(ADDRESS, PASSWORD, ports, &ca).expect_ok("mailbox add");
        Self { gateway, upstream, _dir: dir }
    }

    /// A token under a grant of `preset`.
    pub(crate) fn token(&self, preset: &str) -> String {
        let tool = self.gateway.add_tool(preset, ADDRESS, preset);
        self.gateway.token(&tool, ADDRESS)
    }

    /// A session with INBOX open.
    pub(crate) fn session(&self, token: &str) -> Wire {
        let mut imap = self.gateway.imap_session(ADDRESS, token);
        imap.command_ok("open", "SELECT INBOX");
        imap
    }
}
