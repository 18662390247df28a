//! The snapshot: all that the edge knows, as the node publishes it and as it lies on the disk.
//!
//! Shape: `GET /internal/edge/snapshot` of the node. A field that this version does not know is
//! ignored, because node and edge are updated one after the other.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use terrace_ground_ids::{BuildId, SiteName, TenantId};

/// Hosts, sites and builds at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Changes when anything else does.
    pub(crate) version: String,
    /// The domain under which tenants get their hosts: `localhost`.
    pub(crate) base_domain: String,
    /// Host name without port, lowercase, to what it shows.
    pub(crate) hosts: BTreeMap<String, HostEntry>,
    /// The sites that hosts name.
    pub(crate) sites: BTreeMap<SiteName, SiteEntry>,
    /// The builds that sites name.
    pub(crate) builds: BTreeMap<BuildId, BuildEntry>,
}

/// What one host shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostEntry {
    /// The site it serves.
    pub(crate) site: SiteName,
    /// The tenant behind it; none for the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<TenantId>,
    /// `active`, `suspended`, ...: the node's business. A suspended tenant's site still loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
}

/// A site and its builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SiteEntry {
    /// The build that navigations get; none while a site has no build yet.
    #[serde(default)]
    pub(crate) current: Option<BuildId>,
    /// The current and the retained builds, newest first. Their assets stay reachable for open tabs.
    pub(crate) builds: Vec<BuildId>,
}

/// The files of one build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuildEntry {
    /// Whose build it is.
    pub(crate) site: SiteName,
    /// Every file.
    pub(crate) files: Vec<FileEntry>,
}

/// One file of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// Decoded path with a leading slash: `/assets/index-4f3a.js`.
    pub(crate) path: String,
    /// The content's name.
    pub(crate) sha256: Fingerprint,
    /// Bytes.
    pub(crate) size: u64,
    /// The media type with its charset; guessed from the path when empty.
    #[serde(default)]
    pub(crate) content_type: String,
}

/// The SHA-256 of some content as 64 lowercase hexadecimal characters: safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of `content`.
    pub(crate) fn of(content: &[u8]) -> Self {
        Self(data_encoding::HEXLOWER.encode(&Sha256::digest(content)))
    }

    /// The 64 characters.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;
    fn try_from(value: String) -> Result<Self, String> {
        let valid = value.len() == 64 && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self(value))
        } else {
            Err("a sha256 is 64 lowercase hexadecimal characters".to_owned())
        }
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Snapshot {
    /// Every content that a build names, once.
    pub(crate) fn fingerprints(&self) -> HashSet<Fingerprint> {
        self.builds
            .values()
            .flat_map(|build| &build.files)
            .map(|file| file.sha256.clone())
            .collect()
    }

    /// What can be served of this snapshot when only some contents are at hand.
    ///
    /// A build with a missing content is left out. A site whose current build is left out keeps
    /// what `previous` showed, else its newest whole build. One bad build therefore costs neither
    /// another site nor a new tenant anything. Returns the builds that were left out.
    pub(crate) fn settle(
        mut self,
        previous: Option<&Self>,
        at_hand: impl Fn(&Fingerprint) -> bool,
    ) -> (Self, Vec<BuildId>) {
        let whole = |build: &BuildEntry| build.files.iter().all(|file| at_hand(&file.sha256));
        let mut refused = Vec::new();
        self.builds.retain(|id, build| {
            let keep = whole(build);
            if !keep {
                refused.push(id.clone());
            }
            keep
        });
        for (name, site) in &mut self.sites {
            let builds = &mut self.builds;
            site.builds.retain(|id| builds.contains_key(id));
            let Some(current) = site.current.take() else { continue };
            if builds.contains_key(&current) {
                site.current = Some(current);
                continue;
            }
            let before = previous.and_then(|previous| {
                let id = previous.sites.get(name)?.current.clone()?;
                let build = previous.builds.get(&id)?;
                Some((id, build)).filter(|(_, build)| whole(build))
            });
            if let Some((id, build)) = before {
                builds.entry(id.clone()).or_insert_with(|| build.clone());
                site.builds.retain(|other| *other != id);
                site.builds.insert(0, id.clone());
                site.current = Some(id);
            } else {
                site.current = site.builds.first().cloned();
            }
        }
        (self, refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(current: &str, builds: &[(&str, &str)]) -> Snapshot {
        let site: SiteName = "tasks".parse().unwrap();
        let id = |name: &str| format!("b_{name:0>16}").parse::<BuildId>().unwrap();
        Snapshot {
            version: current.to_owned(),
            base_domain: "localhost".to_owned(),
            hosts: BTreeMap::new(),
            sites: [(
                site.clone(),
                SiteEntry {
                    current: Some(id(current)),
                    builds: builds.iter().map(|(name, _)| id(name)).collect(),
                },
            )]
            .into(),
            builds: builds
                .iter()
                .map(|(name, content)| {
                    let file = FileEntry {
                        path: "/index.html".to_owned(),
                        sha256: Fingerprint::of(content.as_bytes()),
                        size: 1,
                        content_type: String::new(),
                    };
                    (
                        id(name),
                        BuildEntry {
                            site: site.clone(),
                            files: vec![file],
                        },
                    )
                })
                .collect(),
        }
    }

    #[test]
    fn a_build_with_a_missing_content_leaves_the_site_on_the_build_before() {
        let before = snapshot("1", &[("1", "one")]);
        let missing = Fingerprint::of(b"two");
        let (after, refused) = snapshot("2", &[("2", "two")]).settle(Some(&before), |content| *content != missing);
        assert_eq!(refused.len(), 1);
        assert_eq!(after.sites, before.sites);
        assert_eq!(after.builds, before.builds);
    }

    #[test]
    fn without_a_build_before_the_newest_whole_one_is_shown() {
        let missing = Fingerprint::of(b"two");
        let (after, _) = snapshot("2", &[("2", "two"), ("1", "one")]).settle(None, |content| *content != missing);
        assert_eq!(
            after.sites.values().next().unwrap().current,
            "b_0000000000000001".parse().ok()
        );
    }

    #[test]
    fn a_site_without_a_build_does_not_spoil_the_snapshot() {
        let text = r#"{"version":"1","base_domain":"localhost","hosts":{"console.localhost":{"site":"console"}},
            "sites":{"console":{"current":null,"builds":[]}},"builds":{},"later":true}"#;
        let snapshot: Snapshot = serde_json::from_str(text).unwrap();
        let (settled, refused) = snapshot.clone().settle(None, |_| true);
        assert!(refused.is_empty());
        assert_eq!(settled, snapshot);
    }

    #[test]
    fn a_fingerprint_cannot_name_a_file_elsewhere() {
        for hostile in ["../../etc/passwd", "", "ABCDEF", &"g".repeat(64), &"A".repeat(64)] {
            assert!(Fingerprint::try_from(hostile.to_owned()).is_err(), "{hostile}");
        }
    }
}
