//! What service authors import: a service is a plain axum router, and everything around it is here.
//!
//! A service's `lib.rs` is a function that returns a [`Router`], and one macro at the end:
//!
//! ```
//! use terrace_sdk::prelude::*;
//!
//! /// Says hello to the member who asks.
//! #[utoipa::path(get, path = "/api/greeter/hello", operation_id = "greeter_say_hello",
//!     responses((status = 200, description = "A greeting", body = Greeting)))]
//! async fn hello(tenant: Tenant, caller: Caller) -> Result<Json<Greeting>, Problem> {
//!     Ok(Json(Greeting { text: format!("Hello {} of {}", caller.name, tenant.name) }))
//! }
//!
//! #[derive(serde::Serialize, utoipa::ToSchema)]
//! struct Greeting { text: String }
//!
//! pub fn router() -> Router {
//!     routes!(Router::new(), hello)
//! }
//!
//! terrace_sdk::service!(router);
//! ```
//!
//! Compiled for `wasm32-wasip2`, the macro exports `wasi:http/incoming-handler`, and the functions
//! of this crate reach the platform by `contracts/wit`. Compiled natively, it exports nothing, and
//! the same functions go to a [`native::Host`]: so a service has ordinary unit tests.
//!
//! A service depends on this crate and on `serde` (whose derive names `::serde`). The macros of
//! utoipa need no more than the modules that the [`prelude`] brings into scope.

mod check;
mod contract;
mod delivery;
mod host;
mod json;
mod request;
mod router;

pub mod blob;
pub mod cache;
pub mod calls;
pub mod clock;
pub mod config;
pub mod db;
pub mod fetch;
pub mod log;
pub mod paging;
pub mod password;
pub mod problem;
pub mod random;
pub mod schedule;
pub mod secrets;
pub mod token;

#[cfg(not(target_family = "wasm"))]
pub mod native;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod wasm;

pub use check::Check;
pub use clock::Timestamp;
pub use db::{Db, Transaction};
pub use delivery::{Delivery, Owner, PlanChanged, TenantCreated};
pub use json::{Json, nullable};
pub use problem::{Code, Problem};
pub use request::{Caller, IdempotencyKey, IfMatch, Path, Query, Role, Tenant};
pub use router::Router;

#[doc(hidden)]
pub use pastey::paste;
pub use {axum, http, serde, serde_json, utoipa};

/// What nearly every file of a service needs: `use terrace_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::db::{FromRow, Row};
    pub use crate::{
        Caller, Check, Code, Db, IdempotencyKey, IfMatch, Json, Path, Problem, Query, Router, Tenant, Timestamp,
        Transaction, log, params, routes,
    };
    pub use axum;
    pub use axum::http::StatusCode;
    pub use utoipa;
}
