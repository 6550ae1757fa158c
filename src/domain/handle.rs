//! A handle: the password-shaped form of an access token, for tools whose password box is short or that know nothing else.

use ipnet::IpNet;

use crate::domain::clock::Timestamp;
use crate::domain::id::{ClientId, GrantId, MailboxId};
use crate::domain::scope::ScopeSet;
use crate::domain::session::Protocol;

/// What a handle that was given out opens. Its text is kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The keyed digest of its text.
    pub digest: [u8; 32],
    /// Whose it is.
    pub client_id: ClientId,
    /// The mailbox that it opens.
    pub mailbox_id: MailboxId,
    /// The grant that it was given out under.
    pub grant_id: GrantId,
    /// The one protocol that it opens the mailbox by.
    pub protocol: Protocol,
    /// What it gives.
    pub scopes: ScopeSet,
    /// Where it may be shown from; `None`: wherever the grant says.
    pub networks: Option<Vec<IpNet>>,
    /// When it was given out.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}
