//! `POST /api/control/archives/{archive}/import`.

use axum::{
    Extension, Json,
    extract::{self, Path},
    http::StatusCode,
    response::IntoResponse,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::archive_of;
use crate::{
    NewImport, Plan, State, Tenant, authentication::Authenticated, body::Input, contract::Problem, refusal::Refusal,
    validation::Validation,
};

/// A tenant to make from an archive.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportTenant {
    /// The first label of its host: 1 to 31 of `a-z`, `0-9` and `-`, and no reserved name.
    #[schema(max_length = 31, pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$", example = "acme2")]
    pub slug: String,
    /// Its name, to show; the archive's when absent.
    #[schema(min_length = 1, max_length = 100)]
    pub name: Option<String>,
    /// What it pays for; the archive's when absent.
    #[schema(value_type = Option<Plan>)]
    pub plan: Option<String>,
    /// Bring back a tenant that was deleted here.
    #[serde(default)]
    pub force: bool,
}

/// Makes a new tenant from an uploaded archive.
///
/// All of the archive is checked first: its hashes, its digest, and whether the services that are
/// served here have the same migrations. Then the tenant is made in steps, which its operations show;
/// it is `active` at the end.
#[utoipa::path(
    post, path = "/api/control/archives/{archive}/import", operation_id = "control_import_tenant", tag = "archives",
    security(("session" = [])),
    params(("archive" = String, Path, description = "The upload", example = "a_7f3k9q2m4x")),
    request_body = ImportTenant,
    responses(
        (status = ACCEPTED, body = Tenant, description = "Being made"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused: nothing was written"),
    ),
)]
pub(crate) async fn import(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(archive): Path<String>,
    Input(input): Input<ImportTenant>,
) -> Result<impl IntoResponse, Refusal> {
    let archive = archive_of(&archive)?;
    let mut validation = Validation::new();
    let slug = validation.slug("/slug", &input.slug);
    let name = input.name.as_deref().map(|name| validation.line("/name", name));
    let plan = input
        .plan
        .as_deref()
        .and_then(|plan| validation.word::<Plan>("/plan", plan, "`free` and `team`"));
    validation.finish()?;
    let Some(slug) = slug else {
        return Err(Refusal::internal(
            "a slug that was not accepted was not rejected either",
        ));
    };
    let new = NewImport {
        archive,
        slug,
        name,
        plan,
        force: input.force,
    };
    let operator = authenticated.operator.name.as_str();
    let tenant = state.platform().lifecycle().import(new, operator).await?;
    tracing::info!(tenant.id = %tenant.id, "{operator} imports an archive as tenant {}", tenant.slug);
    Ok((StatusCode::ACCEPTED, Json(tenant)))
}
