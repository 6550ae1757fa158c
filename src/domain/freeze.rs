//! A freeze: the graded kill switch. It stops what its level says, for the clients, mailboxes and protocols that it reaches, until an
//! operator ends it or its time is over.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{ClientId, FreezeId, MailboxId};
use crate::domain::session::Protocol;

/// What a tool is about to do, as far as a freeze may stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// To take an access token or a handle.
    TakeToken,
    /// To open a session.
    OpenSession,
    /// To change something in the mailbox, or to send.
    Change,
    /// To go on with a session that runs.
    GoOn,
}

/// How much a freeze stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nobody gets a token or handle; what there is works on.
    NoNewTokens,
    /// Nothing is changed and no mail is sent; reading goes on, also in running sessions.
    ReadOnly,
    /// No tokens and no new sessions; those that run may finish.
    Drain,
    /// Nothing new, and what runs ends at once.
    Cut,
}

impl Level {
    /// All of them, the mildest first.
    pub const ALL: [Self; 4] = [Self::NoNewTokens, Self::ReadOnly, Self::Drain, Self::Cut];

    /// The word in JSON, SQL and audit events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoNewTokens => "no-new-tokens",
            Self::ReadOnly => "read-only",
            Self::Drain => "drain",
            Self::Cut => "cut",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }

    /// Whether it stops this.
    pub fn stops(self, act: Act) -> bool {
        match act {
            Act::TakeToken => matches!(self, Self::NoNewTokens | Self::Drain | Self::Cut),
            Act::OpenSession => matches!(self, Self::Drain | Self::Cut),
            Act::Change => matches!(self, Self::ReadOnly | Self::Cut),
            Act::GoOn => self == Self::Cut,
        }
    }
}

/// Whom a freeze reaches: what is named, all of it at once; nothing named is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Only this client.
    pub client: Option<ClientId>,
    /// Only in this mailbox.
    pub mailbox: Option<MailboxId>,
    /// Only by this protocol.
    pub protocol: Option<Protocol>,
}

impl Target {
    /// Whether it reaches this client in this mailbox by this protocol.
    pub fn reaches(&self, client: &ClientId, mailbox: &MailboxId, protocol: Protocol) -> bool {
        self.reaches_some(client, mailbox) && self.protocol.is_none_or(|only| only == protocol)
    }

    /// Whether it reaches this client in this mailbox by some protocol.
    pub fn reaches_some(&self, client: &ClientId, mailbox: &MailboxId) -> bool {
        self.client.as_ref().is_none_or(|only| only == client)
            && self.mailbox.as_ref().is_none_or(|only| only == mailbox)
    }

    /// Whether it reaches whatever protocol this client uses in this mailbox.
    pub fn reaches_all(&self, client: &ClientId, mailbox: &MailboxId) -> bool {
        self.protocol.is_none() && self.reaches_some(client, mailbox)
    }
}

/// One freeze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// Its id.
    pub id: FreezeId,
    /// What it stops.
    pub level: Level,
    /// Whom it reaches.
    pub target: Target,
    /// Why it was made.
    pub reason: String,
    /// Who made it: an operator's id, or `system`.
    pub made_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub thaws_at: Option<Timestamp>,
}

impl Freeze {
    /// Longest that one may be told to last: 30 days.
    pub const MAX_SECS: i64 = 2_592_000;

    /// Whether it stops anything at `now`.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.thaws_at.is_none_or(|end| now < end)
    }
}

/// The freezes that are there, each asked for itself: the strictest wins per question.
#[derive(Clone, Debug, Default)]
pub struct Freezes(Vec<Freeze>);

impl Freezes {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Freeze> {
        self.0.iter()
    }

    /// The strictest freeze that stops `act` of this client in this mailbox by this protocol.
    pub fn stopping(
        &self,
        act: Act,
        (client, mailbox, protocol): (&ClientId, &MailboxId, Protocol),
        now: Timestamp,
    ) -> Option<&Freeze> {
        self.strictest(act, now, |target| target.reaches(client, mailbox, protocol))
    }

    /// The strictest freeze that keeps this client from a token for this mailbox which works by any of `protocols`; `None`: by all that
    /// there are. A token is refused when each of its protocols is frozen.
    pub fn stopping_token(
        &self,
        client: &ClientId,
        mailbox: &MailboxId,
        protocols: Option<&[Protocol]>,
        now: Timestamp,
    ) -> Option<&Freeze> {
        let whatever = self.stopping_all(Act::TakeToken, (client, mailbox), now);
        let each = || {
            let by = |protocol: &Protocol| self.stopping(Act::TakeToken, (client, mailbox, *protocol), now);
            let stopped: Option<Vec<&Freeze>> = protocols?.iter().map(by).collect();
            stopped?.into_iter().min_by_key(|freeze| freeze.level)
        };
        whatever.or_else(each)
    }

    /// The strictest freeze that stops `act` of this client in this mailbox, whatever protocol it uses.
    pub fn stopping_all(
        &self,
        act: Act,
        (client, mailbox): (&ClientId, &MailboxId),
        now: Timestamp,
    ) -> Option<&Freeze> {
        self.strictest(act, now, |target| target.reaches_all(client, mailbox))
    }

    fn strictest(&self, act: Act, now: Timestamp, reaches: impl Fn(&Target) -> bool) -> Option<&Freeze> {
        let stops = |freeze: &&Freeze| freeze.level.stops(act) && freeze.is_in_force(now) && reaches(&freeze.target);
        self.0.iter().filter(stops).max_by_key(|freeze| freeze.level)
    }
}

impl FromIterator<Freeze> for Freezes {
    fn from_iter<I: IntoIterator<Item = Freeze>>(freezes: I) -> Self {
        Self(freezes.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Act, Freeze, Freezes, Level, Target};
    use crate::domain::clock::Timestamp;
    use crate::domain::id::{ClientId, MailboxId};
    use crate::domain::session::Protocol;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn ids() -> (ClientId, MailboxId) {
        ("cli_000000000001".parse().unwrap(), "mbx_000000000001".parse().unwrap())
    }

    fn freeze(number: u8, level: Level, target: Target) -> Freeze {
        let id = format!("frz_00000000000{number}").parse().unwrap();
        let (reason, made_by) = ("a test".to_owned(), "system".to_owned());
        Freeze { id, level, target, reason, made_by, created_at: NOW, thaws_at: None }
    }

    #[test]
    fn each_level_stops_what_it_says() {
        let acts = [Act::TakeToken, Act::OpenSession, Act::Change, Act::GoOn];
        let grid = Level::ALL.map(|level| acts.map(|act| level.stops(act)));
        assert_eq!(
            grid,
            [
                [true, false, false, false],
                [false, false, true, false],
                [true, true, false, false],
                [true, true, true, true]
            ]
        );
        for level in Level::ALL {
            assert_eq!(Level::parse(level.as_str()), Some(level));
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
        assert_eq!(Level::parse("frozen"), None);
    }

    #[test]
    fn a_target_reaches_what_it_names_and_nothing_else() {
        let (client, mailbox) = ids();
        let (other, elsewhere): (ClientId, MailboxId) =
            ("cli_000000000002".parse().unwrap(), "mbx_000000000002".parse().unwrap());
        let all = Target::default();
        let narrow =
            Target { client: Some(client.clone()), mailbox: Some(mailbox.clone()), protocol: Some(Protocol::Smtp) };
        assert!(all.reaches(&client, &mailbox, Protocol::Imap) && all.reaches(&other, &elsewhere, Protocol::Smtp));
        assert!(narrow.reaches(&client, &mailbox, Protocol::Smtp));
        for (client, mailbox, protocol) in [
            (&other, &mailbox, Protocol::Smtp),
            (&client, &elsewhere, Protocol::Smtp),
            (&client, &mailbox, Protocol::Imap),
        ] {
            assert!(!narrow.reaches(client, mailbox, protocol));
        }
    }

    #[test]
    fn the_strictest_freeze_wins_per_question() {
        let (client, mailbox) = ids();
        let place = (&client, &mailbox, Protocol::Imap);
        let named = |protocol| Target { protocol: Some(protocol), ..Target::default() };
        let all: Freezes = [
            freeze(1, Level::NoNewTokens, Target::default()),
            freeze(2, Level::ReadOnly, named(Protocol::Imap)),
            freeze(3, Level::Drain, named(Protocol::Imap)),
            freeze(4, Level::Cut, named(Protocol::Smtp)),
        ]
        .into_iter()
        .collect();
        let level = |act| all.stopping(act, place, NOW).map(|freeze| freeze.level);
        assert_eq!(level(Act::TakeToken), Some(Level::Drain));
        assert_eq!(level(Act::OpenSession), Some(Level::Drain));
        assert_eq!(level(Act::Change), Some(Level::ReadOnly));
        assert_eq!(level(Act::GoOn), None);
    }

    #[test]
    fn a_token_is_refused_when_each_of_its_protocols_is_frozen() {
        let (client, mailbox) = ids();
        let named = |protocol| Target { protocol: Some(protocol), ..Target::default() };
        let smtp: Freezes = [freeze(1, Level::Drain, named(Protocol::Smtp))].into_iter().collect();
        let refused = |freezes: &Freezes, protocols: Option<&[Protocol]>| {
            freezes.stopping_token(&client, &mailbox, protocols, NOW).is_some()
        };
        assert!(!refused(&smtp, None), "it works by IMAP");
        assert!(!refused(&smtp, Some(&[Protocol::Imap, Protocol::Smtp])));
        assert!(refused(&smtp, Some(&[Protocol::Smtp])));
        let all: Freezes = [freeze(1, Level::NoNewTokens, Target::default())].into_iter().collect();
        assert!(refused(&all, None) && refused(&all, Some(&[Protocol::Imap])));
        let reading: Freezes = [freeze(1, Level::ReadOnly, Target::default())].into_iter().collect();
        assert!(!refused(&reading, None));
    }

    #[test]
    fn a_freeze_ends_by_itself_on_time() {
        let (client, mailbox) = ids();
        let timed = Freeze { thaws_at: Some(NOW.plus_secs(10)), ..freeze(1, Level::Cut, Target::default()) };
        let all: Freezes = [timed].into_iter().collect();
        let is_stopped = |now| all.stopping(Act::GoOn, (&client, &mailbox, Protocol::Imap), now).is_some();
        assert!(is_stopped(NOW.plus_millis(9_999)) && !is_stopped(NOW.plus_secs(10)));
    }
}
