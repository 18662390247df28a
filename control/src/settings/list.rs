//! `GET /api/control/services/{service}/settings`.

use axum::{
    Json,
    extract::{self, Path},
    http::Uri,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Setting, SettingPage, kind_of, query_of};
use crate::{
    State,
    contract::Problem,
    page::{Page, PageQuery},
    refusal::Refusal,
    services::service_of,
};

/// Which settings are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Kind {
    /// `secret` or `config`.
    #[param(required = true, example = "secret")]
    kind: Option<String>,
}

/// Lists what is set for a service. Values of secrets are not shown, to nobody.
#[utoipa::path(
    get, path = "/api/control/services/{service}/settings", operation_id = "control_list_settings", tag = "services",
    security(("session" = [])),
    params(("service" = String, Path, description = "The service's name", example = "tasks"), Kind, PageQuery),
    responses(
        (status = OK, body = SettingPage, description = "A page of settings"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    Path(service): Path<String>,
    uri: Uri,
    page: Page,
) -> Result<Json<SettingPage>, Refusal> {
    let service = service_of(&service)?;
    let kind = kind_of(query_of::<Kind>(&uri)?.kind.as_deref())?;
    let settings = state.platform().settings(kind, &service).await?;
    let place = |setting: &Setting| {
        let tenant = setting.tenant.as_ref().map_or("", |tenant| tenant.as_str());
        format!("{} {tenant}", setting.name)
    };
    let mut keyed: Vec<(String, Setting)> = settings.into_iter().map(|setting| (place(&setting), setting)).collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    let (items, next_page_token) = page.of(keyed, |(place, _)| place);
    let items = items.into_iter().map(|(_, setting)| setting).collect();
    Ok(Json(SettingPage { items, next_page_token }))
}
