//! Removing for one tool alone (`pop3_delete = "virtual"`): what it marked is kept out of its sight in later sessions, and nothing
//! happens at the upstream.

use crate::domain::uid_range::UidRange;
use crate::gateway::gatekeeper::{Gatekeeper, Session};
use crate::gateway::pop3::maildrop::Maildrop;
use crate::registry::RegistryError;

/// Most ranges that are kept of one tool and mailbox.
const MAX_RANGES: usize = 10_000;

/// Takes what the tool has removed in earlier sessions out of a maildrop. Forgets what is not there any more, and what was said of a
/// folder that has been made anew since.
pub(super) async fn apply(
    gatekeeper: &Gatekeeper,
    session: &Session,
    maildrop: &mut Maildrop,
) -> Result<(), RegistryError> {
    let grant = &session.info.grant_id;
    let kept = gatekeeper.registry().hidden(grant).await?;
    if kept.is_empty() {
        return Ok(());
    }
    let uids: Vec<u32> = maildrop.messages.iter().map(|message| message.uid).collect();
    let is_there = |range: &&UidRange| range.validity == maildrop.validity && range.holds_any(&uids);
    maildrop.hidden = kept.iter().filter(is_there).copied().collect();
    if maildrop.hidden.len() < kept.len() {
        gatekeeper.registry().hide(grant, &kept, &maildrop.hidden).await?;
    }
    // Messages and ranges ascend; ranges overlap where two sessions ended together.
    let (mut ranges, mut reach) = (maildrop.hidden.iter().peekable(), 0);
    maildrop.messages.retain(|message| {
        while let Some(range) = ranges.next_if(|range| range.first <= message.uid) {
            reach = reach.max(range.last);
        }
        message.uid > reach
    });
    Ok(())
}

/// Keeps what is marked out of sight from now on. `false` when that would take more than is kept.
pub(super) async fn keep(
    gatekeeper: &Gatekeeper,
    session: &Session,
    maildrop: &mut Maildrop,
) -> Result<bool, RegistryError> {
    let (mut ranges, mut left) = (maildrop.hidden.clone(), Vec::new());
    for message in &maildrop.messages {
        if message.is_marked {
            ranges.push(UidRange { validity: maildrop.validity, first: message.uid, last: message.uid });
        } else {
            left.push(message.uid);
        }
    }
    if ranges.len() == maildrop.hidden.len() {
        return Ok(true);
    }
    let merged = UidRange::merged(&ranges, &left);
    if merged.len() > MAX_RANGES {
        return Ok(false);
    }
    gatekeeper.registry().hide(&session.info.grant_id, &maildrop.hidden, &merged).await?;
    Ok(true)
}
