//! The control plane's API: tenants, releases, builds, meters; for console, CLI and edge.
//!
//! [`router`] answers `/api/control/*` to operators, [`internal`] answers `/internal/*` to the edge,
//! and [`contract`] is the OpenAPI document of the first, made from the same annotations. What the
//! API does to the platform goes through the trait [`Platform`], which the crate `platform`
//! implements: nothing here knows a database, an engine or a disk.
//!
//! The folder is the URL: `/api/control/tenants` lives in `tenants/`, one endpoint a file.

mod archives;
mod attempts;
mod authentication;
mod body;
mod clusters;
mod config;
mod contract;
mod internal;
mod lifecycle;
mod logs;
mod meters;
mod operations;
mod page;
mod password;
mod platform;
mod refusal;
mod request;
mod services;
mod session;
mod settings;
mod sites;
mod state;
mod tenants;
mod usage;
mod validation;

pub use archives::{Archive, ImportTenant, RestoreTenant};
pub use authentication::Operator;
pub use clusters::{AddCluster, Cluster, ClusterPage, ClusterState, NewCluster, Suggestion, SuggestionList};
pub use config::Config;
pub use contract::contract;
pub use internal::{EdgeBuild, EdgeFile, EdgeHost, EdgeHostState, EdgeSite, EdgeSnapshot, Health};
pub use lifecycle::{Destination, LaneKind, Lifecycle, NewImport, NewRestore, Pieces, Rename};
pub use logs::{LogFilter, LogLevel, LogLine, LogLines};
pub use meters::{Meters, MetersError, MetersPoint, MetersTotals, ServiceMeters, TenantMeters};
pub use operations::{Operation, OperationKind, OperationPage, OperationState, OperationStep};
pub use password::hash as hash_password;
pub use platform::{
    CanarySplit, Error, NewBuild, NewFile, NewMigration, NewOwner, NewRelease, NewTenant, OperatorRecord, Platform,
    Secret, TenantRef, TenantSlice,
};
pub use services::{
    Activate, Asked, Canary, CanaryTenants, ContractChange, InvocationResult, InvokeBundle, InvokeUpload,
    MigrationUpload, NewInvocation, NewMigrationStep, Release, ReleaseDiff, ReleaseEvent, ReleaseFacts, ReleaseState,
    ReleaseUpload, Rollback, Service, ServicePage, SettingChange, StartCanary, Subject,
};
pub use session::{Credentials, Session};
pub use settings::{NewSetting, PutSetting, Setting, SettingKind, SettingPage, SettingRef};
pub use sites::{Build, BuildState, BuildUpload, FileUpload, Site, SitePage};
pub use state::State;
pub use tenants::{
    ChangePlan, CreateOwner, CreateTenant, CreatedOwner, CreatedTenant, DeletedTenant, LockWait, MigrationState,
    MoveTenant, Placement, Plan, RenameTenant, SchemaState, SlowStatement, StatementCounts, Tenant, TenantConnections,
    TenantDatabase, TenantPage, TenantState,
};
pub use usage::{UsageFilter, UsageReport, UsageRow};

use axum::{Router, middleware, routing};

/// What operators may call: everything under `/api/control`. Any other path below it is answered
/// with a problem document; paths outside it are left to whoever merges this router.
pub fn router(state: State) -> Router {
    let operations = contract::operations(|protected| {
        protected.route_layer(middleware::from_fn_with_state(
            state.clone(),
            authentication::authenticate,
        ))
    });
    let (router, _) = operations.split_for_parts();
    router
        .route("/api/control/openapi.json", routing::get(contract::show))
        .route("/api/control", routing::any(request::unknown_path))
        .route("/api/control/", routing::any(request::unknown_path))
        .route("/api/control/{*path}", routing::any(request::unknown_path))
        .method_not_allowed_fallback(request::method_not_allowed)
        .layer(middleware::from_fn(request::refuse_cross_site))
        .layer(middleware::from_fn(request::seal))
        .with_state(state)
}

/// What the edge may call: everything under `/internal`. The node binds it to a private address and
/// the edge never forwards to it, so it asks for no token.
pub fn internal(state: State) -> Router {
    Router::new()
        .route("/internal/health", routing::get(internal::health))
        .route("/internal/edge/snapshot", routing::get(internal::snapshot))
        .route("/internal/edge/blob/{sha256}", routing::get(internal::blob))
        .route("/internal", routing::any(request::unknown_path))
        .route("/internal/", routing::any(request::unknown_path))
        .route("/internal/{*path}", routing::any(request::unknown_path))
        .method_not_allowed_fallback(request::method_not_allowed)
        .layer(middleware::from_fn(request::seal))
        .with_state(state)
}
