//! Links: whoever has one may read or write one file, until it ends.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;
use terrace_ground_ids::{ServiceName, TenantId};

use crate::{Error, ErrorKind, name};

/// Where links lead to; what follows is the service and the file.
const PATH: &str = "/api/_blob/";
/// The longest life of a link.
const LIFE_MAX: Duration = Duration::from_hours(7 * 24);
/// What stays as it is in a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// GET.
    Read,
    /// PUT.
    Write,
}

impl Access {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A link that may be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whose file.
    pub service: ServiceName,
    /// Which.
    pub name: String,
    /// What for.
    pub may: Access,
    /// How long it still is.
    pub left: Duration,
}

/// Signs links, and reads them.
pub struct Links {
    key: [u8; 32],
}

impl Links {
    /// All nodes of an installation have the same key.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Whether a path is one of a link, good or not.
    pub fn is_path(path: &str) -> bool {
        path.starts_with(PATH)
    }

    /// A path on the tenant's host.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`] for a name that no file has, and for more than 7 days.
    pub fn make(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
        name: &str,
        may: Access,
        life: Duration,
    ) -> Result<String, Error> {
        name::check(name)?;
        if life > LIFE_MAX {
            return Err(Error {
                kind: ErrorKind::BadValue,
                message: "a link is for 7 days at most".to_owned(),
            });
        }
        let until = now().saturating_add(life).as_secs();
        let seal = BASE64URL_NOPAD.encode(&self.seal(tenant, service, name, may, until).finalize().into_bytes());
        let shown = utf8_percent_encode(name, PLAIN);
        Ok(format!(
            "{PATH}{service}/{shown}?may={}&until={until}&seal={seal}",
            may.as_str()
        ))
    }

    /// What a path and query on this tenant's host allow. None when they are no link of this
    /// installation for this tenant, or one that has ended.
    pub fn read(&self, tenant: &TenantId, path: &str, query: &str) -> Option<Link> {
        let (service, name) = path.strip_prefix(PATH)?.split_once('/')?;
        let service: ServiceName = service.parse().ok()?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        let value = |wanted: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
        };
        let may = match value("may")? {
            "read" => Access::Read,
            "write" => Access::Write,
            _ => return None,
        };
        let until: u64 = value("until")?.parse().ok()?;
        let seal = BASE64URL_NOPAD.decode(value("seal")?.as_bytes()).ok()?;
        let expected = self.seal(tenant, &service, &name, may, until);
        expected.verify_slice(&seal).ok()?;
        let left = Duration::from_secs(until).checked_sub(now())?;
        Some(Link {
            service,
            name: name.into_owned(),
            may,
            left,
        })
    }

    fn seal(&self, tenant: &TenantId, service: &ServiceName, name: &str, may: Access, until: u64) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of 32 bytes");
        // No part has a line's end in it, and the name, which is free, comes last.
        mac.update(format!("terrace blob 1\n{tenant}\n{service}\n{}\n{until}\n{name}", may.as_str()).as_bytes());
        mac
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_for_one_tenant_one_service_one_file_one_way_and_one_time() {
        let links = Links::new([7; 32]);
        let (acme, globex): (TenantId, TenantId) = ("t_aaaaaaaa".parse().unwrap(), "t_bbbbbbbb".parse().unwrap());
        let service: ServiceName = "tasks".parse().unwrap();
        let name = "a b/ü?&=#%2F.png";
        let link = links
            .make(&acme, &service, name, Access::Read, Duration::from_secs(60))
            .unwrap();
        let (path, query) = link.split_once('?').unwrap();
        let read = links.read(&acme, path, query).unwrap();
        assert_eq!((read.name.as_str(), read.may), (name, Access::Read));
        assert!(read.left <= Duration::from_secs(60) && read.left > Duration::from_secs(50));
        assert!(Links::is_path(path) && !Links::is_path("/api/tasks/x"));

        let other = |from: &str, to: &str| {
            let changed = link.replace(from, to);
            assert_ne!(changed, link, "{from}");
            let (path, query) = changed.split_once('?').unwrap();
            links.read(&acme, path, query)
        };
        assert_eq!(links.read(&globex, path, query), None);
        assert_eq!(other("tasks", "billing"), None);
        assert_eq!(other("a%20b", "a%20c"), None);
        assert_eq!(other("may=read", "may=write"), None);
        assert_eq!(other("may=read&", ""), None);
        assert_eq!(other("until=", "until=1"), None);
        assert_eq!(other("seal=", "seal=A"), None);
        assert_eq!(Links::new([8; 32]).read(&acme, path, query), None);

        let ended = links.make(&acme, &service, name, Access::Read, Duration::ZERO).unwrap();
        let (path, query) = ended.split_once('?').unwrap();
        assert_eq!(links.read(&acme, path, query), None);
        let long = links.make(&acme, &service, name, Access::Read, LIFE_MAX + Duration::from_secs(1));
        assert_eq!(long.unwrap_err().kind, ErrorKind::BadValue);
        assert!(links.make(&acme, &service, "../x", Access::Read, LIFE_MAX).is_err());
    }
}
