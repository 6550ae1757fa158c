//! SEARCH of the sandbox.

use imap_codec::imap_types::search::SearchKey;

use crate::domain::clock::Timestamp;
use crate::sandbox::imap::messages::contains;
use crate::sandbox::state::Message;

/// Whether `message`, which is number `row` of `all` in the open folder, is found by `key`.
pub(super) fn hit(key: &SearchKey<'_>, row: usize, message: &Message, all: &[(usize, Message)]) -> bool {
    let has = |flag: &str| message.flags.iter().any(|known| known == flag);
    let text = || String::from_utf8_lossy(&message.bytes).to_ascii_lowercase();
    let holds = |part: &[u8]| text().contains(&String::from_utf8_lossy(part).to_ascii_lowercase());
    let field = |name: &str, part: &[u8]| {
        let part = String::from_utf8_lossy(part).to_ascii_lowercase();
        let start = format!("{}:", name.to_ascii_lowercase());
        text()
            .split("\r\n\r\n")
            .next()
            .unwrap_or_default()
            .lines()
            .any(|line| line.starts_with(&start) && line.contains(&part))
    };
    // The day as RFC 3339 writes it, which sorts like the day itself.
    let received = || Timestamp::from_secs(message.received_secs).to_rfc3339().chars().take(10).collect::<String>();
    match key {
        SearchKey::All | SearchKey::Old => true,
        SearchKey::And(keys) => keys.as_ref().iter().all(|key| hit(key, row, message, all)),
        SearchKey::Or(left, right) => hit(left, row, message, all) || hit(right, row, message, all),
        SearchKey::Not(key) => !hit(key, row, message, all),
        SearchKey::Seen => has("\\Seen"),
        SearchKey::Unseen => !has("\\Seen"),
        SearchKey::Deleted => has("\\Deleted"),
        SearchKey::Undeleted => !has("\\Deleted"),
        SearchKey::Flagged => has("\\Flagged"),
        SearchKey::Unflagged => !has("\\Flagged"),
        SearchKey::Answered => has("\\Answered"),
        SearchKey::Unanswered => !has("\\Answered"),
        SearchKey::Subject(part) => field("Subject", part.as_ref()),
        SearchKey::From(part) => field("From", part.as_ref()),
        SearchKey::To(part) => field("To", part.as_ref()),
        SearchKey::Header(name, part) => field(&String::from_utf8_lossy(name.as_ref()), part.as_ref()),
        SearchKey::Text(part) | SearchKey::Body(part) => holds(part.as_ref()),
        SearchKey::Uid(set) => contains(set, message.uid, all.last().map_or(0, |(_, last)| last.uid)),
        SearchKey::SequenceSet(set) => {
            let last = all.last().map_or(0, |(row, _)| *row);
            contains(set, u32::try_from(row).unwrap_or(0), u32::try_from(last).unwrap_or(0))
        }
        SearchKey::Larger(size) => message.bytes.len() > usize::try_from(*size).unwrap_or(usize::MAX),
        SearchKey::Smaller(size) => message.bytes.len() < usize::try_from(*size).unwrap_or(usize::MAX),
        SearchKey::Draft => has("\\Draft"),
        SearchKey::Undraft => !has("\\Draft"),
        SearchKey::Keyword(word) => has(word.inner()),
        SearchKey::Unkeyword(word) => !has(word.inner()),
        SearchKey::Cc(part) => field("Cc", part.as_ref()),
        SearchKey::Bcc(part) => field("Bcc", part.as_ref()),
        SearchKey::Since(date) => received() >= date.as_ref().to_string(),
        SearchKey::Before(date) => received() < date.as_ref().to_string(),
        SearchKey::On(date) => received() == date.as_ref().to_string(),
        // What the sandbox cannot tell is not found.
        _ => false,
    }
}
