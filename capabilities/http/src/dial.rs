//! A new connection: look the name up, check every address, dial a checked one, shake hands.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::{ClientConfig, pki_types::ServerName};
use terrace_compute_capability::Refusal;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::{address, failure, host::Host, pool::Connection, quota::Turn, resolve::Resolver, rules::Target};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// The head of a response.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Fields of a response's head.
const FIELDS_MAX: usize = 128;

/// What a connection is made with.
pub(crate) struct Dialler<'a> {
    pub(crate) resolver: &'a dyn Resolver,
    pub(crate) open: &'a [IpNet],
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) turn: &'a Turn,
    pub(crate) deadline: Instant,
}

impl Dialler<'_> {
    /// A connection that takes a request.
    pub(crate) async fn connect(&self, target: &Target) -> Result<Connection, Refusal> {
        let addresses = self.addresses(target).await?;
        let stream = self.reach(&addresses, target.port).await?;
        let _ = stream.set_nodelay(true);
        if !target.is_tls {
            return self.handshake(stream).await;
        }
        let name = match &target.host {
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| HttpError::HttpRequestUriInvalid)?,
            Host::Address(address) => ServerName::from(*address),
        };
        let handshake = TlsConnector::from(self.tls.clone()).connect(name, stream);
        let stream = self
            .in_time(handshake)
            .await?
            .map_err(|error| failure::of_tls(&error, target))?;
        self.handshake(stream).await
    }

    /// The addresses that may be dialled. They are dialled as they are: no name is looked up again.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Refusal> {
        let found = match &target.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.look_up(name).await?,
        };
        let mut refused = None;
        let mut checked: Vec<IpAddr> = found.into_iter().map(address::canonical).collect();
        checked.retain(|address| match address::denied(*address, self.open) {
            None => true,
            Some(what) => {
                refused.get_or_insert((*address, what));
                false
            }
        });
        checked.truncate(ADDRESSES_MAX);
        if !checked.is_empty() {
            return Ok(checked);
        }
        Err(match refused {
            Some((address, what)) => Refusal {
                code: HttpError::DestinationIpProhibited,
                // Not the address itself: a name of the inside must not be looked up through a log.
                reason: Some(format!(
                    "http: {} is at an address that services may not reach ({what}); an operator can open a range: [http] open, in terrace.toml",
                    if matches!(target.host, Host::Name(_)) {
                        target.to_string()
                    } else {
                        address.to_string()
                    }
                )),
            },
            None => HttpError::DnsError {
                rcode: None,
                info_code: None,
            }
            .into(),
        })
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, Refusal> {
        let looking = async {
            let place = self.turn.lookup().await.ok_or(HttpError::ConnectionLimitReached)?;
            self.resolver.resolve(name, place).await.map_err(|error| {
                tracing::debug!(%error, name, "Cannot look up a host");
                HttpError::DnsError {
                    rcode: None,
                    info_code: None,
                }
            })
        };
        match timeout_at(self.deadline, looking).await {
            Ok(found) => Ok(found?),
            Err(_) => Err(HttpError::DnsTimeout.into()),
        }
    }

    /// The first address that answers; each gets its share of the time that is left.
    async fn reach(&self, addresses: &[IpAddr], port: u16) -> Result<TcpStream, Refusal> {
        let mut last = HttpError::DestinationUnavailable;
        for (tried, address) in addresses.iter().enumerate() {
            let others = u32::try_from(addresses.len() - tried).unwrap_or(1);
            let share = self.deadline.saturating_duration_since(Instant::now()) / others;
            match tokio::time::timeout(share, TcpStream::connect(SocketAddr::new(*address, port))).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = failure::of_connecting(&error),
                Err(_) => last = HttpError::ConnectionTimeout,
            }
        }
        Err(last.into())
    }

    async fn handshake<S>(&self, stream: S) -> Result<Connection, Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(FIELDS_MAX);
        let handshake = builder.handshake::<_, WasiBody>(TokioIo::new(stream));
        let (sender, connection) = self.in_time(handshake).await?.map_err(failure::of_exchange)?;
        // It ends when the sender is dropped, or the other side hangs up.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "An outgoing connection broke off");
            }
        });
        Ok(sender)
    }

    async fn in_time<F: Future>(&self, work: F) -> Result<F::Output, HttpError> {
        timeout_at(self.deadline, work)
            .await
            .map_err(|_| HttpError::ConnectionTimeout)
    }
}

/// Whether the operating system says that there is no way to the address.
pub(crate) fn is_unroutable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable
    )
}
