//! The manifest: a snapshot as ready answers in memory. Built beside the old one and swapped in;
//! a request only looks up and clones, it never computes, reads or waits.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use terrace_ground_ids::BuildId;
use tokio::sync::Semaphore;

use crate::{
    Config,
    encode::{Accepted, Encoding, is_compressible},
    snapshot::{BuildEntry, FileEntry, Fingerprint, Snapshot},
};

/// A content and its encoded forms, shared by every build that contains it.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) identity: Bytes,
    pub(crate) encoded: HashMap<Encoding, Form>,
}

/// What is known about one encoded form of a blob. Absent from the map: not tried yet.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// Smaller than the identity; the fingerprint is that of the encoded bytes.
    Smaller(Bytes, Fingerprint),
    /// Tried, and not worth it.
    NotSmaller,
}

/// Everything that can be served, at one moment.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) version: String,
    pub(crate) builds: usize,
    hosts: HashMap<String, Arc<Host>>,
}

/// One host name.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) site: Option<Arc<Site>>,
    pub(crate) bounds: Arc<Bounds>,
}

/// What one host may use of the edge at the same time. Lives on from manifest to manifest.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) forwards: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) parked: Arc<Semaphore>,
}

/// A site: the build that navigations get, and those whose assets stay reachable.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) current: Arc<Build>,
    pub(crate) retained: Vec<Arc<Build>>,
}

/// One build: decoded path to asset.
#[derive(Debug)]
pub(crate) struct Build {
    /// As the value of `x-terrace-latest`.
    pub(crate) name: HeaderValue,
    files: HashMap<String, Arc<Asset>>,
}

/// One file as ready answers, the smallest first.
#[derive(Debug)]
pub(crate) struct Asset {
    pub(crate) is_document: bool,
    variants: Vec<Variant>,
}

/// One form of a file.
#[derive(Debug)]
pub(crate) struct Variant {
    encoding: Option<Encoding>,
    pub(crate) etag: HeaderValue,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Manifest {
    /// Builds the answers for `snapshot`, whose contents are all in `blobs`.
    pub(crate) fn new(
        config: &Config,
        snapshot: &Snapshot,
        blobs: &HashMap<Fingerprint, Arc<Blob>>,
        previous: Option<&Self>,
    ) -> Self {
        let mut assets = Assets {
            base: base_headers(config),
            blobs,
            made: HashMap::new(),
        };
        let builds: HashMap<&BuildId, Arc<Build>> = snapshot
            .builds
            .iter()
            .map(|(id, entry)| (id, Arc::new(Build::new(id, entry, &mut assets))))
            .collect();
        let sites: HashMap<_, Arc<Site>> = snapshot
            .sites
            .iter()
            .filter_map(|(name, entry)| {
                let current = Arc::clone(builds.get(entry.current.as_ref()?)?);
                let retained = entry
                    .builds
                    .iter()
                    .filter(|id| Some(*id) != entry.current.as_ref())
                    .filter_map(|id| builds.get(id))
                    .map(Arc::clone)
                    .collect();
                Some((name, Arc::new(Site { current, retained })))
            })
            .collect();
        let hosts = snapshot.hosts.iter().map(|(name, entry)| {
            let bounds = previous
                .and_then(|previous| previous.hosts.get(name))
                .map_or_else(|| Arc::new(Bounds::new(config)), |host| Arc::clone(&host.bounds));
            (
                name.to_ascii_lowercase(),
                Arc::new(Host {
                    site: sites.get(&entry.site).map(Arc::clone),
                    bounds,
                }),
            )
        });
        Self {
            version: snapshot.version.clone(),
            builds: builds.len(),
            hosts: hosts.collect(),
        }
    }

    /// The host of that name: lowercase, without port.
    pub(crate) fn host(&self, name: &str) -> Option<&Arc<Host>> {
        self.hosts.get(name)
    }
}

impl Bounds {
    fn new(config: &Config) -> Self {
        Self {
            forwards: Arc::new(Semaphore::new(config.forwards_per_host_max)),
            streams: Arc::new(Semaphore::new(config.streams_per_host_max)),
            parked: Arc::new(Semaphore::new(config.parked_per_host_max)),
        }
    }
}

impl Site {
    /// What `path` gets: the current build's file, an older build's asset, or for a navigation the
    /// page that routes by itself. An older build's documents are never shown: HTML is always the
    /// newest, only what it refers to may be old.
    pub(crate) fn find(&self, path: &str, is_navigation: bool) -> Option<&Asset> {
        let path: Cow<'_, str> = if path.contains('%') {
            Cow::Owned(percent_decode(path)?)
        } else {
            Cow::Borrowed(path)
        };
        if let Some(asset) = self.current.files.get(path.as_ref()) {
            return Some(asset);
        }
        let old = self
            .retained
            .iter()
            .find_map(|build| build.files.get(path.as_ref()).filter(|asset| !asset.is_document));
        if let Some(asset) = old {
            return Some(asset);
        }
        let has_extension = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
        if is_navigation && !has_extension {
            self.current.files.get("/index.html").map(Arc::as_ref)
        } else {
            None
        }
    }
}

impl Build {
    fn new(id: &BuildId, entry: &BuildEntry, assets: &mut Assets<'_>) -> Self {
        let mut files = HashMap::with_capacity(entry.files.len());
        for file in &entry.files {
            let Some(asset) = assets.get(file) else { continue };
            if let Some(directory) = file
                .path
                .strip_suffix("index.html")
                .filter(|directory| directory.ends_with('/'))
            {
                files.insert(directory.to_owned(), Arc::clone(&asset));
            }
            files.insert(file.path.clone(), asset);
        }
        let name = HeaderValue::from_str(id.as_str()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { name, files }
    }
}

impl Asset {
    /// The smallest form that the client takes.
    pub(crate) fn variant(&self, accepted: Accepted) -> Option<&Variant> {
        self.variants
            .iter()
            .find(|variant| variant.encoding.is_none_or(|encoding| accepted.takes(encoding)))
    }

    fn new(base: &HeaderMap, file: &FileEntry, blob: &Blob) -> Self {
        let content_type = content_type(file);
        let is_document = content_type.starts_with("text/html");
        let mut base = base.clone();
        base.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_str(&content_type).unwrap_or(HeaderValue::from_static("application/octet-stream")),
        );
        let immutable = !is_document && is_immutable(&file.path);
        base.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(if immutable {
                "public, max-age=31536000, immutable"
            } else {
                "no-cache"
            }),
        );
        let mut variants = vec![Variant::new(&base, None, &blob.identity, &file.sha256)];
        if is_compressible(&content_type) {
            base.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
            variants[0]
                .headers
                .insert(header::VARY, HeaderValue::from_static("accept-encoding"));
            for (encoding, form) in &blob.encoded {
                if let Form::Smaller(body, fingerprint) = form {
                    variants.push(Variant::new(&base, Some(*encoding), body, fingerprint));
                }
            }
        }
        variants.sort_by_key(|variant| variant.body.len());
        Self { is_document, variants }
    }
}

impl Variant {
    fn new(base: &HeaderMap, encoding: Option<Encoding>, body: &Bytes, fingerprint: &Fingerprint) -> Self {
        let mut headers = base.clone();
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        }
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        // 128 bits of the hash of the very bytes that are sent: strong, and different per encoding.
        let etag = HeaderValue::from_str(&format!("\"{}\"", &fingerprint.as_str()[..32]))
            .unwrap_or(HeaderValue::from_static("\"\""));
        headers.insert(header::ETAG, etag.clone());
        Self {
            encoding,
            etag,
            headers,
            body: body.clone(),
        }
    }
}

/// Makes each distinct (content, type, caching) once, however many builds contain it: retained
/// builds share most of their files with the current one.
struct Assets<'a> {
    base: HeaderMap,
    blobs: &'a HashMap<Fingerprint, Arc<Blob>>,
    made: HashMap<(Fingerprint, String, bool), Arc<Asset>>,
}

impl Assets<'_> {
    fn get(&mut self, file: &FileEntry) -> Option<Arc<Asset>> {
        let blob = self.blobs.get(&file.sha256)?;
        let key = (
            file.sha256.clone(),
            content_type(file).into_owned(),
            is_immutable(&file.path),
        );
        Some(Arc::clone(
            self.made
                .entry(key)
                .or_insert_with(|| Arc::new(Asset::new(&self.base, file, blob))),
        ))
    }
}

/// The headers of every answer of a site.
fn base_headers(config: &Config) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    let policy = HeaderValue::from_str(&config.content_security_policy)
        .unwrap_or(HeaderValue::from_static("default-src 'self'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("strict-origin-when-cross-origin"),
    );
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    );
    if config.secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY);
    }
    headers
}

/// Two years, without sub-domains: a tenant's own domain may have others that are not ours.
pub(crate) const STRICT_TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// The media type of a file, guessed from its name when the snapshot says nothing.
pub(crate) fn content_type(file: &FileEntry) -> Cow<'_, str> {
    if !file.content_type.is_empty() {
        return Cow::Borrowed(&file.content_type);
    }
    let guess = mime_guess::from_path(&file.path)
        .first_raw()
        .unwrap_or("application/octet-stream");
    if guess.starts_with("text/") {
        Cow::Owned(format!("{guess}; charset=utf-8"))
    } else {
        Cow::Borrowed(guess)
    }
}

/// True for a path whose content can never change: Vite's folder, or a name that carries a hash.
/// When in doubt the answer is no, which costs a revalidation and is never wrong.
fn is_immutable(path: &str) -> bool {
    if path.starts_with("/assets/") {
        return true;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split(['.', '-']).skip(1).any(is_hash)
}

fn is_hash(part: &str) -> bool {
    let bytes = part.as_bytes();
    let digit = bytes.iter().any(u8::is_ascii_digit);
    let lower = bytes.iter().any(u8::is_ascii_lowercase);
    let upper = bytes.iter().any(u8::is_ascii_uppercase);
    let hexadecimal = bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let word = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    bytes.len() >= 8 && digit && lower && word && (hexadecimal || upper)
}

/// `None` when the escapes are not hexadecimal or the result is not UTF-8.
fn percent_decode(path: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| {
                byte.and_then(|byte| char::from(byte).to_digit(16))
                    .and_then(|digit| u8::try_from(digit).ok())
            };
            let high = digit(bytes.next())?;
            decoded.push(high << 4 | digit(bytes.next())?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_hash_are_cached_for_ever() {
        for path in [
            "/assets/x.js",
            "/index-4f3ab2c91d.js",
            "/app.BxY3kd9a.css",
            "/deep/chunk-Dk3_fA9z.js",
        ] {
            assert!(is_immutable(path), "{path}");
        }
        for path in [
            "/index.html",
            "/favicon.svg",
            "/logo-1024x1024.png",
            "/app-Overview.js",
            "/jquery-selectors.js",
            "/report-20240101.pdf",
            "/robots.txt",
        ] {
            assert!(!is_immutable(path), "{path}");
        }
    }

    #[test]
    fn escapes_decode_and_broken_ones_are_no_path() {
        assert_eq!(percent_decode("/a%20b%C3%A4").as_deref(), Some("/a bä"));
        assert_eq!(percent_decode("/a%2"), None);
        assert_eq!(percent_decode("/a%zz"), None);
        assert_eq!(percent_decode("/%ff"), None);
    }
}
