//! What tools have removed by POP3 for themselves alone (`pop3_delete = "virtual"`): by grant, and so by tool and mailbox.

use crate::domain::id::GrantId;
use crate::domain::uid_range::UidRange;
use crate::registry::{Registry, RegistryError};
use crate::store::sql;
use crate::store::value::Value;

impl Registry {
    /// What is out of sight under this grant.
    pub async fn hidden(&self, grant: &GrantId) -> Result<Vec<UidRange>, RegistryError> {
        let rows = self.store.rows(sql::HIDDEN_LIST, &[grant.as_str().into()]).await?;
        let number = |value: i64| u32::try_from(value).map_err(|_| RegistryError::Denied);
        let ranges = rows.iter().map(|row| {
            let (validity, first, last) = (row.int(0)?, row.int(1)?, row.int(2)?);
            Ok(UidRange { validity: number(validity)?, first: number(first)?, last: number(last)? })
        });
        ranges.collect()
    }

    /// Puts `after` in the place of `before`. What another session has put there meanwhile stays.
    pub async fn hide(&self, grant: &GrantId, before: &[UidRange], after: &[UidRange]) -> Result<(), RegistryError> {
        let args = |range: &UidRange| -> [Value; 4] {
            let numbers = [range.validity, range.first, range.last].map(|number| Value::from(i64::from(number)));
            let [validity, first, last] = numbers;
            [grant.as_str().into(), validity, first, last]
        };
        let mut tx = self.store.begin().await?;
        for range in before.iter().filter(|range| !after.contains(range)) {
            tx.execute(sql::HIDDEN_REMOVE, &args(range)).await?;
        }
        for range in after.iter().filter(|range| !before.contains(range)) {
            tx.execute(sql::HIDDEN_ADD, &args(range)).await?;
        }
        Ok(tx.commit().await?)
    }
}
