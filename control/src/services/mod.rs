//! `/api/control/services`: units of backend code, and their releases.

mod activate;
mod canary;
mod create_release;
mod diff;
mod invoke;
mod list;
mod preview_release;
mod rollback;
mod show_release;

pub use activate::Activate;
pub use canary::{Canary, CanaryTenants, StartCanary};
pub use create_release::{MigrationUpload, ReleaseUpload};
pub use diff::{Asked, ContractChange, NewMigrationStep, ReleaseDiff, SettingChange};
pub use invoke::{InvocationResult, InvokeBundle, InvokeUpload, NewInvocation, Subject};
pub use rollback::Rollback;
pub use show_release::ReleaseFacts;
// The macro `routes!` finds an operation's description beside its handler.
pub(crate) use activate::*;
pub(crate) use canary::*;
pub(crate) use create_release::*;
pub(crate) use invoke::*;
pub(crate) use list::*;
pub(crate) use preview_release::*;
pub(crate) use rollback::*;
pub(crate) use show_release::*;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_ground_ids::{ReleaseId, ServiceName};
use utoipa::ToSchema;

use crate::refusal::Refusal;

/// A unit of backend code with a single task.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Service {
    /// Its name, as in `/api/<name>/`.
    #[schema(value_type = String, example = "tasks")]
    pub name: ServiceName,
    /// Its name, to show.
    pub title: String,
    /// The release that requests go to; null before the first is active.
    #[schema(required = true)]
    pub current: Option<Release>,
    /// Where a rollback leads; null when nowhere by itself: after a rollback, or before a second deploy.
    #[schema(value_type = Option<String>, required = true)]
    pub previous: Option<ReleaseId>,
    /// The release that some tenants have before all others; null when there is none.
    #[schema(required = true)]
    pub canary: Option<Canary>,
    /// Every release that is kept, newest first.
    pub releases: Vec<Release>,
    /// What happened to its releases lately, newest first.
    pub history: Vec<ReleaseEvent>,
}

/// Something that happened to a release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseEvent {
    /// The release; it may be gone.
    #[schema(value_type = String, example = "r_7f3k9q2m4x")]
    pub release: ReleaseId,
    /// `deployed`, `rolled-back`, `rolled-back-by-budget`, `canary-started`, `canary-promoted`,
    /// `canary-aborted`, `canary-aborted-by-budget` or `failed`.
    #[schema(example = "deployed")]
    pub happened: String,
    /// More about it. May be empty.
    pub detail: String,
    /// An operator's address, or `terrace`.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// One immutable version of a service.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Release {
    /// Its id.
    #[schema(value_type = String, example = "r_7f3k9q2m4x")]
    pub id: ReleaseId,
    /// The service.
    #[schema(value_type = String, example = "tasks")]
    pub service: ServiceName,
    /// What it is good for now.
    pub state: ReleaseState,
    /// The size of its component.
    pub size_bytes: u64,
    /// The hash of its whole bundle, in hexadecimal.
    pub sha256: String,
    /// The host interfaces that it is granted.
    pub capabilities: Vec<String>,
    /// Who uploaded it.
    pub uploaded_by: String,
    /// Why it failed; null when it did not.
    #[schema(required = true)]
    pub error: Option<String>,
    /// When it was uploaded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// What a release is good for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseState {
    /// Requests go to it.
    Active,
    /// Requests of some tenants go to it.
    Canary,
    /// It was never served.
    Uploaded,
    /// Requests can go to it again.
    Retained,
    /// It could not be started, or used up its error budget.
    Failed,
}

/// A page of services, in the order of their names.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServicePage {
    /// The services.
    pub items: Vec<Service>,
    /// Asks for the next page; null on the last.
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

/// `{service}` in a path. What cannot be a service's name is not found, like any other.
pub(crate) fn service_of(text: &str) -> Result<ServiceName, Refusal> {
    text.parse()
        .map_err(|error: terrace_ground_ids::Error| Refusal::not_found(format!("{error}.")))
}
