//! How a session ends: what its upstream connection is good for then, the last word to the tool, and the record.

use crate::domain::session::EndReason;
use crate::gateway::goodbye;
use crate::gateway::imap::End;
use crate::gateway::imap::session::Desk;
use crate::upstream::berths::{Kind, say_goodbye};
use crate::upstream::imap::Connection;

/// What a session leaves behind at its upstream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wake {
    /// Whether a folder is open.
    pub(super) has_folder: bool,
    /// Whether the upstream answers otherwise than after a login: then nobody else can go on with the connection.
    pub(super) is_changed: bool,
    /// Whether the tool has said LOGOUT.
    pub(super) is_leaving: bool,
}

/// Says goodbye to both sides and records the end.
pub(super) async fn finish(desk: Box<Desk>, end: End, reason: &str) {
    let end = if desk.mid_response { End::Quiet } else { end };
    let Desk {
        gatekeeper,
        mut session,
        mut client,
        upstream,
        capabilities,
        mid_command,
        wake,
        mut tally,
        reads,
        pending,
        ..
    } = *desk;
    // Before the last word: a tool that does not read keeps no connection to its mailbox (GW-11).
    if matches!(end, End::Bye(_)) || session.ended().borrow().is_some() {
        gatekeeper.break_off(&session);
    }
    if wake.is_leaving && !wake.is_changed && !mid_command {
        gatekeeper.part_with_imap(Connection { wire: upstream, capabilities }, wake.has_folder).await;
    } else if !mid_command {
        say_goodbye(Kind::Imap, upstream).await;
    } else {
        drop(upstream);
    }
    let queued = client.queued();
    // What needs a database that does not answer comes after the last word.
    let is_unproven = reason == EndReason::Unproven.as_str();
    if !is_unproven {
        let _ = tally.settle(&gatekeeper, &mut session, queued).await;
    }
    goodbye::say(&mut client, end.last_word()).await;
    if is_unproven {
        let _ = tally.settle(&gatekeeper, &mut session, queued).await;
    }
    reads.close(&gatekeeper, &session, pending).await;
    gatekeeper.close(session, reason).await;
    goodbye::linger(&mut client).await;
}
