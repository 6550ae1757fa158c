//! Policy objects: operators, clients, their secrets, mailboxes, grants. One shape of table, so one set of statements for each.

use crate::store::{Store, StoreError, on};

/// A kind of policy object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Who manages.
    Operators,
    /// Registered tools.
    Clients,
    /// Their secrets' digests.
    ClientSecrets,
    /// Shared mailboxes.
    Mailboxes,
    /// Standing permissions.
    Grants,
}

/// A stored object.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct PolicyRow {
    /// Its id.
    pub id: String,
    /// The name that is unique while it is in force.
    pub lookup: Option<String>,
    /// The object it belongs to.
    pub parent: Option<String>,
    /// The object as JSON.
    pub body: String,
    /// Over table, id and body.
    pub mac: Vec<u8>,
}

struct Statements {
    insert: &'static str,
    update: &'static str,
    get: &'static str,
    find: &'static str,
    list: &'static str,
    children: &'static str,
}

macro_rules! statements {
    ($table:literal) => {
        Statements {
            insert: concat!("INSERT INTO ", $table, " (id, lookup, parent, body, mac) VALUES ($1, $2, $3, $4, $5)"),
            update: concat!("UPDATE ", $table, " SET lookup = $2, body = $3, mac = $4 WHERE id = $1"),
            get: concat!("SELECT id, lookup, parent, body, mac FROM ", $table, " WHERE id = $1"),
            find: concat!("SELECT id, lookup, parent, body, mac FROM ", $table, " WHERE lookup = $1"),
            list: concat!("SELECT id, lookup, parent, body, mac FROM ", $table, " ORDER BY id"),
            children: concat!("SELECT id, lookup, parent, body, mac FROM ", $table, " WHERE parent = $1 ORDER BY id"),
        }
    };
}

const OPERATORS: Statements = statements!("operators");
const CLIENTS: Statements = statements!("clients");
const CLIENT_SECRETS: Statements = statements!("client_secrets");
const MAILBOXES: Statements = statements!("mailboxes");
const GRANTS: Statements = statements!("grants");
const BUMP: &str = "UPDATE installation SET epoch = epoch + 1 WHERE id = 1";
const EPOCH: &str = "SELECT epoch FROM installation WHERE id = 1";

/// Every statement of this file.
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    [OPERATORS, CLIENTS, CLIENT_SECRETS, MAILBOXES, GRANTS]
        .into_iter()
        .flat_map(|of| [of.insert, of.update, of.get, of.find, of.list, of.children])
        .chain([BUMP, EPOCH])
}

impl Table {
    /// The table's name, which its rows' MACs cover.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operators => "operators",
            Self::Clients => "clients",
            Self::ClientSecrets => "client_secrets",
            Self::Mailboxes => "mailboxes",
            Self::Grants => "grants",
        }
    }

    fn statements(self) -> &'static Statements {
        match self {
            Self::Operators => &OPERATORS,
            Self::Clients => &CLIENTS,
            Self::ClientSecrets => &CLIENT_SECRETS,
            Self::Mailboxes => &MAILBOXES,
            Self::Grants => &GRANTS,
        }
    }
}

impl Store {
    /// Stores a new object, and counts the change.
    pub async fn insert(&self, table: Table, row: &PolicyRow) -> Result<(), StoreError> {
        on!(self, pool => {
            sqlx::query(table.statements().insert)
                .bind(&row.id).bind(&row.lookup).bind(&row.parent).bind(&row.body).bind(&row.mac)
                .execute(pool).await?;
            sqlx::query(BUMP).execute(pool).await?;
        });
        Ok(())
    }

    /// Replaces an object, and counts the change.
    pub async fn update(&self, table: Table, row: &PolicyRow) -> Result<(), StoreError> {
        let changed = on!(self, pool => {
            let done = sqlx::query(table.statements().update)
                .bind(&row.id).bind(&row.lookup).bind(&row.body).bind(&row.mac)
                .execute(pool).await?;
            sqlx::query(BUMP).execute(pool).await?;
            done.rows_affected()
        });
        if changed == 1 { Ok(()) } else { Err(StoreError::Missing) }
    }

    /// The object with this id.
    pub async fn get(&self, table: Table, id: &str) -> Result<Option<PolicyRow>, StoreError> {
        Ok(on!(self, pool => sqlx::query_as(table.statements().get).bind(id).fetch_optional(pool).await?))
    }

    /// The object in force with this unique name.
    pub async fn find(&self, table: Table, lookup: &str) -> Result<Option<PolicyRow>, StoreError> {
        Ok(on!(self, pool => sqlx::query_as(table.statements().find).bind(lookup).fetch_optional(pool).await?))
    }

    /// All objects, in the order of their making.
    pub async fn list(&self, table: Table) -> Result<Vec<PolicyRow>, StoreError> {
        Ok(on!(self, pool => sqlx::query_as(table.statements().list).fetch_all(pool).await?))
    }

    /// The objects that belong to `parent`.
    pub async fn children(&self, table: Table, parent: &str) -> Result<Vec<PolicyRow>, StoreError> {
        Ok(on!(self, pool => sqlx::query_as(table.statements().children).bind(parent).fetch_all(pool).await?))
    }

    /// How many changes of policy there were: moves on with each, on whichever node.
    pub async fn epoch(&self) -> Result<i64, StoreError> {
        let found: Option<(i64,)> = on!(self, pool => sqlx::query_as(EPOCH).fetch_optional(pool).await?);
        Ok(found.map_or(0, |(epoch,)| epoch))
    }
}
