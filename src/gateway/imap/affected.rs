//! Which messages a command is about to change, by UID: the numbers of today mean nothing tomorrow. What is not known already is asked
//! of the upstream first, in words after which the tool's own command still means the same messages.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};

use crate::domain::event::MAX_LIST;
use crate::gateway::imap::session::Desk;
use crate::gateway::imap::{End, own, upstream_lost};
use crate::protocol::imap::uid_set::UidSet;

/// The UIDs in texts of which each fits into a record. `None`: nobody can say.
pub(super) async fn uids(desk: &mut Desk, body: &CommandBody<'_>) -> Result<Option<Vec<String>>, End> {
    let found = match body {
        CommandBody::Store { sequence_set, uid: true, .. }
        | CommandBody::Copy { sequence_set, uid: true, .. }
        | CommandBody::Move { sequence_set, uid: true, .. } => {
            return Ok(Some(present(desk, sequence_set).map_or_else(|| asked(sequence_set), |uids| texts(&uids))));
        }
        CommandBody::Store { sequence_set, .. }
        | CommandBody::Copy { sequence_set, .. }
        | CommandBody::Move { sequence_set, .. } => match standing_at(desk, sequence_set) {
            Some(uids) => Ok(Some(uids)),
            None => Box::pin(own::fetch_uids(desk, &asked(sequence_set).join(","))).await,
        },
        CommandBody::ExpungeUid { sequence_set } => {
            let asked = asked(sequence_set);
            let found = Box::pin(own::search(desk, &format!("DELETED UID {}", asked.join(",")))).await;
            return alive(found).map(|uids| Some(uids.map_or(asked, |uids| texts(&uids))));
        }
        CommandBody::Expunge | CommandBody::Close => Box::pin(own::search(desk, "DELETED")).await,
        _ => return Ok(None),
    };
    Ok(alive(found)?.map(|uids| texts(&uids)))
}

/// The numbers that a command names, as it was said, where it does not name UIDs.
pub(super) fn numbers_of(body: &CommandBody<'_>) -> Option<Vec<String>> {
    match body {
        CommandBody::Store { sequence_set, uid: false, .. }
        | CommandBody::Copy { sequence_set, uid: false, .. }
        | CommandBody::Move { sequence_set, uid: false, .. } => Some(asked(sequence_set)),
        _ => None,
    }
}

/// The tool waits for an answer: nobody else's connection can go on for it.
fn alive<T>(outcome: Result<T, End>) -> Result<T, End> {
    outcome.map_err(|end| if matches!(end, End::Gone) { upstream_lost() } else { end })
}

fn texts(uids: &UidSet) -> Vec<String> {
    uids.texts(MAX_LIST)
}

/// Those of a set of UIDs that are there, where all are known.
fn present(desk: &Desk, asked: &SequenceSet) -> Option<UidSet> {
    let all = desk.folder.as_ref()?.view.whole()?;
    let asked = numbers(asked, all.last()?)?;
    Some(all.minus(&all.minus(&asked)))
}

/// The UIDs of a set of numbers, where they are known.
fn standing_at(desk: &Desk, asked: &SequenceSet) -> Option<UidSet> {
    let view = &desk.folder.as_ref()?.view;
    view.known()?.at(&numbers(asked, view.exists)?)
}

/// A set of which `*` means `last`.
fn numbers(set: &SequenceSet, last: u32) -> Option<UidSet> {
    let one = |number: &SeqOrUid| match number {
        SeqOrUid::Value(number) => Some(number.get()),
        SeqOrUid::Asterisk => Some(last).filter(|last| *last > 0),
    };
    let ranges: Option<Vec<(u32, u32)>> = set
        .0
        .as_ref()
        .iter()
        .map(|part| match part {
            Sequence::Single(number) => Some((one(number)?, one(number)?)),
            Sequence::Range(from, to) => Some((one(from)?.min(one(to)?), one(from)?.max(one(to)?))),
        })
        .collect();
    ranges.map(UidSet::of)
}

/// A set as it was asked for, in texts of which each fits into a record.
fn asked(set: &SequenceSet) -> Vec<String> {
    let one = |number: &SeqOrUid| match number {
        SeqOrUid::Value(number) => number.to_string(),
        SeqOrUid::Asterisk => "*".to_owned(),
    };
    let parts = set.0.as_ref().iter().map(|part| match part {
        Sequence::Single(number) => one(number),
        Sequence::Range(from, to) => format!("{}:{}", one(from), one(to)),
    });
    parts.fold(Vec::new(), |mut texts: Vec<String>, part| {
        match texts.last_mut() {
            Some(text) if text.len() + part.len() < MAX_LIST => text.extend([",", &part]),
            _ => texts.push(part),
        }
        texts
    })
}

#[cfg(test)]
mod tests {
    use imap_codec::imap_types::sequence::SequenceSet;

    use super::{MAX_LIST, asked, numbers};

    fn set(text: &str) -> SequenceSet {
        SequenceSet::try_from(text).unwrap()
    }

    #[test]
    fn a_set_of_any_length_is_told_whole() {
        let text = (1..9000).map(|number| (2 * number).to_string()).collect::<Vec<_>>().join(",") + ",7:*";
        let texts = asked(&set(&text));
        assert!(texts.len() > 1 && texts.iter().all(|text| text.len() <= MAX_LIST));
        assert_eq!(texts.join(","), text);
    }

    #[test]
    fn an_asterisk_is_the_last_one() {
        let read = |text: &str, last: u32| numbers(&set(text), last).map(|numbers| numbers.to_string());
        assert_eq!(read("5:3,9,*", 12).as_deref(), Some("3:5,9,12"));
        assert_eq!((read("7:*", 4).as_deref(), read("*", 0), read("1", 0).as_deref()), (Some("4:7"), None, Some("1")));
    }
}
