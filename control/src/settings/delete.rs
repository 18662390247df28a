//! `DELETE /api/control/services/{service}/settings/{name}`.

use axum::{
    Extension,
    extract::{self, Path},
    http::{StatusCode, Uri},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{query_of, reference};
use crate::{State, authentication::Authenticated, contract::Problem, refusal::Refusal, validation::Validation};

/// Which of the settings with this name.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// `secret` or `config`.
    #[param(required = true, example = "secret")]
    kind: Option<String>,
    /// The tenant, by slug or id; the one for all tenants when absent.
    #[param(example = "acme")]
    tenant: Option<String>,
}

/// Forgets a value that was set for a service.
#[utoipa::path(
    delete, path = "/api/control/services/{service}/settings/{name}", operation_id = "control_delete_setting", tag = "services",
    security(("session" = [])),
    params(
        ("service" = String, Path, description = "The service's name", example = "tasks"),
        ("name" = String, Path, description = "The setting's name", example = "stripe-key"),
        Which,
    ),
    responses(
        (status = NO_CONTENT, description = "Deleted"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn delete(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path((service, name)): Path<(String, String)>,
    uri: Uri,
) -> Result<StatusCode, Refusal> {
    let which: Which = query_of(&uri)?;
    let kind = which.kind.unwrap_or_default();
    let mut validation = Validation::new();
    let setting = reference(&mut validation, &service, &name, &kind, which.tenant.as_deref())?;
    validation.finish()?;
    let Some(setting) = setting else {
        return Err(Refusal::internal(
            "a setting that was not accepted was not rejected either",
        ));
    };
    state.platform().delete_setting(&setting).await?;
    tracing::info!(
        service,
        "{} deleted the {kind} {name} of {service}",
        authenticated.operator.name
    );
    Ok(StatusCode::NO_CONTENT)
}
