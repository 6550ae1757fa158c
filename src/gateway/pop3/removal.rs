//! What QUIT does with marked messages: exactly those are removed, by UID, whatever else is there or came meanwhile.

use crate::domain::event::Outcome;
use crate::gateway::pop3::maildrop::{Maildrop, Trouble};
use crate::gateway::pop3::session::Desk;

/// How many ranges of UIDs go into one command.
const MAX_RANGES: usize = 400;

/// Removes the marked messages for good, each lot of them durably recorded first.
pub(super) async fn run(desk: &mut Desk, maildrop: &mut Maildrop) -> Result<(), Trouble> {
    let uids: Vec<u32> =
        maildrop.messages.iter().filter(|message| message.is_marked).map(|message| message.uid).collect();
    if uids.is_empty() {
        return Ok(());
    }
    let (validity, _) = maildrop.enter("SELECT").await?;
    if validity != maildrop.validity {
        // The UIDs are other messages' now.
        return Err(Trouble::Lost);
    }
    for ranges in ranges(&uids).chunks(MAX_RANGES) {
        let set = ranges.join(",");
        let [done, failed] = [Outcome::Success, Outcome::Failure].map(|outcome| desk.removed(maildrop, &set, outcome));
        desk.gatekeeper.record(done).await.map_err(|_| Trouble::Lost)?;
        if let Err(trouble) = remove(maildrop, &set).await {
            // That it failed is said to the tool whether or not it can be recorded.
            let _ = desk.gatekeeper.record(failed).await;
            return Err(trouble);
        }
    }
    Ok(())
}

async fn remove(maildrop: &mut Maildrop, set: &str) -> Result<(), Trouble> {
    for command in [format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)"), format!("UID EXPUNGE {set}")] {
        let tag = maildrop.ask(&command).await?;
        while maildrop.answer(&tag).await?.is_some() {}
    }
    Ok(())
}

/// Ascending UIDs as ranges. One that is not named lies in none of them.
fn ranges(uids: &[u32]) -> Vec<String> {
    let runs = uids.chunk_by(|left, right| left.checked_add(1) == Some(*right));
    let written = runs.filter_map(|run| match run {
        [] => None,
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}:{last}")),
    });
    written.collect()
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn a_range_holds_nothing_that_was_not_named() {
        assert_eq!(ranges(&[1, 2, 3, 5, 7, 8, u32::MAX]), ["1:3", "5", "7:8", "4294967295"]);
        assert!(ranges(&[]).is_empty());
    }
}
