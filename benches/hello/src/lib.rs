//! The smallest service: one public operation, no capability. What the sandbox itself costs.

use terrace_sdk::prelude::*;

/// An answer without a question.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Greeting {
    text: &'static str,
}

/// Answers.
#[utoipa::path(get, path = "/api/hello/ping", operation_id = "hello_ping", security(()),
    responses((status = 200, description = "Hello", body = Greeting)))]
async fn ping() -> Json<Greeting> {
    Json(Greeting { text: "hello" })
}

/// The routes.
pub fn router() -> Router {
    routes!(Router::new(), ping)
}

terrace_sdk::service!(router);
