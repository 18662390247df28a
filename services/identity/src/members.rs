//! `/api/identity/members`

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;

use terrace_sdk::{Role, db, password, prelude::*, token};

/// Somebody who may use this workspace.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Member {
    /// `m_` and what nobody can guess.
    pub(crate) id: String,
    /// The address to sign in with.
    pub(crate) email: String,
    /// What to call them.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) role: Role,
    /// When they came.
    pub(crate) created_at: Timestamp,
}

impl FromRow for Member {
    fn from_row(row: &Row) -> Result<Self, db::Error> {
        Ok(Self {
            id: row.get("id")?,
            email: row.get("email")?,
            name: row.get("name")?,
            role: Role::from(row.get::<String>("role")?),
            created_at: row.get("created_at")?,
        })
    }
}

/// What makes an address the same address.
pub(crate) fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Somebody to be added.
pub(crate) struct NewMember<'a> {
    pub(crate) email: &'a str,
    pub(crate) name: &'a str,
    pub(crate) password: &'a str,
    pub(crate) role: Role,
}

/// Adds a member, unless the address is taken: then None. Hashes the password, so it comes before
/// any transaction.
pub(crate) async fn add(db: &Db, new: &NewMember<'_>) -> Result<Option<Member>, Problem> {
    let hash = password::hash(new.password).await?;
    let id: String = token::random()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(16)
        .collect();
    let mut tx = db.begin().await?;
    let rows = tx
        .query(
            "INSERT INTO member (id, email, email_key, name, role, password_hash) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (email_key) DO NOTHING
             RETURNING id, email, name, role, created_at",
            params![
                format!("m_{id}"),
                new.email.trim(),
                email_key(new.email),
                new.name.trim(),
                new.role.as_str(),
                hash
            ],
        )
        .await?;
    let Some(member) = rows.optional::<Member>()? else {
        return Ok(None);
    };
    tx.publish("member.created", "members", &member)?;
    tx.commit().await?;
    Ok(Some(member))
}
