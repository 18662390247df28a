//! A host as it may be written, in a manifest and by a guest: a DNS name, or an address in its one
//! usual form. `127.1`, `0x7f000001`, `2130706433` and `0177.0.0.1` are none of these.

use std::{fmt, net::IpAddr};

/// Longest name, without a dot at its end (RFC 1035, 2.3.4).
const NAME_MAX: usize = 253;
/// Longest label of a name.
const LABEL_MAX: usize = 63;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name in lower case, without a dot at its end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Host {
    /// Reads a host as it stands in a URL: IPv6 in brackets.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix('[') {
            let address = rest.strip_suffix(']').and_then(|inner| inner.parse().ok());
            return address
                .map(|address| Self::Address(IpAddr::V6(address)))
                .ok_or_else(|| format!("`{text}` is no IPv6 address in brackets"));
        }
        let name = name(text)?;
        if ends_in_a_number(&name) {
            // Rust reads dotted quads strictly: four decimal parts, no leading zero.
            return name
                .parse()
                .map(|address| Self::Address(IpAddr::V4(address)))
                .map_err(|_| {
                    format!("`{text}` is an unusual spelling of an IPv4 address; write it as four decimal numbers")
                });
        }
        Ok(Self::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// A DNS name in lower case, without the dot at its end.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if !name.is_ascii() {
        return Err(format!("`{text}` is not ASCII; write it in Punycode (`xn--...`)"));
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() > NAME_MAX || !name.split('.').all(is_label) {
        return Err(format!(
            "`{}` is no host name",
            text.chars().take(80).collect::<String>()
        ));
    }
    Ok(name)
}

/// Whether somebody's parser could take it for an IPv4 address (the URL standard's "ends in a number").
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    last.bytes().all(|byte| byte.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
