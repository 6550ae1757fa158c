//! All that decides over a login, read at one moment in one statement: each way to the database costs more than what is asked there.

use std::sync::Arc;

use crate::domain::client::Client;
use crate::domain::freeze::Freezes;
use crate::domain::grant::Grant;
use crate::domain::mailbox::Mailbox;
use crate::domain::token::Claims;
use crate::registry::revocations::RevokedToken;
use crate::registry::rows::Stored;
use crate::registry::view::Footing;
use crate::registry::{Registry, RegistryError};
use crate::store::sql;

/// What the database holds of what a token stands on.
pub(in crate::registry) struct Moment {
    pub(in crate::registry) footing: Arc<Footing>,
    pub(in crate::registry) freezes: Arc<Freezes>,
    pub(in crate::registry) is_revoked: bool,
}

/// Where a noun's columns end that begin at `from`: its MAC is the last.
const fn end<T: Stored>(from: usize) -> usize {
    from + T::KINDS.len() + 1
}

const MAILBOX: usize = end::<Client>(0);
const GRANT: usize = end::<Mailbox>(MAILBOX);
const FREEZES: usize = end::<Grant>(GRANT);
const REVOKED: usize = FREEZES + 1;

impl Registry {
    /// Reads it: the grant stands, or the answer is `Denied`.
    pub(in crate::registry) async fn moment(&self, claims: &Claims) -> Result<Moment, RegistryError> {
        let (view, board) = (self.view.standings(), self.view.freezes());
        let (ticket, freezes_ticket) = (view.ticket(), board.ticket());
        let args = [claims.client_id.as_str().into(), claims.mailbox.as_str().into(), claims.token_id.as_str().into()];
        let Some(row) = self.store.row(sql::MOMENT_GET, &args).await? else {
            // One of them is missing. If another is not ours, that is found out, and told, one by one.
            self.grant_for(&claims.client_id, &claims.mailbox).await?;
            return Err(RegistryError::Denied);
        };
        let (client, _) = self.trusted_at::<Client>(&row, 0).await?;
        let (mailbox, _) = self.trusted_at::<Mailbox>(&row, MAILBOX).await?;
        let (grant, _) = self.trusted_at::<Grant>(&row, GRANT).await?;
        let footing = Arc::new((client, mailbox, grant));
        if !self.stands(&footing) {
            return Err(RegistryError::Denied);
        }
        view.keep(&ticket, (claims.client_id.clone(), claims.mailbox.clone()), &footing);
        let is_revoked = match row.opt_text(REVOKED)? {
            None => false,
            // A row that somebody changed revokes all the same.
            Some(_) => match self.trusted_at::<RevokedToken>(&row, REVOKED).await {
                Ok(_) | Err(RegistryError::Denied) => true,
                Err(error) => return Err(error),
            },
        };
        let freezes = if row.int(FREEZES)? == 0 {
            let none = Arc::default();
            board.post(&freezes_ticket, &none);
            none
        } else {
            self.freezes_now().await?
        };
        Ok(Moment { footing, freezes, is_revoked })
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
    use crate::domain::session::Protocol;
    use crate::registry::tests::{HERE, House};
    use crate::registry::{RegistryError, TokenRef};

    #[tokio::test]
    async fn a_row_that_somebody_changed_lets_nobody_in_and_raises_an_alarm() {
        for edit in [
            "UPDATE clients SET name = 'other'",
            "UPDATE mailboxes SET health = 'quarantined'",
            "UPDATE grants SET scopes = 'mail.full'",
            // Found although there is nothing to stand on beside it.
            "UPDATE clients SET name = 'other'; DELETE FROM grants",
        ] {
            let house = House::new().await;
            let (client, ..) = house.granted().await;
            let claims = house.claims(&client.id);
            house.registry.admit_now(&claims, Protocol::Imap, HERE).await.unwrap();
            house.edit(edit).await;
            let refused = house.registry.admit_now(&claims, Protocol::Imap, HERE).await;
            assert!(matches!(refused, Err(RegistryError::Denied)), "{edit}: {refused:?}");
            assert_eq!(house.alarms().await, 1, "{edit}");
        }
    }

    #[tokio::test]
    async fn a_revoked_token_lets_nobody_in_whatever_became_of_its_row() {
        let house = House::new().await;
        let (client, ..) = house.granted().await;
        let claims = house.claims(&client.id);
        let event = AuditEvent::new(EventCode::TokenRevoked, Actor::System, Outcome::Success);
        let token = TokenRef { token_id: "t".to_owned(), client_id: client.id, expires_at: claims.expires_at };
        house.registry.revoke_token(event, &token).await.unwrap();
        for (edit, alarms) in
            [("UPDATE revoked_tokens SET jti = jti", 0), ("UPDATE revoked_tokens SET expires_at = 0", 1)]
        {
            assert_eq!(house.edit(edit).await, 1);
            let refused = house.registry.admit_now(&claims, Protocol::Imap, HERE).await;
            assert!(matches!(refused, Err(RegistryError::Denied)), "{edit}: {refused:?}");
            assert_eq!(house.alarms().await, alarms, "{edit}");
        }
        assert_eq!(house.edit("DELETE FROM revoked_tokens").await, 1);
        house.registry.admit_now(&claims, Protocol::Imap, HERE).await.unwrap();
    }
}
