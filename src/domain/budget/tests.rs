//! Budgets: what is left of two, what covers what, and how they are written.

use proptest::option;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

use super::{Allowance, Amount, Budgeted, Budgets, Span};
use crate::domain::clock::Timestamp;

fn budgets() -> impl Strategy<Value = Budgets> {
    let limit = || option::of((0_u64..5).prop_map(Amount));
    let allowance = move || option::of((limit(), limit()).prop_map(|(hour, day)| Allowance { hour, day }));
    let all = (allowance(), allowance(), allowance(), allowance(), allowance(), option::of(0_u32..5));
    all.prop_map(|(messages_sent, recipients, messages_read, bytes, folders, sessions)| Budgets {
        messages_sent,
        recipients,
        messages_read,
        bytes,
        folders,
        sessions,
        on_exhausted: None,
    })
}

/// Whether so much of each, in each span, is let through.
fn allows(budgets: &Budgets, used: u64) -> Vec<bool> {
    let counted = Budgeted::ALL.into_iter().flat_map(|what| {
        let Allowance { hour, day } = budgets.of(what);
        [hour, day].map(|limit| limit.is_none_or(|limit| used <= limit.0))
    });
    counted.chain([budgets.sessions.is_none_or(|most| used <= u64::from(most))]).collect()
}

proptest! {
    #[test]
    fn what_is_left_of_budgets_is_what_both_allow(one in budgets(), other in budgets(), used in 0_u64..6) {
        let both: Vec<_> = allows(&one, used).into_iter().zip(allows(&other, used)).map(|(a, b)| a && b).collect();
        let left = one.narrow(&other);
        prop_assert_eq!(allows(&left, used), both);
        prop_assert!(one.cover(&left) && other.cover(&left));
    }

    #[test]
    fn budgets_cover_what_allows_no_more(one in budgets(), other in budgets()) {
        let wider = (0..6).all(|used| {
            allows(&one, used).into_iter().zip(allows(&other, used)).all(|(wide, narrow)| wide || !narrow)
        });
        prop_assert_eq!(one.cover(&other), wider);
        // What is asked for and lies within the grant loses nothing.
        if one.hold(&other) {
            for used in 0..6 {
                let asked = allows(&other, used);
                let left = allows(&one.narrow(&other), used);
                let unnamed = allows(&other, u64::MAX);
                prop_assert!(asked.iter().zip(left).zip(unnamed).all(|((asked, left), unnamed)| unnamed || *asked == left));
            }
        }
    }

    #[test]
    fn every_moment_lies_in_one_hour_and_one_day(now in any::<i32>().prop_map(|secs| Timestamp::from_secs(secs.into()))) {
        for span in Span::ALL {
            let begin = span.begin(now);
            prop_assert!(begin <= now && now < begin.plus_millis(span.millis()));
            prop_assert_eq!(span.begin(begin.plus_millis(span.millis() - 1)), begin);
            prop_assert_eq!(span.begin(begin.plus_millis(-1)), begin.plus_millis(-span.millis()));
        }
    }

    #[test]
    fn budgets_are_written_as_they_are_read(one in budgets()) {
        let text = serde_json::to_string(&one).unwrap();
        prop_assert_eq!(serde_json::from_str::<Budgets>(&text).unwrap(), one);
    }
}

#[test]
fn windows_begin_at_whole_hours_and_days_of_utc() {
    let now = Timestamp::parse_rfc3339("2026-11-24T23:59:59.999Z").unwrap();
    assert_eq!(Span::Hour.begin(now).to_rfc3339(), "2026-11-24T23:00:00.000Z");
    assert_eq!(Span::Day.begin(now).to_rfc3339(), "2026-11-24T00:00:00.000Z");
    assert_eq!(Span::Day.begin(now.plus_millis(1)).to_rfc3339(), "2026-11-25T00:00:00.000Z");
}

#[test]
fn a_freeze_at_the_end_is_the_grants_and_stays_when_a_token_is_narrowed() {
    let read = |text: &str| serde_json::from_str::<Budgets>(text).unwrap();
    let (freezing, open) = (read(r#"{"on_exhausted":"freeze","bytes":{"day":9}}"#), read(r#"{"bytes":{"day":9}}"#));
    assert!(freezing.narrow(&open).freeze() && !open.freeze());
    assert!(open.cover(&freezing) && !freezing.cover(&open), "sessions of the old terms do not go on");
    assert!(freezing.hold(&open));
    assert!(!freezing.hold(&freezing) && !freezing.hold(&read(r#"{"on_exhausted":"answer"}"#)));
    assert_eq!(freezing.to_string(), "bytes=9/day on_exhausted=freeze");
}

#[test]
fn budgets_are_strictly_read() {
    let read = |text: &str| serde_json::from_str::<Budgets>(text);
    let whole = r#"{"messages_sent":{"hour":1,"day":2},"bytes":{"day":9007199254740991},"sessions":0}"#;
    assert_eq!(serde_json::to_string(&read(whole).unwrap()).unwrap(), whole);
    assert_eq!(
        read(whole).unwrap().to_string(),
        "messages_sent=1/hour messages_sent=2/day bytes=9007199254740991/day sessions=0"
    );
    for wrong in [
        r#"{"moons":{"hour":1}}"#,
        r#"{"recipients":{"week":1}}"#,
        r#"{"recipients":{"hour":-1}}"#,
        r#"{"recipients":{"hour":1.5}}"#,
        r#"{"recipients":{"hour":"1"}}"#,
        r#"{"recipients":{"hour":null}}"#,
        r#"{"recipients":null}"#,
        r#"{"recipients":5}"#,
        r#"{"bytes":{"day":9007199254740992}}"#,
        r#"{"sessions":4294967296}"#,
        r#"{"sessions":{"hour":1}}"#,
        r#"{"on_exhausted":"thaw"}"#,
        r#"{"on_exhausted":null}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
