//! What a service may reach: section `[http]` of its manifest.
//!
//! ```toml
//! [http]
//! allow = ["https://api.example.com", "*.stripe.com:443", "http://metrics.internal:9090"]
//!
//! [http.credentials]
//! "*.stripe.com:443" = { header = "authorization", secret = "stripe-key", prefix = "Bearer " }
//! ```

use std::{collections::BTreeMap, fmt, str::FromStr};

use http::{HeaderName, HeaderValue, uri::Scheme};
use serde::Deserialize;
use terrace_ground_ids::SettingName;
use wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS;

use crate::host::{self, Host};

/// Hosts that a manifest may list.
const ALLOW_MAX: usize = 256;
/// Requests that one request to a service may send, unless the manifest says less or more.
const REQUESTS: u32 = 16;
/// The most that a manifest may ask for.
const REQUESTS_MAX: u32 = 1_000;
const RESPONSE_BODY_KIB: u32 = 8_192;
const RESPONSE_BODY_KIB_MAX: u32 = 1 << 20;

/// The `[http]` of a manifest. Nothing is allowed by default.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(try_from = "Section")]
pub struct Rules {
    allow: Vec<Pattern>,
    credentials: BTreeMap<Pattern, Credential>,
    requests: u32,
    response_body_kib: u32,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Section {
    allow: Vec<Pattern>,
    credentials: BTreeMap<Pattern, Credential>,
    requests: u32,
    response_body_kib: u32,
}

impl Default for Section {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            credentials: BTreeMap::new(),
            requests: REQUESTS,
            response_body_kib: RESPONSE_BODY_KIB,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        let Section {
            allow,
            credentials,
            requests,
            response_body_kib,
        } = Section::default();
        Self {
            allow,
            credentials,
            requests,
            response_body_kib,
        }
    }
}

/// A header that the host sets, from a secret that the guest never sees.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The header, in lower case: `authorization`.
    #[serde(deserialize_with = "header")]
    pub header: HeaderName,
    /// The name of the secret, as in `terrace secret set`.
    pub secret: SettingName,
    /// What stands before the secret: `Bearer `.
    #[serde(default)]
    pub prefix: String,
}

/// Some hosts, with one scheme and one port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    is_tls: bool,
    hosts: Hosts,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Hosts {
    One(Host),
    /// Every name that ends in a dot and this.
    Below(String),
    /// Every name.
    Every,
}

/// Where one request goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) is_tls: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl Rules {
    /// Whether it lists anything at all.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty()
    }

    /// What it lists, as text: for a diff between two releases.
    pub fn allowed(&self) -> impl Iterator<Item = String> {
        self.allow.iter().map(ToString::to_string)
    }

    /// The names of the secrets that are set into requests.
    pub fn secrets(&self) -> impl Iterator<Item = &SettingName> {
        self.credentials.values().map(|credential| &credential.secret)
    }

    /// Requests that may be sent while the service serves one request.
    pub(crate) fn requests(&self) -> u32 {
        self.requests
    }

    /// The most that a response's body may hold.
    pub(crate) fn response_body_bytes(&self) -> u64 {
        u64::from(self.response_body_kib) << 10
    }

    pub(crate) fn allows(&self, target: &Target) -> bool {
        self.allow.iter().any(|pattern| pattern.matches(target))
    }

    /// What the host adds to a request for the target: of several, the most exact.
    pub(crate) fn credential(&self, target: &Target) -> Option<&Credential> {
        let matching = self.credentials.iter().filter(|(pattern, _)| pattern.matches(target));
        let exactness = |(pattern, _): &(&Pattern, _)| match &pattern.hosts {
            Hosts::One(_) => usize::MAX,
            Hosts::Below(suffix) => suffix.len(),
            Hosts::Every => 0,
        };
        matching.max_by_key(exactness).map(|(_, credential)| credential)
    }
}

impl TryFrom<Section> for Rules {
    type Error = String;

    fn try_from(section: Section) -> Result<Self, String> {
        let Section {
            allow,
            credentials,
            requests,
            response_body_kib,
        } = section;
        if allow.len() > ALLOW_MAX {
            return Err(format!(
                "http.allow lists {} hosts; at most {ALLOW_MAX} are possible",
                allow.len()
            ));
        }
        if requests > REQUESTS_MAX {
            return Err(format!(
                "http.requests is {requests}; at most {REQUESTS_MAX} are possible"
            ));
        }
        if response_body_kib > RESPONSE_BODY_KIB_MAX {
            return Err(format!(
                "http.response_body_kib is {response_body_kib}; at most {RESPONSE_BODY_KIB_MAX} are possible"
            ));
        }
        for (pattern, credential) in &credentials {
            if !allow.contains(pattern) {
                return Err(format!(
                    "http.credentials names {pattern}, which http.allow does not list"
                ));
            }
            if !pattern.is_tls {
                return Err(format!(
                    "http.credentials names {pattern}: a secret is sent over https only"
                ));
            }
            if pattern.hosts == Hosts::Every {
                return Err(format!("http.credentials names {pattern}: a secret is for known hosts"));
            }
            credential.check()?;
        }
        Ok(Self {
            allow,
            credentials,
            requests,
            response_body_kib,
        })
    }
}

impl Credential {
    fn check(&self) -> Result<(), String> {
        let Self { header, prefix, .. } = self;
        let is_the_hosts = DEFAULT_FORBIDDEN_HEADERS.contains(header)
            || *header == http::header::CONTENT_LENGTH
            || *header == http::header::TE
            || *header == http::header::TRAILER;
        if is_the_hosts {
            return Err(format!(
                "http.credentials: `{header}` is not a header that a secret can be in"
            ));
        }
        if HeaderValue::from_str(prefix).is_err() {
            return Err("http.credentials: a prefix is visible ASCII".to_owned());
        }
        Ok(())
    }
}

impl Pattern {
    fn matches(&self, target: &Target) -> bool {
        let host = match (&self.hosts, &target.host) {
            (Hosts::One(host), asked) => host == asked,
            (Hosts::Every, Host::Name(_)) => true,
            (Hosts::Below(suffix), Host::Name(name)) => name
                .strip_suffix(suffix.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            (Hosts::Every | Hosts::Below(_), Host::Address(_)) => false,
        };
        host && self.is_tls == target.is_tls && self.port == target.port
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{}`: {why}", text.chars().take(120).collect::<String>());
        let (is_tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(wrong("the scheme is `https` or `http`, in lower case")),
            None => (true, text),
        };
        if rest.contains(['/', '?', '#', '\\']) {
            return Err(wrong(
                "a path cannot be allowed, only a host: leave out everything after it",
            ));
        }
        if rest.contains('@') {
            return Err(wrong("a user cannot be allowed, only a host"));
        }
        if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(wrong("there is white space in it"));
        }
        let (host, port) = split(rest).map_err(|why| wrong(&why))?;
        let hosts = if host == "*" {
            Hosts::Every
        } else if let Some(suffix) = host.strip_prefix("*.") {
            let suffix = host::name(suffix).map_err(|why| wrong(&why))?;
            if !suffix.contains('.') {
                return Err(wrong(
                    "a wildcard stands for names below a domain, like `*.example.com`",
                ));
            }
            match Host::parse(&suffix).map_err(|why| wrong(&why))? {
                Host::Name(suffix) => Hosts::Below(suffix),
                Host::Address(_) => return Err(wrong("a wildcard stands for names, not for addresses")),
            }
        } else if host.contains('*') {
            return Err(wrong("a wildcard is the first label of a name, like `*.example.com`"));
        } else {
            Hosts::One(Host::parse(host).map_err(|why| wrong(&why))?)
        };
        Ok(Self {
            is_tls,
            hosts,
            port: port.unwrap_or(default_port(is_tls)),
        })
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_tls { "https://" } else { "http://" })?;
        match &self.hosts {
            Hosts::One(host) => host.fmt(f),
            Hosts::Below(suffix) => write!(f, "*.{suffix}"),
            Hosts::Every => f.write_str("*"),
        }?;
        if self.port == default_port(self.is_tls) {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

impl Target {
    /// Where a guest's request goes.
    pub(crate) fn of(uri: &http::Uri) -> Result<Self, String> {
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        if !is_tls && uri.scheme() != Some(&Scheme::HTTP) {
            return Err("the scheme is neither https nor http".to_owned());
        }
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        if authority.contains('@') {
            return Err("a user in the address is not possible; set a header".to_owned());
        }
        let (host, port) = split(authority)?;
        Ok(Self {
            is_tls,
            host: Host::parse(host)?,
            port: port.unwrap_or(default_port(is_tls)),
        })
    }

    /// The `Host` header.
    pub(crate) fn authority(&self) -> String {
        if self.port == default_port(self.is_tls) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            if self.is_tls { "https" } else { "http" },
            self.authority()
        )
    }
}

const fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

/// Host and port. A port has digits only, no sign and no leading zero.
fn split(authority: &str) -> Result<(&str, Option<u16>), String> {
    if authority.starts_with('[') && !authority.contains(']') {
        return Err("it is no IPv6 address in brackets".to_owned());
    }
    let after_host = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority.get(after_host..).and_then(|rest| rest.find(':')) else {
        return Ok((authority, None));
    };
    let (host, port) = authority.split_at(after_host + colon);
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    match digits.parse() {
        Ok(port) if is_plain => Ok((host, Some(port))),
        _ => Err(format!("`{}` is no port", digits.chars().take(20).collect::<String>())),
    }
}

fn header<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<HeaderName, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| serde::de::Error::custom(format!("`{text}` is no name of a header")))
}
