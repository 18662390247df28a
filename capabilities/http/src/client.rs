//! One request, from the guest's wish to the last byte of its response.
//!
//! A guest's thread only hands over and receives. The work is a task on the platform's own runtime,
//! which owns the request's place, its connection and its timers, and ends with the first of: the
//! response is complete, the guest let go of it, the guest's request has ended, its deadline.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use terrace_capabilities_secrets::Vault;
use terrace_compute_capability::{Asked, Egress, Refusal, Sending};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::{
    Config, Error, Rules,
    config::Timeouts,
    dial::Dialler,
    failure,
    pool::{Connection, Owner, Pools},
    quota::{Quota, Turn},
    resolve::Resolver,
    rules::{Credential, Target},
};

/// Longest path with its query.
const PATH_MAX: usize = 8 << 10;

/// What all outgoing requests of a node share.
pub(crate) struct Client {
    config: Config,
    resolver: Arc<dyn Resolver>,
    vault: Arc<dyn Vault>,
    quota: Quota,
    pools: Arc<Pools>,
    runtime: Handle,
}

impl Client {
    pub(crate) fn new(config: Config, resolver: Arc<dyn Resolver>, vault: Arc<dyn Vault>) -> Result<Arc<Self>, Error> {
        let pools = Pools::new(&config, tls(&config)?);
        let runtime = Handle::current();
        let every = Duration::from_secs(config.idle_seconds.max(1));
        runtime.spawn(Pools::sweep(Arc::downgrade(&pools), every));
        Ok(Arc::new(Self {
            quota: Quota::new(&config),
            config,
            resolver,
            vault,
            pools,
            runtime,
        }))
    }

    pub(crate) fn idle_connections(&self) -> usize {
        self.pools.idle()
    }
}

/// Everybody's TLS settings: Mozilla's roots and the operator's, ring, TLS 1.2 and 1.3, HTTP/1.1.
fn tls(config: &Config) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(file) = &config.ca_file {
        let wrong = |why: String| Error::CaFile {
            file: file.display().to_string(),
            why,
        };
        let certificates = CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(wrong("there is no certificate in it".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::Tls(error.to_string()))?;
    let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

/// The egress of one release: its rules, and what sends.
pub(crate) struct Grant {
    pub(crate) client: Arc<Client>,
    pub(crate) rules: Arc<Rules>,
}

impl Egress for Grant {
    fn send(&self, asked: Asked) -> Sending {
        let target = match self.check(&asked) {
            Ok(target) => target,
            Err(refusal) => return Box::pin(async { Err(refusal) }),
        };
        let (head, answered) = oneshot::channel();
        let exchange = Exchange {
            owner: (asked.invocation.tenant.id.clone(), asked.release.service.clone()),
            timeouts: self.client.config.timeouts(asked.options),
            body_max: self.rules.response_body_bytes(),
            credential: self.rules.credential(&target).cloned(),
            target,
            client: self.client.clone(),
        };
        self.client.runtime.spawn(run(exchange, asked, head));
        Box::pin(async {
            answered
                .await
                .unwrap_or_else(|_| Err(HttpError::HttpResponseTimeout.into()))
        })
    }
}

impl Grant {
    /// What needs no network to be refused.
    fn check(&self, asked: &Asked) -> Result<Target, Refusal> {
        let refuse = |code, reason: String| Refusal {
            code,
            reason: Some(reason),
        };
        let most = self.rules.requests();
        if asked.before >= most {
            // Said once; a guest that goes on gets no more of its log filled.
            let reason = (asked.before == most).then(|| {
                format!("http: this request sent {most} requests already; a manifest may raise [http] requests")
            });
            return Err(Refusal {
                code: HttpError::ConnectionLimitReached,
                reason,
            });
        }
        let uri = asked.request.uri();
        let target = Target::of(uri).map_err(|why| {
            refuse(
                HttpError::HttpRequestUriInvalid,
                format!("http: the address is not possible: {why}"),
            )
        })?;
        if !self.rules.allows(&target) {
            return Err(refuse(
                HttpError::HttpRequestDenied,
                format!("http: {target} is denied: the manifest does not list it; add it to [http] allow"),
            ));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str().len() > PATH_MAX) {
            return Err(HttpError::HttpRequestUriTooLong.into());
        }
        let method = asked.request.method();
        if *method == Method::CONNECT || *method == Method::TRACE {
            return Err(refuse(
                HttpError::HttpRequestMethodInvalid,
                format!("http: a service may not send {method}"),
            ));
        }
        Ok(target)
    }
}

/// What one request needs.
struct Exchange {
    client: Arc<Client>,
    owner: Owner,
    target: Target,
    timeouts: Timeouts,
    body_max: u64,
    credential: Option<Credential>,
}

type Head = oneshot::Sender<Result<http::Response<WasiBody>, Refusal>>;

async fn run(exchange: Exchange, asked: Asked, mut head: Head) {
    let Asked {
        request,
        invocation,
        mut ended,
        ..
    } = asked;
    let deadline = Instant::from_std(invocation.deadline);
    let begun = tokio::select! {
        begun = exchange.begin(request) => begun,
        () = head.closed() => return,
        () = ended.wait() => return,
        () = sleep_until(deadline) => Err(HttpError::HttpResponseTimeout.into()),
    };
    let (response, connection, turn) = match begun {
        Ok(begun) => begun,
        Err(refusal) => {
            let _ = head.send(Err(refusal));
            return;
        }
    };
    let (parts, incoming) = response.into_parts();
    let (sender, receiver) = mpsc::channel(1);
    let body = Received {
        parts: receiver,
        is_done: false,
    };
    if head
        .send(Ok(http::Response::from_parts(parts, body.boxed_unsync())))
        .is_err()
    {
        return;
    }
    let is_complete = tokio::select! {
        // First, so that a guest that ends with the last byte does not cost the connection.
        biased;
        is_complete = exchange.pump(incoming, &sender) => is_complete,
        () = sender.closed() => false,
        () = ended.wait() => false,
        () = sleep_until(deadline) => {
            let _ = sender.try_send(Part::Failed(HttpError::HttpResponseTimeout));
            false
        }
    };
    drop(turn);
    if is_complete {
        exchange.keep(connection).await;
    }
}

impl Exchange {
    /// Up to the head of the response.
    async fn begin(
        &self,
        request: http::Request<WasiBody>,
    ) -> Result<(http::Response<Incoming>, Connection, Turn), Refusal> {
        let until = Instant::now() + self.timeouts.connect;
        let turn = timeout_at(until, self.client.quota.enter(&self.owner.0))
            .await
            .ok()
            .flatten();
        let turn = turn.ok_or_else(|| Refusal {
            code: HttpError::ConnectionLimitReached,
            reason: Some("http: too many requests of this tenant, or of all, are on their way".to_owned()),
        })?;
        let mut request = self.dress(request).await?;

        let reused = self.client.pools.take(&self.owner, &self.target);
        let first_byte = Instant::now() + self.timeouts.first_byte;
        if let Some(mut connection) = reused {
            match self.exchange(&mut connection, request, first_byte).await? {
                Ok(response) => return Ok((response, connection, turn)),
                // The other side hung up while the connection was idle; nothing of this was sent.
                Err(unsent) => request = unsent,
            }
        }
        let dialler = Dialler {
            resolver: &*self.client.resolver,
            open: &self.client.config.open,
            tls: self.client.pools.tls(&self.owner),
            turn: &turn,
            deadline: until,
        };
        let mut connection = dialler.connect(&self.target).await?;
        let first_byte = Instant::now() + self.timeouts.first_byte;
        match self.exchange(&mut connection, request, first_byte).await? {
            Ok(response) => Ok((response, connection, turn)),
            Err(_) => Err(HttpError::ConnectionTerminated.into()),
        }
    }

    /// The request as it goes out: in origin form, for the host that was checked, with the secret that
    /// belongs there. A header of the guest's with that name does not go out.
    async fn dress(&self, request: http::Request<WasiBody>) -> Result<http::Request<WasiBody>, Refusal> {
        let (mut parts, body) = request.into_parts();
        let path = parts
            .uri
            .path_and_query()
            .map(http::uri::PathAndQuery::as_str)
            .filter(|path| !path.is_empty());
        parts.uri = path
            .unwrap_or("/")
            .parse()
            .map_err(|_| HttpError::HttpRequestUriInvalid)?;
        parts.version = http::Version::HTTP_11;
        let authority =
            HeaderValue::from_str(&self.target.authority()).map_err(|_| HttpError::HttpRequestUriInvalid)?;
        parts.headers.insert(http::header::HOST, authority);
        if let Some(Credential { header, secret, prefix }) = &self.credential {
            let wrong = |why: String| Refusal {
                code: HttpError::ConfigurationError,
                reason: Some(why),
            };
            let (tenant, service) = &self.owner;
            let found = self.client.vault.secret(tenant, service, secret).await;
            let found = found.map_err(|error| wrong(format!("http: cannot read the secret `{secret}`: {error}")))?;
            let value = found.ok_or_else(|| {
                wrong(format!(
                    "http: the secret `{secret}` is not set: terrace secret set {service} {secret}"
                ))
            })?;
            let mut value = HeaderValue::from_str(&format!("{prefix}{}", value.reveal()))
                .map_err(|_| wrong(format!("http: the secret `{secret}` cannot stand in a header")))?;
            value.set_sensitive(true);
            parts.headers.insert(header.clone(), value);
        }
        Ok(http::Request::from_parts(parts, body))
    }

    /// The response; or the request back, when nothing of it was sent.
    async fn exchange(
        &self,
        connection: &mut Connection,
        request: http::Request<WasiBody>,
        first_byte: Instant,
    ) -> Result<Result<http::Response<Incoming>, http::Request<WasiBody>>, Refusal> {
        let sent = timeout_at(first_byte, connection.try_send_request(request)).await;
        let response = match sent.map_err(|_| HttpError::ConnectionReadTimeout)? {
            Ok(response) => response,
            Err(mut error) => {
                return match error.take_message() {
                    Some(unsent) => Ok(Err(unsent)),
                    None => Err(failure::of_exchange(error.into_error()).into()),
                };
            }
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(HttpError::HttpUpgradeFailed.into());
        }
        if response.body().size_hint().lower() > self.body_max {
            return Err(self.too_large());
        }
        Ok(Ok(response))
    }

    /// Hands the body on, part by part, as fast as the guest takes it. True when all of it was.
    async fn pump(&self, mut body: Incoming, sender: &mpsc::Sender<Part>) -> bool {
        let mut left = self.body_max;
        loop {
            let part = match timeout(self.timeouts.between_bytes, body.frame()).await {
                Err(_) => Part::Failed(HttpError::ConnectionReadTimeout),
                Ok(None) => Part::End,
                Ok(Some(Err(error))) => Part::Failed(match failure::of_exchange(error) {
                    HttpError::ConnectionTerminated => HttpError::HttpResponseIncomplete,
                    other => other,
                }),
                Ok(Some(Ok(frame))) => {
                    let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                    match left.checked_sub(length) {
                        Some(rest) => {
                            left = rest;
                            Part::Frame(frame)
                        }
                        None => Part::Failed(self.too_large().code),
                    }
                }
            };
            let (is_end, is_failed) = (matches!(part, Part::End), matches!(part, Part::Failed(_)));
            if sender.send(part).await.is_err() || is_failed {
                return false;
            }
            if is_end {
                return true;
            }
        }
    }

    fn too_large(&self) -> Refusal {
        Refusal {
            code: HttpError::HttpResponseBodySize(Some(self.body_max)),
            reason: Some(format!(
                "http: the response of {} is over {} KiB; a manifest may raise [http] response_body_kib",
                self.target,
                self.body_max >> 10
            )),
        }
    }

    /// For the next request of the same owner to the same place.
    async fn keep(&self, mut connection: Connection) {
        // It is ready once the last of the response is gone; never, when the other side closes it.
        if let Ok(Ok(())) = timeout(self.timeouts.connect, connection.ready()).await {
            self.client.pools.put(&self.owner, self.target.clone(), connection);
        }
    }
}

/// A part of a response's body, on its way to the guest.
enum Part {
    Frame(Frame<Bytes>),
    Failed(HttpError),
    End,
}

/// A response's body as the guest reads it. One that breaks off never looks complete.
struct Received {
    parts: mpsc::Receiver<Part>,
    is_done: bool,
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        self.parts.poll_recv(context).map(|part| {
            self.is_done = !matches!(part, Some(Part::Frame(_)));
            match part {
                Some(Part::Frame(frame)) => Some(Ok(frame)),
                Some(Part::Failed(error)) => Some(Err(error)),
                Some(Part::End) => None,
                None => Some(Err(HttpError::HttpResponseIncomplete)),
            }
        })
    }
}
