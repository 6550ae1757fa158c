//! Audit events: the closed list of what is recorded, and what a record carries.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::domain::id::{ClientId, GrantId, MailboxId, OperatorId, RequestId, SessionId, VerdictId};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// What happened. The codes are stable: they never change their meaning and are never used again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventCode {$(
            $(#[$doc])*
            $name,
        )*}

        impl EventCode {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self {$( Self::$name => $code, )*}
            }

            /// The code with this text.
            pub fn named(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }
        }
    };
}

codes! {
    /// The service started on this node.
    ServiceStarted = "service.started";
    /// The service stopped in order.
    ServiceStopped = "service.stopped";
    /// An operator was registered (the first one by `init`).
    OperatorAdded = "operator.added";
    /// An operator was removed.
    OperatorRemoved = "operator.removed";
    /// Somebody presented no valid operator token, or one whose role does not suffice.
    OperatorRefused = "operator.refused";
    /// A mailbox was registered; its login had been proven.
    MailboxAdded = "mailbox.added";
    /// A mailbox was removed and its credential shredded.
    MailboxRemoved = "mailbox.removed";
    /// A mailbox's login was tried on request.
    MailboxTested = "mailbox.tested";
    /// The upstream refused our credential too often; nobody logs in for now.
    MailboxQuarantined = "mailbox.quarantined";
    /// The credential works again.
    MailboxRecovered = "mailbox.recovered";
    /// A new credential was proven and took the old one's place.
    CredentialSet = "credential.set";
    /// A credential was opened and used to log in upstream.
    CredentialUsed = "credential.used";
    /// A client was registered.
    ClientAdded = "client.added";
    /// A client's name, default mailbox or algorithm was changed.
    ClientChanged = "client.changed";
    /// A client was removed.
    ClientRemoved = "client.removed";
    /// A client got a further secret; the older one lives until its end.
    ClientSecretRotated = "client.secret-rotated";
    /// A client secret was retired.
    ClientSecretRetired = "client.secret-retired";
    /// A grant was made.
    GrantAdded = "grant.added";
    /// A grant's terms were changed; carries them before and after.
    GrantChanged = "grant.changed";
    /// A grant was removed.
    GrantRemoved = "grant.removed";
    /// An access token was issued.
    TokenIssued = "token.issued";
    /// A token request was refused, or a token that was shown on HTTP.
    TokenRefused = "token.refused";
    /// One access token was revoked; its sessions end.
    TokenRevoked = "token.revoked";
    /// All tokens and sessions of a client or mailbox were ended.
    Revoked = "revoked";
    /// A tool logged in at a mail listener.
    LoginAccepted = "login.accepted";
    /// A tool was not let in at a mail listener.
    LoginRefused = "login.refused";
    /// A session ended.
    SessionEnded = "session.ended";
    /// An operator ended a session.
    SessionKilled = "session.killed";
    /// An operator ended all sessions of a client, of a mailbox or by a protocol.
    SessionsKilled = "sessions.killed";
    /// Tools were frozen: the graded kill switch.
    FreezeAdded = "freeze.added";
    /// A freeze ended: an operator ended it, or its time was over.
    FreezeEnded = "freeze.ended";
    /// A command was refused by policy; carries the verdict id.
    CommandDenied = "command.denied";
    /// A grant's budget was used up for the hour or day that is named; told once for each.
    BudgetExhausted = "budget.exhausted";
    /// A token or password was presented without TLS and must be taken for known to others (GW-03).
    TokenExposed = "token.exposed";
    /// Content of messages was delivered to a tool. Durable within a second, or when the folder is left or a record is full.
    MessagesRead = "messages.read";
    /// Messages were flagged, copied, moved, added or removed: which ones, by UID. Durable before the upstream hears of it.
    MessagesChanged = "messages.changed";
    /// A folder was made, renamed, removed, subscribed to or no more. Durable before the upstream hears of it.
    FolderChanged = "folder.changed";
    /// A tool has left a folder; carries how much it looked at there. A crash loses those of the folders that are open.
    FolderVisited = "folder.visited";
    /// A message was accepted by the upstream.
    MessageSubmitted = "message.submitted";
    /// A message was handed over and the upstream's answer never came (SM-10).
    MessageIndeterminate = "message.indeterminate";
    /// A key that signs access tokens was made and published; it signs from the time that is named.
    KeyPublished = "key.published";
    /// A signing key was revoked: nothing that it signed is valid any more.
    KeyRevoked = "key.revoked";
    /// A stored row does not carry our MAC, or a sealed value does not open.
    TamperingDetected = "tampering.detected";
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Mailwarden itself.
    System,
    /// Somebody who proved nothing.
    Anonymous,
    /// An operator, and the request that was made.
    Operator {
        /// Who.
        id: OperatorId,
        /// From where.
        source: IpAddr,
        /// In which HTTP request.
        request_id: RequestId,
    },
    /// A client.
    Client(ClientId),
}

impl Actor {
    /// The text form in records.
    pub fn as_text(&self) -> &str {
        match self {
            Self::System => "system",
            Self::Anonymous => "anonymous",
            Self::Operator { id, .. } => id.as_str(),
            Self::Client(id) => id.as_str(),
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, or about to be done: the record is durable before the effect.
    Success,
    /// Refused by us.
    Denied,
    /// Failed, at the upstream or here.
    Failure,
}

impl Outcome {
    /// The word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
            Self::Failure => "failure",
        }
    }
}

/// Longest value in a record, in octets.
const MAX_VALUE: usize = 512;

/// Longest list in a record, in octets. What is longer takes several records.
pub const MAX_LIST: usize = 16 * 1024;

/// One entry to be recorded. Sequence number, time and hash are added by the recorder. Nothing secret may be put into `detail`.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// What happened.
    pub code: EventCode,
    /// Who did it.
    pub actor: Actor,
    /// How it ended.
    pub outcome: Outcome,
    /// The client concerned.
    pub client_id: Option<ClientId>,
    /// The mailbox concerned.
    pub mailbox_id: Option<MailboxId>,
    /// The grant concerned.
    pub grant_id: Option<GrantId>,
    /// The session it happened in.
    pub session_id: Option<SessionId>,
    /// The HTTP request it happened in.
    pub request_id: Option<RequestId>,
    /// The verdict it tells of.
    pub verdict_id: Option<VerdictId>,
    /// Where the request came from.
    pub source: Option<IpAddr>,
    /// Further facts, by name. Names are `snake_case`; values are at most 512 bytes, lists 16 KiB. Where a longer one had to be cut,
    /// `cut` says which, and how much is left out.
    pub detail: BTreeMap<&'static str, String>,
}

impl AuditEvent {
    /// An event with nothing but its code, actor (with the request he made, if he made one) and outcome.
    pub fn new(code: EventCode, actor: Actor, outcome: Outcome) -> Self {
        let (source, request_id) = match &actor {
            Actor::Operator { source, request_id, .. } => (Some(*source), Some(request_id.clone())),
            _ => (None, None),
        };
        Self {
            code,
            actor,
            outcome,
            client_id: None,
            mailbox_id: None,
            grant_id: None,
            session_id: None,
            request_id,
            verdict_id: None,
            source,
            detail: BTreeMap::new(),
        }
    }

    /// Names the client.
    #[must_use]
    pub fn client(mut self, id: &ClientId) -> Self {
        self.client_id = Some(id.clone());
        self
    }

    /// Names the mailbox.
    #[must_use]
    pub fn mailbox(mut self, id: &MailboxId) -> Self {
        self.mailbox_id = Some(id.clone());
        self
    }

    /// Names the grant.
    #[must_use]
    pub fn grant(mut self, id: &GrantId) -> Self {
        self.grant_id = Some(id.clone());
        self
    }

    /// Names the session.
    #[must_use]
    pub fn session(mut self, id: &SessionId) -> Self {
        self.session_id = Some(id.clone());
        self
    }

    /// Names the HTTP request.
    #[must_use]
    pub fn request(mut self, id: &RequestId) -> Self {
        self.request_id = Some(id.clone());
        self
    }

    /// Names the verdict.
    #[must_use]
    pub fn verdict(mut self, id: &VerdictId) -> Self {
        self.verdict_id = Some(id.clone());
        self
    }

    /// Says where it came from.
    #[must_use]
    pub fn source(mut self, source: IpAddr) -> Self {
        self.source = Some(source.to_canonical());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let mut value = value.into();
        let octets = value.len();
        let mut end = octets.min(MAX_VALUE);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        value.truncate(end);
        self.detail.insert(name, value);
        if end == octets { self } else { self.cut(name, octets - end, octets) }
    }

    /// Adds a list of things, which may be longer: its words are separated by spaces.
    #[must_use]
    pub fn list(mut self, name: &'static str, words: &[String]) -> Self {
        let fit = fitting(words);
        self.detail.insert(name, words.get(..fit).unwrap_or_default().join(" "));
        if fit == words.len() { self } else { self.cut(name, words.len() - fit, words.len()) }
    }

    /// Adds a list of any length: as many events as it takes, of which each says in `part` which of how many it is.
    #[must_use]
    pub fn spread(self, name: &'static str, words: &[String]) -> Vec<Self> {
        let (mut rest, mut parts) = (words, Vec::new());
        loop {
            let (now, later) = rest.split_at(fitting(rest).max(1).min(rest.len()));
            parts.push(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let count = parts.len();
        let numbered = |at: usize| match count {
            1 => self.clone(),
            _ => self.clone().detail("part", format!("{}/{count}", at + 1)),
        };
        parts.iter().enumerate().map(|(at, words)| numbered(at).list(name, words)).collect()
    }

    /// Says that a fact is not told whole.
    fn cut(mut self, name: &str, left_out: usize, of: usize) -> Self {
        let said = self.detail.entry("cut").or_default();
        let comma = if said.is_empty() { "" } else { ", " };
        *said = format!("{said}{comma}{name}: {left_out} of {of} left out");
        self
    }
}

/// How many of the first words fit into a list.
fn fitting(words: &[String]) -> usize {
    let mut octets = 0;
    words
        .iter()
        .take_while(|word| {
            octets += word.len() + 1;
            octets <= MAX_LIST + 1
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::{Actor, AuditEvent, EventCode, MAX_LIST, Outcome};

    fn event() -> AuditEvent {
        AuditEvent::new(EventCode::MessagesRead, Actor::System, Outcome::Success)
    }

    #[test]
    fn what_is_cut_is_said() {
        let whole = event().detail("reply", "x".repeat(512)).list("uids", &["1".to_owned(), "2".to_owned()]);
        assert_eq!((whole.detail.get("uids").unwrap().as_str(), whole.detail.get("cut")), ("1 2", None));
        let cut = event().detail("reply", "ä".repeat(300)).list("uids", &vec!["1234567".to_owned(); 3000]);
        assert_eq!(cut.detail.get("cut").unwrap(), "reply: 88 of 600 left out, uids: 952 of 3000 left out");
        assert!(cut.detail.get("uids").unwrap().split(' ').all(|word| word == "1234567"), "within a word");
        assert_eq!(event().list("to", &["x".repeat(MAX_LIST + 1)]).detail.get("cut").unwrap(), "to: 1 of 1 left out");
    }

    #[test]
    fn a_long_list_takes_several_events_and_none_is_too_long() {
        let words: Vec<String> = (0..1000).map(|number| format!("{number:032}")).collect();
        let events = event().detail("recipients", "1000").spread("to", &words);
        let told: Vec<&str> = events.iter().flat_map(|event| event.detail.get("to").unwrap().split(' ')).collect();
        assert_eq!(told, words);
        let parts: Vec<&str> = events.iter().map(|event| event.detail.get("part").unwrap().as_str()).collect();
        assert_eq!(parts, ["1/3", "2/3", "3/3"]);
        for event in &events {
            assert!(event.detail.get("to").unwrap().len() <= MAX_LIST && !event.detail.contains_key("cut"));
            assert_eq!(event.detail.get("recipients").unwrap(), "1000");
        }
        for (words, told) in [(vec![], ""), (vec!["a".to_owned()], "a")] {
            let events = event().spread("to", &words);
            assert_eq!((events.len(), events[0].detail.get("to").unwrap().as_str()), (1, told));
            assert!(!events[0].detail.contains_key("part"));
        }
    }

    #[test]
    fn codes_are_distinct() {
        let mut texts: Vec<_> = EventCode::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), EventCode::ALL.len());
    }
}
