//! `GET /internal/edge/snapshot`: everything an edge needs to serve with nobody behind it.

use std::collections::BTreeMap;

use axum::{
    Json, extract,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use terrace_ground_ids::{BuildId, SiteName, TenantId};

use crate::{State, refusal::Refusal};

/// Hosts, sites and builds at one moment. [`EdgeSnapshot::new`] gives it its version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EdgeSnapshot {
    /// A hash of the rest: two snapshots with one version say the same.
    pub version: String,
    /// What follows the first label of a tenant's host.
    pub base_domain: String,
    /// By host, without the port.
    pub hosts: BTreeMap<String, EdgeHost>,
    /// By name.
    pub sites: BTreeMap<SiteName, EdgeSite>,
    /// By id.
    pub builds: BTreeMap<BuildId, EdgeBuild>,
}

/// What a host serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EdgeHost {
    /// The site.
    pub site: SiteName,
    /// Whose it is; none for the platform's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Whether it may be served; none for the platform's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<EdgeHostState>,
}

/// Whether a tenant's host may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeHostState {
    /// It may.
    Active,
    /// It may not, and visitors are told so.
    Suspended,
}

/// Which builds of a site are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EdgeSite {
    /// What new visitors get.
    pub current: BuildId,
    /// Newest first; the current one is among them.
    pub builds: Vec<BuildId>,
}

/// The files of a build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EdgeBuild {
    /// The site.
    pub site: SiteName,
    /// In the order of their paths.
    pub files: Vec<EdgeFile>,
}

/// One file of a build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EdgeFile {
    /// `/index.html`.
    pub path: String,
    /// 64 lowercase hexadecimal characters; asks for the bytes.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// `text/html; charset=utf-8`.
    pub content_type: String,
}

impl EdgeSnapshot {
    /// A snapshot with the version that its content has.
    pub fn new(
        base_domain: String,
        hosts: BTreeMap<String, EdgeHost>,
        sites: BTreeMap<SiteName, EdgeSite>,
        builds: BTreeMap<BuildId, EdgeBuild>,
    ) -> Self {
        let mut snapshot = Self {
            version: String::new(),
            base_domain,
            hosts,
            sites,
            builds,
        };
        let content = serde_json::to_vec(&snapshot).unwrap_or_default();
        let digest = HEXLOWER.encode(&Sha256::digest(&content));
        snapshot.version = digest[..16].to_owned();
        snapshot
    }
}

/// An edge asks every second and mostly hears 304.
pub(crate) async fn snapshot(
    extract::State(state): extract::State<State>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let snapshot = state.platform().edge_snapshot().await?;
    let etag = format!("\"{}\"", snapshot.version);
    let caching = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value == etag.as_str())
    {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    Ok((caching, Json(&*snapshot)).into_response())
}
