//! `PUT /api/control/services/{service}/settings/{name}`.

use axum::{
    Extension,
    extract::{self, Path},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{NewSetting, reference};
use crate::{
    Secret, State, authentication::Authenticated, body::Input, contract::Problem, refusal::Refusal,
    validation::Validation,
};

/// Longest value, in bytes.
const VALUE_MAX: usize = 8_192;

/// A setting to keep.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSetting {
    /// `secret` or `config`.
    #[schema(example = "secret")]
    pub kind: String,
    /// Its value: 1 to 8,192 bytes of text.
    #[schema(min_length = 1, max_length = 8192)]
    pub value: String,
    /// The tenant that it is for, by slug or id; for all that have none of their own when absent.
    #[schema(example = "acme")]
    pub tenant: Option<String>,
}

/// Sets a value for a service, in place of what was there. Services see it within a second.
#[utoipa::path(
    put, path = "/api/control/services/{service}/settings/{name}", operation_id = "control_put_setting", tag = "services",
    security(("session" = [])),
    params(
        ("service" = String, Path, description = "The service's name", example = "tasks"),
        ("name" = String, Path, description = "The setting's name", example = "stripe-key"),
    ),
    request_body = PutSetting,
    responses(
        (status = NO_CONTENT, description = "Set"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn put(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path((service, name)): Path<(String, String)>,
    Input(input): Input<PutSetting>,
) -> Result<StatusCode, Refusal> {
    let PutSetting { kind, value, tenant } = input;
    let value = Secret::new(value);
    let mut validation = Validation::new();
    let setting = reference(&mut validation, &service, &name, &kind, tenant.as_deref())?;
    if value.reveal().is_empty() || value.reveal().len() > VALUE_MAX || value.reveal().contains('\0') {
        validation.reject("/value", format!("must be 1 to {VALUE_MAX} bytes of text"));
    }
    validation.finish()?;
    let Some(setting) = setting else {
        return Err(Refusal::internal(
            "a setting that was not accepted was not rejected either",
        ));
    };
    state.platform().put_setting(NewSetting { setting, value }).await?;
    tracing::info!(
        service,
        "{} set the {kind} {name} of {service}",
        authenticated.operator.name
    );
    Ok(StatusCode::NO_CONTENT)
}
