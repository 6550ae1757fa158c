//! The closed list of ways in which a request can fail, and what a stranger may read of each.
//!
//! Every module's own error names its fault by an exhaustive `match`, so that a new variant cannot become a «500» by accident. Only
//! the edges turn a fault into bytes: `http::problem`, `http::oauth::error`, `gateway::reply`.

/// A row of the wire table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The request is not well formed.
    Invalid,
    /// Nobody proved who is asking.
    Unauthenticated,
    /// Known caller, not allowed. To a tool «no such mailbox» and «no grant» look alike: both are this.
    Denied,
    /// Known caller, no such thing (admin API only).
    NotFound,
    /// The request contradicts the present state.
    Conflict,
    /// Too many requests; may be repeated later.
    Throttled,
    /// The upstream failed, refused, or cannot be reached.
    Upstream,
    /// A part of ours that must work does not (store, audit); may be repeated later.
    Unavailable,
    /// A defect of ours.
    Internal,
}

impl Fault {
    /// All faults, for table-driven tests over every wire format.
    pub const ALL: [Self; 9] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Denied,
        Self::NotFound,
        Self::Conflict,
        Self::Throttled,
        Self::Upstream,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Text that a stranger may read.
    pub fn public(self) -> &'static str {
        match self {
            Self::Invalid => "the request is not valid",
            Self::Unauthenticated => "authentication failed",
            Self::Denied => "not permitted",
            Self::NotFound => "no such object",
            Self::Conflict => "the request conflicts with the present state",
            Self::Throttled => "too many requests, try again later",
            Self::Upstream => "the mail server behind this mailbox is not available",
            Self::Unavailable => "temporarily unavailable, try again later",
            Self::Internal => "internal error",
        }
    }

    /// Whether the same request may succeed later without any change.
    pub fn may_retry(self) -> bool {
        matches!(self, Self::Throttled | Self::Upstream | Self::Unavailable)
    }
}

/// What every module's error can say of itself.
pub trait Classify: std::error::Error + Send + Sync + 'static {
    /// The row of the wire table.
    fn fault(&self) -> Fault;

    /// Text that a stranger may read. Never built from `Display`, which is for operators.
    fn public(&self) -> String {
        self.fault().public().to_owned()
    }
}
