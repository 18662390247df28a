//! `GET /api/control/tenants/{tenant}/export`.

use axum::{
    Extension,
    body::Body,
    extract::{self, Path},
    http::header,
    response::IntoResponse,
};

use super::tenant_of;
use crate::{State, authentication::Authenticated, contract::Problem, refusal::Refusal};

/// What an archive is sent as: a tar inside of zstd.
const MEDIA_TYPE: &str = "application/zstd";

/// Sends a tenant as an archive: its tables and its events, at one moment, while it is in use.
///
/// The archive comes as it is made; one that breaks off is not whole, and an import refuses it. The
/// format is documented in `docs/reference/archive.md`.
#[utoipa::path(
    get, path = "/api/control/tenants/{tenant}/export", operation_id = "control_export_tenant", tag = "tenants", security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    responses(
        (status = OK, body = Vec<u8>, content_type = "application/zstd", description = "The archive"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn export(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(tenant): Path<String>,
) -> Result<impl IntoResponse, Refusal> {
    let tenant = tenant_of(&tenant)?;
    let operator = authenticated.operator.name.as_str();
    let pieces = state.platform().lifecycle().export(&tenant, operator).await?;
    tracing::info!(%tenant, "{operator} exports tenant {tenant}");
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], Body::from_stream(pieces)))
}
