//! Operators and their tokens.

use crate::crypto::encoding::{OPERATOR_TOKEN, generate, is_well_formed};
use crate::domain::client::Status;
use crate::domain::clock::Timestamp;
use crate::domain::event::{Actor, EventCode};
use crate::domain::id::OperatorId;
use crate::domain::operator::{Operator, Role};
use crate::domain::secret::{OperatorToken, Secret};
use crate::registry::{Registry, RegistryError, checked_name};
use crate::store::sql;

const PURPOSE: &str = "operator-token";

impl Registry {
    /// The operator whose token this is.
    pub async fn authenticate_operator(&self, token: &str) -> Result<Operator, RegistryError> {
        if !is_well_formed(OPERATOR_TOKEN, token) {
            return Err(RegistryError::Unauthenticated);
        }
        // The database compares keyed digests, whose timing tells nothing about the token.
        let digest = self.vault.digest(PURPOSE, token);
        let found = self.one::<Operator>(sql::OPERATOR_BY_DIGEST, &[digest.as_slice().into()]).await;
        let (operator, _) = match found {
            Ok(Some(found)) => found,
            Ok(None) | Err(RegistryError::Denied) => return Err(RegistryError::Unauthenticated),
            Err(error) => return Err(error),
        };
        let in_force =
            operator.status == Status::Active && operator.expires_at.is_none_or(|end| self.clock.now() < end);
        if in_force && self.vault.digest_matches(PURPOSE, token, &operator.token_digest) {
            Ok(operator)
        } else {
            Err(RegistryError::Unauthenticated)
        }
    }

    /// Registers an operator; the token is shown this once.
    pub async fn add_operator(
        &self,
        by: &Actor,
        name: &str,
        role: Role,
        expires_at: Option<Timestamp>,
    ) -> Result<(Operator, Secret<OperatorToken>), RegistryError> {
        let token: Secret<OperatorToken> = generate(OPERATOR_TOKEN, &self.entropy);
        let digest = token.expose_text(|text| self.vault.digest(PURPOSE, text));
        let operator = Operator {
            id: OperatorId::new(&self.clock, &self.entropy),
            name: checked_name(name)?,
            role,
            status: Status::Active,
            token_digest: digest.ok_or(RegistryError::Internal("a generated token is not text"))?,
            expires_at,
            created_at: self.clock.now(),
        };
        let event = Self::event(EventCode::OperatorAdded, by).detail("operator", operator.id.as_str());
        self.record(event.detail("name", name).detail("role", role.as_str())).await?;
        let mut tx = self.store.begin().await?;
        self.add(&mut tx, &operator).await?;
        self.commit(tx).await?;
        Ok((operator, token))
    }

    /// All operators.
    pub async fn list_operators(&self) -> Result<Vec<Operator>, RegistryError> {
        self.many(sql::OPERATOR_LIST, &[]).await
    }

    /// Removes an operator. The last active admin stays.
    pub async fn remove_operator(&self, by: &Actor, id: &OperatorId) -> Result<(), RegistryError> {
        let found = self.one::<Operator>(sql::OPERATOR_GET, &[id.as_str().into()]).await?;
        let (mut operator, mac) =
            found.filter(|(found, _)| found.status != Status::Removed).ok_or(RegistryError::NotFound("operator"))?;
        let others = self.list_operators().await?;
        if !others.iter().any(|other| other.id != *id && other.role == Role::Admin && other.status == Status::Active) {
            return Err(RegistryError::Conflict("the last admin cannot be removed"));
        }
        self.record(Self::event(EventCode::OperatorRemoved, by).detail("operator", id.as_str())).await?;
        operator.status = Status::Removed;
        let mut tx = self.store.begin().await?;
        self.replace(&mut tx, &operator, &mac).await?;
        self.commit(tx).await
    }
}
