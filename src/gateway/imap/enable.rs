//! ENABLE (RFC 5161): what changes the upstream's answers is switched on there when we can read the changed ones, and what the upstream
//! says it switched on is what the tool hears.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::core::Vec1;
use imap_codec::imap_types::extensions::enable::CapabilityEnable;

use crate::gateway::imap::session::Desk;
use crate::gateway::imap::{End, capability, extension, relay, upstream_lost};
use crate::protocol::imap::command;
use crate::protocol::imap::request::Request;

/// What may be switched on.
const KNOWN: [&str; 2] = ["CONDSTORE", "QRESYNC"];

/// What was switched on, and whether an ENABLE is under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Enabled {
    is_asked: bool,
    /// The tool knows mod-sequences: from then on the upstream tells them with flags (RFC 7162 section 3.1).
    pub(super) condstore: bool,
    /// VANISHED stands in place of EXPUNGE.
    pub(super) qresync: bool,
}

impl Enabled {
    /// Takes note of a command that switches mod-sequences on by using them.
    pub(super) fn note(&mut self, request: &Request) {
        let needed = extension::needed(request);
        self.condstore |= needed.iter().any(|name| name == "CONDSTORE" || name == "QRESYNC");
    }
}

pub(super) async fn run(desk: &mut Desk, tag: &str, asked: Vec1<CapabilityEnable<'static>>) -> Result<(), End> {
    let mut wanted = asked.into_inner();
    let can_enable = capability::has(&desk.capabilities, "ENABLE");
    wanted.retain(|name| {
        let name = name.to_string().to_ascii_uppercase();
        can_enable && KNOWN.contains(&name.as_str()) && capability::has(&desk.capabilities, &name)
    });
    let Ok(capabilities) = Vec1::try_from(wanted) else {
        return desk.answer(&format!("* ENABLED\r\n{tag} OK nothing to enable")).await;
    };
    let ours = desk.tag();
    let body = CommandBody::Enable { capabilities };
    let fragments = command::serialise(&ours, body).ok_or_else(upstream_lost)?;
    desk.enabled.is_asked = true;
    desk.wake.is_changed = true;
    if desk.send_upstream(tag, &ours, fragments).await? {
        relay::answer(desk, tag, &ours).await?;
    }
    desk.enabled.is_asked = false;
    Ok(())
}

/// An ENABLED of the upstream, as the tool may see it; `None` when nobody asked.
pub(super) fn enabled(desk: &mut Desk, line: &[u8]) -> Option<String> {
    if !desk.enabled.is_asked {
        return None;
    }
    let text = String::from_utf8_lossy(line).to_ascii_uppercase();
    let names: Vec<&str> = text.split(' ').skip(2).filter(|name| KNOWN.contains(name)).collect();
    desk.enabled.condstore |= !names.is_empty();
    desk.enabled.qresync |= names.contains(&"QRESYNC");
    Some(names.into_iter().fold("* ENABLED".to_owned(), |line, name| format!("{line} {name}")))
}
