//! Budgets: how much may be used up under a grant in an hour and in a day, and how many sessions it may have at a time.
//!
//! Hours and days are those of UTC, and nothing is carried over: in no hour is more used than the hour's limit. What is counted is what
//! sessions use that have such a budget; a token that was narrowed counts on its grant's own counters.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::details::present;

/// The most that can be said: what every JSON reader holds exactly.
const MAX_AMOUNT: u64 = (1 << 53) - 1;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Budgeted {
    /// Messages handed to the upstream for delivery.
    MessagesSent,
    /// Recipients that the upstream took.
    Recipients,
    /// Answers with the body of a message, or a part of it.
    MessagesRead,
    /// Octets of content, in either direction.
    Bytes,
    /// Different folders that were opened.
    Folders,
}

impl Budgeted {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::MessagesSent, Self::Recipients, Self::MessagesRead, Self::Bytes, Self::Folders];

    /// The word in JSON, SQL and the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MessagesSent => "messages_sent",
            Self::Recipients => "recipients",
            Self::MessagesRead => "messages_read",
            Self::Bytes => "bytes",
            Self::Folders => "folders",
        }
    }
}

/// For how long is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// An hour of UTC.
    Hour,
    /// A day of UTC.
    Day,
}

impl Span {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// The word in JSON and the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Its length.
    pub fn millis(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// When the one began that `now` lies in.
    pub fn begin(self, now: Timestamp) -> Timestamp {
        Timestamp(now.0 - now.0.rem_euclid(self.millis()))
    }

    /// When it ends, and the next one begins.
    pub fn end(self, now: Timestamp) -> Timestamp {
        self.begin(now).plus_millis(self.millis())
    }
}

/// What was used under one grant in the hour and the day of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The time.
    pub at: Timestamp,
    counters: Vec<(Budgeted, Span, u64)>,
}

impl Used {
    /// What the counters hold; what is not named was not used.
    pub fn new(at: Timestamp, counters: Vec<(Budgeted, Span, u64)>) -> Self {
        Self { at, counters }
    }

    /// How much of `what` in `span`.
    pub fn of(&self, what: Budgeted, span: Span) -> u64 {
        let of = |(counted, in_span, _): &&(Budgeted, Span, u64)| (*counted, *in_span) == (what, span);
        self.counters.iter().find(of).map_or(0, |(_, _, used)| *used)
    }
}

/// What happens when a grant's budget is used up for the first time in an hour or day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnExhausted {
    /// The tool is refused what goes beyond it.
    Answer,
    /// Beside that its client is frozen in this mailbox (`cut`), until an operator ends it.
    Freeze,
}

impl OnExhausted {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Answer, Self::Freeze];

    /// The word in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Freeze => "freeze",
        }
    }
}

/// A number of things; 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Amount(u64);

impl TryFrom<u64> for Amount {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if number <= MAX_AMOUNT { Ok(Self(number)) } else { Err("a budget is at most 9007199254740991") }
    }
}

impl From<Amount> for u64 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

/// How much of one thing; an absent limit does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    /// In an hour of UTC.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    pub hour: Option<Amount>,
    /// In a day of UTC.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    pub day: Option<Amount>,
}

impl Allowance {
    /// The limits that there are.
    pub fn limits(self) -> impl Iterator<Item = (Span, u64)> {
        let both = [(Span::Hour, self.hour), (Span::Day, self.day)];
        both.into_iter().filter_map(|(span, limit)| Some((span, limit?.0)))
    }

    /// Whether it limits anything.
    pub fn is_limit(self) -> bool {
        self.hour.is_some() || self.day.is_some()
    }

    fn both(self, other: Self, join: impl Fn(Option<Amount>, Option<Amount>) -> Option<Amount>) -> Self {
        Self { hour: join(self.hour, other.hour), day: join(self.day, other.day) }
    }
}

/// What may be used up under a grant. An absent member does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// Messages submitted.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub messages_sent: Option<Allowance>,
    /// Recipients of submitted messages.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub recipients: Option<Allowance>,
    /// Message bodies, or parts of them, fetched.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub messages_read: Option<Allowance>,
    /// Octets of content fetched, added and submitted.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bytes: Option<Allowance>,
    /// Different folders opened.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub folders: Option<Allowance>,
    /// Sessions at a time, on all nodes together.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sessions: Option<u32>,
    /// What happens when one of these is used up, but for `sessions`; in a grant only. Absent: `answer`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub on_exhausted: Option<OnExhausted>,
}

impl Budgets {
    /// How much of `what`.
    pub fn of(&self, what: Budgeted) -> Allowance {
        match what {
            Budgeted::MessagesSent => self.messages_sent,
            Budgeted::Recipients => self.recipients,
            Budgeted::MessagesRead => self.messages_read,
            Budgeted::Bytes => self.bytes,
            Budgeted::Folders => self.folders,
        }
        .unwrap_or_default()
    }

    /// Whether anything has to be counted.
    pub fn is_counted(&self) -> bool {
        Budgeted::ALL.into_iter().any(|what| self.of(what).is_limit())
    }

    /// Whether the client is frozen when one of them is used up.
    pub fn freeze(&self) -> bool {
        self.on_exhausted == Some(OnExhausted::Freeze)
    }

    /// Whether all that `other` lets be used may be used here too, and as often.
    pub fn cover(&self, other: &Self) -> bool {
        (other.freeze() || !self.freeze())
            && self.fits(other, |wide, narrow| wide.is_none_or(|wide| narrow.is_some_and(|narrow| narrow <= wide)))
    }

    /// Whether each limit that `asked` names lies within the one here. What happens at the end of one is not for a tool to say.
    pub fn hold(&self, asked: &Self) -> bool {
        asked.on_exhausted.is_none()
            && self
                .fits(asked, |granted, asked| asked.is_none_or(|asked| granted.is_none_or(|granted| asked <= granted)))
    }

    fn fits(&self, other: &Self, fits: impl Fn(Option<u64>, Option<u64>) -> bool) -> bool {
        let number = |amount: Option<Amount>| amount.map(u64::from);
        Budgeted::ALL.into_iter().all(|what| {
            let (one, other) = (self.of(what), other.of(what));
            fits(number(one.hour), number(other.hour)) && fits(number(one.day), number(other.day))
        }) && fits(self.sessions.map(u64::from), other.sessions.map(u64::from))
    }

    /// The smaller of the two at each limit.
    #[must_use]
    pub fn narrow(&self, asked: &Self) -> Self {
        let both = |what| {
            let less = self.of(what).both(asked.of(what), least);
            less.is_limit().then_some(less)
        };
        Self {
            messages_sent: both(Budgeted::MessagesSent),
            recipients: both(Budgeted::Recipients),
            messages_read: both(Budgeted::MessagesRead),
            bytes: both(Budgeted::Bytes),
            folders: both(Budgeted::Folders),
            sessions: least(self.sessions, asked.sessions),
            on_exhausted: self.on_exhausted.max(asked.on_exhausted),
        }
    }

    /// What limits sending alone.
    #[must_use]
    pub fn for_sending(self) -> Self {
        Self { messages_read: None, folders: None, ..self }
    }

    /// What limits everything but sending.
    #[must_use]
    pub fn for_reading(self) -> Self {
        Self { messages_sent: None, recipients: None, ..self }
    }

    /// The same limits, each with what is left where `used` was used.
    #[must_use]
    pub fn less(&self, used: &Used) -> Self {
        let left = |what| {
            let less =
                |span, limit: Option<Amount>| limit.map(|limit| Amount(limit.0.saturating_sub(used.of(what, span))));
            let Allowance { hour, day } = self.of(what);
            let left = Allowance { hour: less(Span::Hour, hour), day: less(Span::Day, day) };
            left.is_limit().then_some(left)
        };
        Self {
            messages_sent: left(Budgeted::MessagesSent),
            recipients: left(Budgeted::Recipients),
            messages_read: left(Budgeted::MessagesRead),
            bytes: left(Budgeted::Bytes),
            folders: left(Budgeted::Folders),
            sessions: None,
            on_exhausted: None,
        }
    }
}

/// The smaller of two limits; an absent one does not limit.
fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl fmt::Display for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = Budgeted::ALL.into_iter().flat_map(|what| {
            let limits = self.of(what).limits();
            limits.map(move |(span, limit)| format!("{}={limit}/{}", what.as_str(), span.as_str()))
        });
        let sessions = self.sessions.map(|most| format!("sessions={most}"));
        let then = self.on_exhausted.map(|then| format!("on_exhausted={}", then.as_str()));
        f.write_str(&counted.chain(sessions).chain(then).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests;
