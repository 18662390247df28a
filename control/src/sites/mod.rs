//! `/api/control/sites`: static frontends, and their builds.

mod create_build;
mod list;

pub use create_build::{BuildUpload, FileUpload};
// The macro `routes!` finds an operation's description beside its handler.
pub(crate) use create_build::*;
pub(crate) use list::*;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_ground_ids::{BuildId, SiteName};
use utoipa::ToSchema;

/// A static frontend.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Site {
    /// Its name.
    #[schema(value_type = String, example = "tasks")]
    pub name: SiteName,
    /// Its name, to show.
    pub title: String,
    /// The build that new visitors get; null before the first.
    #[schema(required = true)]
    pub current: Option<Build>,
    /// Every build that is kept, newest first.
    pub builds: Vec<Build>,
}

/// One immutable version of a site.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Build {
    /// Its id, made of its content.
    #[schema(value_type = String, example = "b_0123456789abcdef")]
    pub id: BuildId,
    /// The site.
    #[schema(value_type = String, example = "tasks")]
    pub site: SiteName,
    /// Whether new visitors get it.
    pub state: BuildState,
    /// How many files it has.
    pub files: u64,
    /// The size of its files together, before compression.
    pub size_bytes: u64,
    /// When it was uploaded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// What a build is good for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BuildState {
    /// New visitors get it.
    Active,
    /// Tabs that were opened with it still find its files.
    Retained,
}

/// A page of sites, in the order of their names.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SitePage {
    /// The sites.
    pub items: Vec<Site>,
    /// Asks for the next page; null on the last.
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}
