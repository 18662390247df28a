//! `/api/control/services/{service}/canary`: a release that some tenants get before all others.

use axum::{
    Extension, Json,
    extract::{self, Path},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_ground_ids::ReleaseId;
use utoipa::ToSchema;

use super::{Service, service_of};
use crate::{
    State, TenantRef, authentication::Authenticated, body::Input, contract::Problem, platform::CanarySplit,
    refusal::Refusal, validation::Validation,
};

/// Most tenants that a canary names.
const TENANTS_MAX: usize = 1_000;

/// A release that some tenants have before all others.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Canary {
    /// The release.
    #[schema(value_type = String, example = "r_7f3k9q2m4x")]
    pub release: ReleaseId,
    /// The share of tenants that was asked for; null when they were named.
    #[schema(required = true)]
    pub share_percent: Option<f64>,
    /// How many tenants have it.
    pub tenants: u64,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// Which tenants get a canary: a share of them, or those that are named.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CanaryTenants {
    /// The share of all tenants, above 0 and up to 100. Whoever is among 5 % is among 20 %, too.
    #[serde(default)]
    #[schema(example = 5.0)]
    pub share_percent: Option<f64>,
    /// Slugs or ids.
    #[serde(default)]
    #[schema(example = json!(["acme"]))]
    pub tenants: Option<Vec<String>>,
}

/// Which release becomes a canary, and for whom.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartCanary {
    /// The release's id.
    #[schema(example = "r_7f3k9q2m4x")]
    pub release: String,
    /// For whom.
    pub to: CanaryTenants,
}

impl CanaryTenants {
    /// What was asked for, or what is wrong with it.
    pub(crate) fn split(self, pointer: &str, validation: &mut Validation) -> Option<CanarySplit> {
        match (self.share_percent, self.tenants) {
            (Some(percent), None) => {
                if !(percent > 0.0 && percent <= 100.0) {
                    validation.reject(format!("{pointer}/share_percent"), "must be above 0, and up to 100");
                    return None;
                }
                Some(CanarySplit::SharePercent(percent))
            }
            (None, Some(names)) => {
                if names.is_empty() || names.len() > TENANTS_MAX {
                    validation.reject(
                        format!("{pointer}/tenants"),
                        format!("must be 1 to {TENANTS_MAX} tenants; a share can be any number of them"),
                    );
                    return None;
                }
                let parse = |(index, name): (usize, &String)| -> Option<TenantRef> {
                    validation.word(
                        &format!("{pointer}/tenants/{index}"),
                        name,
                        "the tenants' slugs and ids",
                    )
                };
                let tenants: Vec<Option<TenantRef>> = names.iter().enumerate().map(parse).collect();
                tenants
                    .into_iter()
                    .collect::<Option<Vec<_>>>()
                    .map(CanarySplit::Tenants)
            }
            _ => {
                validation.reject(pointer, "must have either `share_percent` or `tenants`");
                None
            }
        }
    }
}

/// Gives a release to some tenants. Again with others, it grows or shrinks.
///
/// Their schemas are migrated first. All other tenants keep the release and the schema that they have.
#[utoipa::path(
    post, path = "/api/control/services/{service}/canary", operation_id = "control_start_canary", tag = "services",
    security(("session" = [])),
    params(("service" = String, Path, description = "The service's name", example = "tasks")),
    request_body = StartCanary,
    responses(
        (status = OK, body = Service, description = "The service, with its canary"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn start_canary(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(service): Path<String>,
    Input(input): Input<StartCanary>,
) -> Result<Json<Service>, Refusal> {
    let service = service_of(&service)?;
    let mut validation = Validation::new();
    let release = validation.word::<ReleaseId>("/release", &input.release, "the service's releases, like r_7f3k9q2m4x");
    let split = input.to.split("/to", &mut validation);
    validation.finish()?;
    let (Some(release), Some(split)) = (release, split) else {
        return Err(Refusal::internal(
            "a canary that was not accepted was not rejected either",
        ));
    };
    let by = authenticated.operator.who();
    let started = state.platform().start_canary(&service, &release, split, by).await?;
    tracing::info!(service = %service, release.id = %release, "{by} gave a canary of {service}, {release}");
    Ok(Json(started))
}

/// Gives the canary to every tenant.
#[utoipa::path(
    post, path = "/api/control/services/{service}/canary/promote", operation_id = "control_promote_canary", tag = "services",
    security(("session" = [])),
    params(("service" = String, Path, description = "The service's name", example = "tasks")),
    responses(
        (status = OK, body = Service, description = "The service, with its new current release"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn promote_canary(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(service): Path<String>,
) -> Result<Json<Service>, Refusal> {
    let service = service_of(&service)?;
    let by = authenticated.operator.who();
    let promoted = state.platform().promote_canary(&service, by).await?;
    tracing::info!(service = %service, "{by} promoted the canary of {service}");
    Ok(Json(promoted))
}

/// Takes the canary from its tenants: they have the current release again.
#[utoipa::path(
    post, path = "/api/control/services/{service}/canary/abort", operation_id = "control_abort_canary", tag = "services",
    security(("session" = [])),
    params(("service" = String, Path, description = "The service's name", example = "tasks")),
    responses(
        (status = OK, body = Service, description = "The service, without a canary"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn abort_canary(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(service): Path<String>,
) -> Result<Json<Service>, Refusal> {
    let service = service_of(&service)?;
    let by = authenticated.operator.who();
    let aborted = state.platform().abort_canary(&service, by).await?;
    tracing::info!(service = %service, "{by} aborted the canary of {service}");
    Ok(Json(aborted))
}
