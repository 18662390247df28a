//! The hook `tenant-created`: a new tenant gets its first member.

use terrace_sdk::{Role, TenantCreated, prelude::*};

use crate::members::{NewMember, add};

/// Adds the owner. The hook may come again: an owner who is there already stays as they are.
pub(crate) async fn tenant_created(db: Db, Json(created): Json<TenantCreated>) -> Result<StatusCode, Problem> {
    let Some(owner) = created.owner else {
        return Ok(StatusCode::NO_CONTENT);
    };
    let new = NewMember {
        email: &owner.email,
        name: &owner.name,
        password: &owner.password,
        role: Role::Owner,
    };
    if add(&db, &new).await?.is_some() {
        log::info!("the tenant has its owner");
    }
    Ok(StatusCode::NO_CONTENT)
}
