//! What a release asks for and changes, against the one that is served.

use serde::Serialize;
use terrace_ground_ids::ReleaseId;
use utoipa::ToSchema;

/// What is different between a release and the one that is served now. Everything is a difference
/// when none is served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReleaseDiff {
    /// The release that it is compared with; null when none is served.
    #[schema(value_type = Option<String>, required = true)]
    pub against: Option<ReleaseId>,
    /// Whether it is that very release.
    pub same: bool,
    /// Whether a client of the served release can fail on this one.
    pub breaking: bool,
    /// What it newly asks for.
    pub asks: Vec<Asked>,
    /// What it asks for no more.
    pub drops: Vec<Asked>,
    /// Limits and other settings that are different.
    pub settings: Vec<SettingChange>,
    /// Migrations that every tenant's schema gets.
    pub migrations: Vec<NewMigrationStep>,
    /// What is different for clients, operation by operation.
    pub contract: Vec<ContractChange>,
}

/// One thing that a manifest asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Asked {
    /// `capability`, `http`, `credential`, `secret`, `value`, `call`, `event`, `hook`, or the key in the
    /// manifest.
    #[schema(example = "http")]
    pub kind: String,
    /// Which one.
    #[schema(example = "api.example.com")]
    pub name: String,
}

/// A setting of the manifest that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SettingChange {
    /// The key in the manifest.
    #[schema(example = "limits.cpu_ms")]
    pub name: String,
    /// Its value in the served release; null when it had none.
    #[schema(required = true)]
    pub before: Option<String>,
    /// Its value in this release; null when it has none.
    #[schema(required = true)]
    pub after: Option<String>,
}

/// A migration that is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NewMigrationStep {
    /// Its name.
    #[schema(example = "0004_titles")]
    pub name: String,
    /// What it takes away from the served release, as sentences. Empty when it only adds, so that one
    /// can go back.
    pub takes_away: Vec<String>,
    /// What tenants with big tables have to wait for, and what to write instead, as sentences. Empty when
    /// it is quick on tables of any size.
    pub makes_wait: Vec<String>,
}

/// A difference in the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ContractChange {
    /// Whether a client of the served release can fail on it.
    pub breaking: bool,
    /// The operation.
    #[schema(example = "GET /api/tasks/boards")]
    pub place: String,
    /// What is different.
    #[schema(example = "response 200: the field `title` is gone")]
    pub detail: String,
}
