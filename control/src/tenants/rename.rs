//! `POST /api/control/tenants/{tenant}/rename`.

use axum::{
    Extension, Json,
    extract::{self, Path},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Tenant, tenant_of};
use crate::{
    Rename, State, authentication::Authenticated, body::Input, contract::Problem, refusal::Refusal,
    validation::Validation,
};

/// New names for a tenant; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameTenant {
    /// The first label of its host: 1 to 31 of `a-z`, `0-9` and `-`, and no reserved name.
    #[schema(max_length = 31, pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$", example = "acme-works")]
    pub slug: Option<String>,
    /// Its name, to show.
    #[schema(min_length = 1, max_length = 100, example = "Acme Works")]
    pub name: Option<String>,
    /// Lets others have the old slug at once; otherwise it is kept from them for 30 days.
    #[serde(default)]
    pub release_old_slug: bool,
}

/// Gives a tenant another name, another slug, or both.
///
/// Its id, its data and its members' sessions stay. With a new slug it has a new host; the old one
/// answers `unknown-host`, and for 30 days no other tenant may have it.
#[utoipa::path(
    post, path = "/api/control/tenants/{tenant}/rename", operation_id = "control_rename_tenant", tag = "tenants", security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    request_body = RenameTenant,
    responses(
        (status = OK, body = Tenant, description = "The tenant as it is now"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn rename(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(tenant): Path<String>,
    Input(input): Input<RenameTenant>,
) -> Result<Json<Tenant>, Refusal> {
    let tenant = tenant_of(&tenant)?;
    let mut validation = Validation::new();
    if input.slug.is_none() && input.name.is_none() {
        validation.reject("", "give a `slug`, a `name`, or both");
    }
    let rename = Rename {
        slug: input.slug.as_deref().and_then(|slug| validation.slug("/slug", slug)),
        name: input.name.as_deref().map(|name| validation.line("/name", name)),
        release_old_slug: input.release_old_slug,
    };
    validation.finish()?;
    let operator = authenticated.operator.name.as_str();
    let changed = state.platform().lifecycle().rename(&tenant, rename, operator).await?;
    tracing::info!(tenant.id = %changed.id, "{operator} renamed tenant {tenant} to {}", changed.slug);
    Ok(Json(changed))
}
