//! Identifiers of everything that has an identity: tenants, services, releases, lanes, requests.
//!
//! Every crate uses these instead of bare strings. An id that parsed is safe to place into a role
//! name, a schema name, a file name or a URL: nothing here accepts a quote, a slash or a space.

use std::{fmt, str::FromStr};

use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Why a text is not the id that it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a {kind}: expected {expected}")]
pub struct Error {
    /// What was being parsed: `tenant id`, `slug`, ...
    pub kind: &'static str,
    /// The shape that would have been right.
    pub expected: &'static str,
    /// What came instead, shortened to 64 characters.
    pub value: String,
}

/// 32 characters without `0 1 i l`: ids are read aloud and copied by hand.
static ALPHABET: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("23456789abcdefghjkmnopqrstuvwxyz");
    #[expect(
        clippy::expect_used,
        reason = "a constant alphabet of 32 distinct symbols always encodes"
    )]
    specification.encoding().expect("alphabet of 32 symbols")
});

/// `length` characters of the alphabet, from the operating system's randomness.
fn random(length: usize) -> String {
    let mut bytes = vec![0_u8; length.div_ceil(8) * 5];
    #[expect(
        clippy::expect_used,
        reason = "without randomness no id may be made, and nothing can go on"
    )]
    getrandom::fill(&mut bytes).expect("operating system randomness");
    let mut text = ALPHABET.encode(&bytes);
    text.truncate(length);
    text
}

fn shorten(value: &str) -> String {
    value.chars().take(64).collect()
}

macro_rules! text_id {
    ($name:ident, $kind:literal, $expected:literal, $valid:expr, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(value: &str) -> Result<Self, Error> {
                let valid: fn(&str) -> bool = $valid;
                if valid(value) {
                    Ok(Self(value.into()))
                } else {
                    Err(Error {
                        kind: $kind,
                        expected: $expected,
                        value: shorten(value),
                    })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(value: String) -> Result<Self, Error> {
                value.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! random_id {
    ($name:ident, $prefix:literal, $length:literal, $kind:literal, $expected:literal, $doc:literal) => {
        text_id!(
            $name,
            $kind,
            $expected,
            |value| value
                .strip_prefix($prefix)
                .is_some_and(|rest| rest.len() == $length && is_alphabet(rest)),
            $doc
        );

        impl $name {
            /// A new one, from the operating system's randomness.
            pub fn random() -> Self {
                Self(format!("{}{}", $prefix, random($length)).into())
            }
        }
    };
}

random_id!(
    TenantId,
    "t_",
    8,
    "tenant id",
    "`t_` and 8 characters, like t_7f3k9q2m",
    "A tenant: opaque, so that no role or schema name shows a customer's name."
);
random_id!(
    ReleaseId,
    "r_",
    10,
    "release id",
    "`r_` and 10 characters, like r_7f3k9q2m4x",
    "One immutable version of a service."
);
random_id!(
    LaneId,
    "l_",
    6,
    "lane id",
    "`l_` and 6 characters, like l_7f3k9q",
    "A login role that may act for a bounded number of tenants."
);
random_id!(
    ArchiveId,
    "a_",
    10,
    "archive id",
    "`a_` and 10 characters, like a_7f3k9q2m4x",
    "An archive of a tenant that is being uploaded."
);
random_id!(
    RequestId,
    "req_",
    16,
    "request id",
    "`req_` and 16 characters",
    "One request, from the edge to the last log line."
);
text_id!(
    BuildId,
    "build id",
    "`b_` and 16 hexadecimal characters",
    |value| value
        .strip_prefix("b_")
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))),
    "One immutable version of a site, named by its content."
);
text_id!(
    ServiceName,
    "service name",
    "a lowercase letter, then up to 23 of `a-z`, `0-9` and `-`",
    |value| is_name(value, 24),
    "A service: `tasks`. At most 24 characters, so that `t_7f3k9q2m_tasks` fits a role name."
);
text_id!(
    SiteName,
    "site name",
    "a lowercase letter, then up to 23 of `a-z`, `0-9` and `-`",
    |value| is_name(value, 24),
    "A static frontend."
);
text_id!(
    ClusterName,
    "cluster name",
    "a lowercase letter, then up to 23 of `a-z`, `0-9` and `-`",
    |value| is_name(value, 24),
    "A PostgreSQL server."
);
text_id!(
    SettingName,
    "setting name",
    "a lowercase letter, then up to 62 of `a-z`, `0-9` and `-`",
    |value| is_name(value, 63),
    "A secret or a plain value that an operator sets for a service: `stripe-key`."
);
text_id!(
    Slug,
    "slug",
    "a lowercase letter, then up to 30 of `a-z`, `0-9` and `-`, and not a reserved name",
    |value| is_name(value, 31) && !RESERVED_SLUGS.contains(&value),
    "The first label of a tenant's host: `acme` in `acme.example.com`."
);

/// Host labels that no tenant may take, because the platform answers on them.
pub const RESERVED_SLUGS: [&str; 6] = ["admin", "api", "console", "internal", "mail", "www"];

fn is_alphabet(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'2'..=b'9' | b'a'..=b'h' | b'j' | b'k' | b'm'..=b'z'))
}

fn is_name(text: &str, length_max: usize) -> bool {
    text.len() <= length_max
        && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.ends_with('-')
}

impl TenantId {
    /// The schema of one service of this tenant, and the name of the runtime role that may use it:
    /// `t_7f3k9q2m_tasks`. A dash in the service's name becomes an underscore.
    pub fn schema(&self, service: &ServiceName) -> String {
        format!("{self}_{}", service.as_str().replace('-', "_"))
    }

    /// The role that owns the tenant's schemas and tables. Only migrations act as it.
    pub fn owner_role(&self) -> String {
        format!("{self}_owner")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_id_parses_back_and_is_different_each_time() {
        let (a, b) = (TenantId::random(), TenantId::random());
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse::<TenantId>().unwrap(), a);
        assert_eq!(RequestId::random().as_str().len(), 20);
        assert!(ReleaseId::random().as_str().parse::<ReleaseId>().is_ok());
    }

    #[test]
    fn nothing_that_could_leave_a_quoted_name_is_an_id() {
        for hostile in [
            "",
            "t_",
            "t_7f3k9q2",
            "t_7f3k9q2m'",
            "t_7F3K9Q2M",
            "t_7f3k9q2\"",
            "../../etc",
            "t_7f3k9q2m;",
            "t_0000000l",
        ] {
            assert!(hostile.parse::<TenantId>().is_err(), "{hostile}");
            assert!(hostile.parse::<ServiceName>().is_err(), "{hostile}");
        }
        assert!("console".parse::<Slug>().is_err());
        assert!("acme-2".parse::<Slug>().is_ok());
    }
}
