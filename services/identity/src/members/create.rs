//! `POST /api/identity/members`

use terrace_sdk::{Role, prelude::*};

use crate::members::{Member, NewMember, add};

/// Somebody to be added.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberToAdd {
    /// At most 254 characters.
    #[schema(max_length = 254)]
    email: String,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// At least 10 characters.
    #[schema(min_length = 10, max_length = 200)]
    password: String,
    /// What they may do.
    role: Role,
}

/// Adds a member. Only an owner may.
#[utoipa::path(post, path = "/api/identity/members", operation_id = "identity_create_member", request_body = MemberToAdd,
    responses(
        (status = 201, description = "The new member", body = Member),
        (status = 403, description = "Only an owner may add members"),
        (status = 409, description = "Somebody has this address"),
        (status = 422, description = "A field is not valid"),
    ))]
pub(crate) async fn create_member(
    caller: Caller,
    db: Db,
    Json(new): Json<MemberToAdd>,
) -> Result<(StatusCode, Json<Member>), Problem> {
    caller.require_owner()?;
    Check::new()
        .text("/email", &new.email, 3..=254)
        .that(
            "/email",
            plausible(&new.email),
            "must be an address like ada@example.com",
        )
        .text("/name", &new.name, 1..=100)
        .that(
            "/password",
            (10..=200).contains(&new.password.chars().count()),
            "must have 10 to 200 characters",
        )
        .finish()?;
    let new = NewMember {
        email: &new.email,
        name: &new.name,
        password: &new.password,
        role: new.role,
    };
    let member = add(&db, &new).await?;
    member
        .map(|member| (StatusCode::CREATED, Json(member)))
        .ok_or_else(|| Problem::conflict("Somebody in this workspace has this address."))
}

/// Whether it could be an address. Only a mail that arrives proves that it is one.
fn plausible(email: &str) -> bool {
    let Some((local, domain)) = email.trim().rsplit_once('@') else {
        return false;
    };
    !local.is_empty() && !domain.is_empty() && !domain.starts_with('.') && !email.trim().contains(char::is_whitespace)
}
