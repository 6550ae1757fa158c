//! `authorization_details` (RFC 9396): what is asked for is given as it stands, or not at all.

use crate::domain::bounds::Bounds;
use crate::domain::details::{MAX_OCTETS, MailboxDetails};
use crate::domain::mailbox::Mailbox;
use crate::oauth::OauthError;
use crate::oauth::jose::json;

/// The details in `text`, if they are well formed and nothing of them lies outside `granted` (TOK-12).
pub(super) fn details(
    text: Option<&str>,
    granted: &Bounds,
    mailbox: &Mailbox,
) -> Result<Option<MailboxDetails>, OauthError> {
    let Some(text) = text else { return Ok(None) };
    if text.len() > 2 * MAX_OCTETS {
        return Err(OauthError::InvalidAuthorizationDetails);
    }
    let array = json::parse(text.as_bytes()).ok_or(OauthError::InvalidAuthorizationDetails)?;
    let details = MailboxDetails::from_array(&array).ok_or(OauthError::InvalidAuthorizationDetails)?;
    let fits = details.to_array().to_string().len() <= MAX_OCTETS;
    if fits && granted.cover_details(&details, &mailbox.address) {
        Ok(Some(details))
    } else {
        Err(OauthError::InvalidAuthorizationDetails)
    }
}
