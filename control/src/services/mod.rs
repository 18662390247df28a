//! `/api/control/services`: units of backend code, and their releases.

mod activate;
mod create_release;
mod list;

pub use activate::Activate;
pub use create_release::{MigrationUpload, ReleaseUpload};
// The macro `routes!` finds an operation's description beside its handler.
pub(crate) use activate::*;
pub(crate) use create_release::*;
pub(crate) use list::*;

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
    /// Every release that is kept, newest first.
    pub releases: Vec<Release>,
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
    /// The hash of its component, in hexadecimal.
    pub sha256: String,
    /// The host interfaces that it is granted.
    pub capabilities: Vec<String>,
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
    /// Requests can go to it again.
    Retained,
    /// It could not be started.
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
