//! The OpenAPI document of the control plane, from the annotations of its handlers.

use axum::{Json, response::IntoResponse};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{
        Components, InfoBuilder, OpenApi, OpenApiBuilder, Server,
        security::{ApiKey, ApiKeyValue, SecurityScheme},
        tag::TagBuilder,
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State, archives, authentication::COOKIE, clusters, logs, meters, operations, services, session, settings, sites,
    tenants, usage,
};

/// Every operation. `protect` is applied to all of them but sign-in, so a new operation needs a
/// token unless somebody writes it below that line.
pub(crate) fn operations(protect: impl FnOnce(OpenApiRouter<State>) -> OpenApiRouter<State>) -> OpenApiRouter<State> {
    let protected = OpenApiRouter::with_openapi(head())
        .routes(routes!(session::show))
        .routes(routes!(session::sign_out))
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::create))
        .routes(routes!(tenants::show))
        .routes(routes!(tenants::delete))
        .routes(routes!(tenants::suspend))
        .routes(routes!(tenants::resume))
        .routes(routes!(tenants::plan))
        .routes(routes!(tenants::rename))
        .routes(routes!(tenants::export))
        .routes(routes!(tenants::operations))
        .routes(routes!(tenants::database))
        .routes(routes!(tenants::finish))
        .routes(routes!(tenants::evidence))
        .routes(routes!(tenants::relocate))
        .routes(routes!(tenants::cancel_move))
        .routes(routes!(operations::list))
        .routes(routes!(archives::create))
        .routes(routes!(archives::put_part))
        .routes(routes!(archives::import))
        .routes(routes!(archives::restore))
        .routes(routes!(services::list))
        .routes(routes!(services::create_release))
        .routes(routes!(services::preview_release))
        .routes(routes!(services::show_release))
        .routes(routes!(services::activate))
        .routes(routes!(services::rollback))
        .routes(routes!(services::start_canary))
        .routes(routes!(services::promote_canary))
        .routes(routes!(services::abort_canary))
        .routes(routes!(services::invoke))
        .routes(routes!(settings::list))
        .routes(routes!(settings::put))
        .routes(routes!(settings::delete))
        .routes(routes!(sites::list))
        .routes(routes!(sites::create_build))
        .routes(routes!(clusters::list))
        .routes(routes!(clusters::add))
        .routes(routes!(clusters::balance))
        .routes(routes!(clusters::drain))
        .routes(routes!(clusters::open))
        .routes(routes!(logs::list))
        .routes(routes!(meters::show))
        .routes(routes!(meters::stream))
        .routes(routes!(usage::show));
    protect(protected).routes(routes!(session::sign_in))
}

/// The OpenAPI 3.1 document of `/api/control/*`.
pub fn contract() -> OpenApi {
    operations(|protected| protected).into_openapi()
}

/// `GET /api/control/openapi.json`: the contract is public, as it is in the repository.
pub(crate) async fn show() -> impl IntoResponse {
    Json(contract())
}

fn head() -> OpenApi {
    let session = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
        COOKIE,
        "An operator's session. The same token, or the long-lived operator token, is accepted as `Authorization: Bearer`.",
    )));
    let tag = |name: &str, description: &str| TagBuilder::new().name(name).description(Some(description)).build();
    let schemas = Components::builder()
        .security_scheme("session", session)
        .schema_from::<Problem>()
        .schema_from::<FieldError>()
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Terrace control plane")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("What operators do: tenants, releases, builds, meters."))
                .build(),
        )
        .servers(Some([Server::new("/")]))
        .tags(Some([
            tag("session", "Signing in as an operator"),
            tag("tenants", "Customers, and where their data lives"),
            tag("operations", "What is done to tenants, step by step"),
            tag("archives", "Tenants on their way in"),
            tag("services", "Units of backend code, and their releases"),
            tag("sites", "Static frontends, and their builds"),
            tag("clusters", "PostgreSQL servers"),
            tag("meters", "Requests, errors and latencies of the last minute"),
        ]))
        .components(Some(schemas))
        .build()
}

/// A problem document (RFC 9457). This is its description; `terrace-ground-error` writes it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A page about this code.
    r#type: String,
    /// The code's title.
    title: String,
    /// The HTTP status, repeated.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time, for people.
    #[schema(nullable = false)]
    detail: Option<String>,
    /// The stable code, in kebab-case.
    code: String,
    /// What to quote when asking for help.
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// The fields that are not valid, for `validation-failed`.
    #[schema(nullable = false)]
    errors: Option<Vec<FieldError>>,
}

/// One field that is not valid.
#[derive(Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// A JSON pointer (RFC 6901) into the body, or `/` and the name of a query parameter.
    pointer: String,
    /// What is wrong with it, in a sentence.
    detail: String,
}
