//! What records say of messages and people: digests under a key of the vault, or as much as a grant wants to be told.

use crate::crypto::encoding::hex;
use crate::domain::address::MailAddress;
use crate::domain::privacy::RecipientDetail;
use crate::gateway::gatekeeper::{Gatekeeper, Session};
use crate::registry::MESSAGE_ID;

impl Gatekeeper {
    /// The keyed digest of a Message-ID in its compared form, as it stands in records.
    pub fn message_digest(&self, id: &str) -> String {
        hex(self.0.vault.digest(MESSAGE_ID, id).get(..16).unwrap_or_default())
    }

    /// What a record tells of a recipient, as the session's grant wants it; `None`: nothing.
    pub fn recipient(&self, session: &Session, address: &MailAddress) -> Option<String> {
        match session.rights.bounds.audit_recipients.unwrap_or_default() {
            RecipientDetail::Full => Some(address.to_string()),
            RecipientDetail::Domain => Some(format!("@{}", address.domain())),
            RecipientDetail::Digest => {
                let digest = self.0.vault.digest("recipient", address.as_str());
                Some(hex(digest.get(..16).unwrap_or_default()))
            }
            RecipientDetail::None => None,
        }
    }
}
