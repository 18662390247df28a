//! The replica: keeps the manifest in memory and the copy on the disk equal to the node's snapshot.
//!
//! It starts from the disk alone. Then it asks the node once a poll interval (and at once when a
//! request names a host that nobody knows), fetches what is missing, checks it, swaps the manifest,
//! and lets the encoded forms follow. Whatever fails, what was served before is served on.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, Request, StatusCode, header, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Limited};
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Config,
    body::Source,
    encode::{Encoding, is_compressible},
    manifest::{self, Blob, Form, Manifest},
    node::Node,
    snapshot::{Fingerprint, Snapshot},
    store::{Encoded, Store},
};

/// One answer of the node, body included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
const FETCHES_AT_ONCE: usize = 4;
/// The least time between two polls, however many requests ask for one.
const POLL_SPACING: Duration = Duration::from_millis(100);
/// How long a request for an unknown host waits for news of it.
const NEWS_TIMEOUT: Duration = Duration::from_secs(1);
const NEWS_WAITERS_MAX: usize = 64;
/// A build with a bad content is asked for again after this, then after twice as long, ...
const REFUSED_FIRST: Duration = Duration::from_secs(2);
const REFUSED_SLOWEST: Duration = Duration::from_secs(60);
/// Encoding is done in portions of about this many bytes, with a swap after each.
const ENCODE_PORTION: usize = 1 << 20;

/// What the replica shares with the requests.
#[derive(Debug)]
pub(crate) struct View {
    manifest: ArcSwapOption<Manifest>,
    pub(crate) persisted: AtomicBool,
    wanted: Notify,
    polls_begun: AtomicU64,
    polls_done: watch::Sender<u64>,
    waiters: Semaphore,
}

impl View {
    fn new() -> Self {
        Self {
            manifest: ArcSwapOption::empty(),
            persisted: AtomicBool::new(true),
            wanted: Notify::new(),
            polls_begun: AtomicU64::new(0),
            polls_done: watch::Sender::new(0),
            waiters: Semaphore::new(NEWS_WAITERS_MAX),
        }
    }

    /// What can be served now; `None` before the first snapshot. Not to be held across an await.
    pub(crate) fn manifest(&self) -> Guard<Option<Arc<Manifest>>> {
        self.manifest.load()
    }

    /// Waits for a poll that begins after this call, so that a tenant made a moment ago is found.
    /// Bounded in time and in waiters: a stranger with made-up hosts costs next to nothing.
    pub(crate) async fn news(&self) {
        let Ok(_place) = self.waiters.try_acquire() else { return };
        let target = self.polls_begun.load(Ordering::SeqCst) + 1;
        let mut done = self.polls_done.subscribe();
        self.wanted.notify_one();
        let _ = timeout(NEWS_TIMEOUT, done.wait_for(|done| *done >= target)).await;
    }
}

/// Why the node's snapshot could not be taken over.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the node cannot be reached: {0}")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    #[error("the node answered {0}")]
    Status(StatusCode),
    #[error("the node did not answer in time")]
    Timeout,
    #[error("the answer broke off or is over its limit: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the snapshot is not of the expected shape: {0}")]
    Shape(#[from] serde_json::Error),
    #[error("the content {0} is not what its name says")]
    Corrupt(Fingerprint),
}

/// A snapshot of which something was refused, to be tried again.
#[derive(Debug)]
struct Retry {
    at: Instant,
    pause: Duration,
}

type Forms = Vec<(Fingerprint, Encoding, Form)>;

/// The task that follows the node.
#[derive(Debug)]
pub(crate) struct Replica {
    config: Arc<Config>,
    node: Arc<Node>,
    store: Arc<Store>,
    view: Arc<View>,
    blobs: HashMap<Fingerprint, Arc<Blob>>,
    /// As the node sent it, with the ETag to ask again by.
    latest: Option<Snapshot>,
    etag: Option<HeaderValue>,
    /// As it is served: without refused builds.
    settled: Option<Snapshot>,
    retry: Option<Retry>,
    encoding: Option<JoinHandle<Forms>>,
    complaint: String,
}

impl Replica {
    /// Opens the data directory and serves what is in it. Blocks.
    ///
    /// # Errors
    /// When the directory cannot be used at all; unreadable content in it is not an error.
    pub(crate) fn open(config: Arc<Config>, node: Arc<Node>) -> io::Result<(Self, Arc<View>)> {
        let store = Arc::new(Store::open(&config.data_dir)?);
        let view = Arc::new(View::new());
        let mut replica = Self {
            config,
            node,
            store,
            view: Arc::clone(&view),
            blobs: HashMap::new(),
            latest: None,
            etag: None,
            settled: None,
            retry: None,
            encoding: None,
            complaint: String::new(),
        };
        if let Some(snapshot) = replica.store.snapshot() {
            let found = read_blobs(&replica.store, &snapshot.fingerprints());
            replica.blobs.extend(found);
            let (settled, refused) = snapshot.settle(None, |fingerprint| replica.blobs.contains_key(fingerprint));
            if !refused.is_empty() {
                tracing::warn!("Builds {refused:?} are damaged on the disk and will be fetched again");
            }
            tracing::info!(snapshot = %settled.version, builds = settled.builds.len(), hosts = settled.hosts.len(), "Serving from the disk");
            replica.settled = Some(settled);
            replica.publish();
        }
        Ok((replica, view))
    }

    /// Follows the node until `closing` becomes true.
    pub(crate) async fn run(mut self, mut closing: watch::Receiver<bool>) {
        let (mut earliest, mut next) = (Instant::now(), Instant::now());
        // Kept over the turns of the loop: what is heard in one must not be lost because something else was first.
        let mut is_wanted = false;
        self.encode();
        loop {
            let due = if is_wanted { earliest.min(next) } else { next };
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                forms = finished(&mut self.encoding) => {
                    self.take_forms(forms);
                    continue;
                }
                () = self.view.wanted.notified(), if !is_wanted => {
                    is_wanted = true;
                    continue;
                }
                () = sleep_until(due) => is_wanted = false,
            }
            let poll = self.view.polls_begun.fetch_add(1, Ordering::SeqCst) + 1;
            match self.poll().await {
                Ok(()) => self.complaint.clear(),
                // A node that cannot be reached has been reported by its own watch, once.
                Err(Error::Unreachable(error)) if error.is_connect() => {}
                Err(error) => self.complain(&error.to_string()),
            }
            self.view.polls_done.send_replace(poll);
            earliest = Instant::now() + POLL_SPACING;
            next = Instant::now() + self.config.poll();
        }
    }

    async fn poll(&mut self) -> Result<(), Error> {
        let (status, etag, body) = self
            .fetch(
                "/internal/edge/snapshot",
                self.etag.clone(),
                self.config.snapshot_bytes_max,
            )
            .await?;
        if status == StatusCode::OK {
            let snapshot: Snapshot = serde_json::from_slice(&body)?;
            self.latest = Some(snapshot.clone());
            self.retry = None;
            self.apply(snapshot).await;
            self.etag = etag;
        } else if self.retry.as_ref().is_some_and(|retry| retry.at <= Instant::now())
            && let Some(snapshot) = self.latest.clone()
        {
            self.apply(snapshot).await;
        } else if !self.view.persisted.load(Ordering::Relaxed) {
            self.persist().await;
        }
        Ok(())
    }

    /// Takes a snapshot over: contents first, then the manifest, then the disk, then the encodings.
    async fn apply(&mut self, snapshot: Snapshot) {
        let wanted = snapshot.fingerprints();
        self.gather(&wanted).await;
        let (settled, refused) = snapshot.settle(self.settled.as_ref(), |fingerprint| {
            self.blobs.contains_key(fingerprint)
        });
        self.retry = (!refused.is_empty()).then(|| {
            let pause = self
                .retry
                .as_ref()
                .map_or(REFUSED_FIRST, |retry| (retry.pause * 2).min(REFUSED_SLOWEST));
            Retry {
                at: Instant::now() + pause,
                pause,
            }
        });
        if !refused.is_empty() {
            self.complain(&format!(
                "builds {refused:?} are not whole; what was served before is served on"
            ));
        }
        if self.settled.as_ref() == Some(&settled) {
            return;
        }
        let mut keep = settled.fingerprints();
        keep.extend(wanted);
        self.blobs.retain(|fingerprint, _| keep.contains(fingerprint));
        self.settled = Some(settled);
        self.publish();
        self.persist().await;
        self.encode();
    }

    /// Brings every wanted content into memory that can be had: from the disk, else from the node.
    async fn gather(&mut self, wanted: &HashSet<Fingerprint>) {
        let missing: HashSet<Fingerprint> = wanted
            .iter()
            .filter(|fingerprint| !self.blobs.contains_key(*fingerprint))
            .cloned()
            .collect();
        if missing.is_empty() {
            return;
        }
        let (store, names) = (Arc::clone(&self.store), missing.clone());
        let found = spawn_blocking(move || read_blobs(&store, &names))
            .await
            .unwrap_or_default();
        let missing: Vec<Fingerprint> = missing
            .into_iter()
            .filter(|fingerprint| !found.contains_key(fingerprint))
            .collect();
        self.blobs.extend(found);
        let fetched: Vec<_> = stream::iter(missing)
            .map(|fingerprint| self.fetch_blob(fingerprint))
            .buffer_unordered(FETCHES_AT_ONCE)
            .collect()
            .await;
        for result in fetched {
            match result {
                Ok((fingerprint, content)) => {
                    self.blobs.insert(
                        fingerprint,
                        Arc::new(Blob {
                            identity: content,
                            encoded: HashMap::new(),
                        }),
                    );
                }
                Err(error) => self.complain(&error.to_string()),
            }
        }
    }

    async fn fetch_blob(&self, fingerprint: Fingerprint) -> Result<(Fingerprint, Bytes), Error> {
        let (_, _, content) = self
            .fetch(
                &format!("/internal/edge/blob/{fingerprint}"),
                None,
                self.config.blob_bytes_max,
            )
            .await?;
        let store = Arc::clone(&self.store);
        let checked = spawn_blocking(move || {
            if Fingerprint::of(&content) != fingerprint {
                return Err(Error::Corrupt(fingerprint));
            }
            if let Err(error) = store.save_blob(&fingerprint, &content) {
                // It is served from memory; the snapshot that names it will not be written either.
                tracing::error!("Cannot keep content {fingerprint} on the disk: {error}");
            }
            Ok((fingerprint, content))
        });
        checked.await.unwrap_or(Err(Error::Timeout))
    }

    async fn fetch(
        &self,
        path: &str,
        etag: Option<HeaderValue>,
        bytes_max: usize,
    ) -> Result<(StatusCode, Option<HeaderValue>, Bytes), Error> {
        let mut request = Request::new(Source::empty().upload(FETCH_TIMEOUT));
        *request.uri_mut() = self
            .node
            .uri(PathAndQuery::try_from(path).unwrap_or(PathAndQuery::from_static("/")));
        if let Some(etag) = etag {
            request.headers_mut().insert(header::IF_NONE_MATCH, etag);
        }
        let exchange = async {
            let response = self.node.send(request).await?;
            let status = response.status();
            if status != StatusCode::OK && status != StatusCode::NOT_MODIFIED {
                return Err(Error::Status(status));
            }
            let etag = response.headers().get(header::ETAG).cloned();
            let body = Limited::new(response.into_body(), bytes_max)
                .collect()
                .await
                .map_err(Error::Body)?;
            Ok((status, etag, body.to_bytes()))
        };
        timeout(FETCH_TIMEOUT, exchange).await.unwrap_or(Err(Error::Timeout))
    }

    /// Builds the manifest of what is settled and swaps it in: the moment of activation.
    fn publish(&self) {
        let Some(settled) = &self.settled else { return };
        let manifest = Manifest::new(&self.config, settled, &self.blobs, self.view.manifest().as_deref());
        self.view.manifest.store(Some(Arc::new(manifest)));
    }

    async fn persist(&self) {
        let Some(settled) = self.settled.clone() else { return };
        let (store, blobs, version) = (Arc::clone(&self.store), self.blobs.clone(), settled.version.clone());
        let written = spawn_blocking(move || {
            let named = settled.fingerprints();
            for fingerprint in &named {
                // Only after a full disk is a content in memory that is not beside the others.
                if let Some(blob) = blobs.get(fingerprint).filter(|_| !store.has_blob(fingerprint)) {
                    store.save_blob(fingerprint, &blob.identity)?;
                }
            }
            store.save_snapshot(&settled)?;
            store.retain(&blobs.into_keys().collect())
        });
        let written = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let was = self.view.persisted.swap(written.is_ok(), Ordering::Relaxed);
        match written {
            Ok(()) => tracing::info!(snapshot = %version, "Took over the node's snapshot"),
            Err(error) if was => tracing::error!("The snapshot is served, but cannot be kept on the disk: {error}"),
            Err(_) => {}
        }
    }

    /// Starts encoding the next portion of contents that lack a form, on the blocking pool.
    fn encode(&mut self) {
        let Some(settled) = self.settled.as_ref().filter(|_| self.encoding.is_none()) else {
            return;
        };
        let compressible = settled
            .builds
            .values()
            .flat_map(|build| &build.files)
            .filter(|file| is_compressible(&manifest::content_type(file)));
        let mut work: HashMap<Fingerprint, Bytes> = HashMap::new();
        let mut bytes = 0;
        for file in compressible {
            let Some(blob) = self
                .blobs
                .get(&file.sha256)
                .filter(|blob| blob.encoded.len() < Encoding::ALL.len())
            else {
                continue;
            };
            if work.is_empty() || bytes + blob.identity.len() <= ENCODE_PORTION {
                bytes += blob.identity.len();
                work.insert(file.sha256.clone(), blob.identity.clone());
            }
        }
        if !work.is_empty() {
            let store = Arc::clone(&self.store);
            self.encoding = Some(spawn_blocking(move || encode_all(&store, work)));
        }
    }

    fn take_forms(&mut self, forms: Forms) {
        if forms.is_empty() {
            // The task failed; the next snapshot tries again, and the identity is served meanwhile.
            return;
        }
        for (fingerprint, encoding, form) in forms {
            if let Some(blob) = self.blobs.get_mut(&fingerprint) {
                Arc::make_mut(blob).encoded.insert(encoding, form);
            }
        }
        self.publish();
        self.encode();
    }

    /// Says something once, not once a second.
    fn complain(&mut self, message: &str) {
        if self.complaint != message {
            tracing::warn!("Following the node: {message}");
            message.clone_into(&mut self.complaint);
        }
    }
}

/// Waits for the running encoding, or for ever when there is none.
async fn finished(encoding: &mut Option<JoinHandle<Forms>>) -> Forms {
    match encoding {
        Some(handle) => {
            let forms = handle.await.unwrap_or_default();
            *encoding = None;
            forms
        }
        None => std::future::pending().await,
    }
}

/// Reads contents and their encoded forms; what is missing or damaged is left out. Blocks.
fn read_blobs(store: &Store, wanted: &HashSet<Fingerprint>) -> HashMap<Fingerprint, Arc<Blob>> {
    let read = |fingerprint: &Fingerprint| {
        let identity = Bytes::from(store.blob(fingerprint)?);
        let forms = Encoding::ALL
            .iter()
            .filter_map(|encoding| Some((*encoding, form(store.encoded(fingerprint, *encoding)?))));
        Some((
            fingerprint.clone(),
            Arc::new(Blob {
                identity,
                encoded: forms.collect(),
            }),
        ))
    };
    wanted.iter().filter_map(read).collect()
}

/// Encodes each content in every way and keeps the forms on the disk. Blocks, for seconds.
fn encode_all(store: &Store, work: HashMap<Fingerprint, Bytes>) -> Forms {
    let mut forms = Forms::new();
    for (fingerprint, content) in work {
        for encoding in Encoding::ALL {
            let encoded = match encoding.encode(&content) {
                Ok(encoded) if encoded.len() < content.len() => Encoded::Smaller(encoded),
                Ok(_) | Err(_) => Encoded::NotSmaller,
            };
            if let Err(error) = store.save_encoded(&fingerprint, encoding, &encoded) {
                tracing::warn!(
                    "Cannot keep the {} form of {fingerprint} on the disk: {error}",
                    encoding.name()
                );
            }
            forms.push((fingerprint.clone(), encoding, form(encoded)));
        }
    }
    forms
}

fn form(encoded: Encoded) -> Form {
    match encoded {
        Encoded::Smaller(content) => {
            let fingerprint = Fingerprint::of(&content);
            Form::Smaller(Bytes::from(content), fingerprint)
        }
        Encoded::NotSmaller => Form::NotSmaller,
    }
}
