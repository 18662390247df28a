//! Opening a connection: socket, start-up, SCRAM, and the three statements every flight needs.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    message::{backend::Message, frontend},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::{Instant, sleep, timeout_at},
};

use crate::{
    Address, Config, Error, Lane,
    backend::{Backend, CancelKey, Stream},
    flight::ServerError,
};

/// Names of the statements that are prepared once in every backend.
pub(crate) const BEGIN: &str = "b";
pub(crate) const COMMIT: &str = "c";
pub(crate) const ROLLBACK: &str = "r";

/// What a server may say while it is only not ready yet: starting up, or too many connections
/// because those that we closed have not left.
const PASSING: [&str; 2] = ["57P03", "53300"];
const PASSING_PATIENCE: Duration = Duration::from_secs(1);

/// How long one of several places may take before the next is tried.
const PLACE_PATIENCE: Duration = Duration::from_secs(1);

/// A new backend of this lane. Of several places, the one that `primary` numbers is tried first, and
/// the one that was found is noted there. Between a primary's end and a standby's promotion there is
/// nobody to connect to: with several places that is waited for, up to the connect timeout.
pub(crate) async fn connect(lane: &Lane, config: &Config, primary: &AtomicUsize) -> Result<Backend, Error> {
    let began = Instant::now();
    let until = began + config.connect_timeout();
    let places = lane.cluster.address.places();
    let mut pause = Duration::from_millis(10);
    loop {
        let first = primary.load(Ordering::Relaxed);
        let mut is_passing = places.len() > 1;
        for index in (0..places.len()).map(|offset| (first + offset) % places.len()) {
            let Some(place) = places.get(index) else { continue };
            let patience = if places.len() > 1 {
                until.min(Instant::now() + PLACE_PATIENCE)
            } else {
                until
            };
            let refused = match timeout_at(patience, attempt(lane, place, config)).await {
                Ok(Ok(backend)) => {
                    primary.store(index, Ordering::Relaxed);
                    return Ok(backend);
                }
                Ok(Err(refused)) => refused,
                Err(_) => Refused::Protocol("no answer in time"),
            };
            is_passing |= matches!(&refused, Refused::Server(error)
                if PASSING.contains(&error.sqlstate.as_str()) && began.elapsed() < PASSING_PATIENCE);
            // The inner message names a login and a socket: it is for the log.
            if !is_passing {
                tracing::warn!(lane.id = %lane.id, cluster = %lane.cluster.name, error = %refused, "Could not open a connection");
            }
        }
        if Instant::now() >= until {
            return Err(Error::unavailable("opening a connection to the database took too long"));
        }
        if !is_passing {
            return Err(Error::unavailable("no connection to the database could be opened"));
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Opens the socket of this address.
pub(crate) async fn open(address: &Address) -> io::Result<Stream> {
    Ok(match address {
        Address::Unix { dir, port } => Stream::Unix(UnixStream::connect(dir.join(format!(".s.PGSQL.{port}"))).await?),
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Stream::Tcp(stream)
        }
        Address::Several(_) => return Err(io::Error::other("several addresses are no address")),
    })
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{} ({})", .0.message, .0.sqlstate)]
    Server(ServerError),
    #[error("{0}")]
    Protocol(&'static str),
}

async fn attempt(lane: &Lane, address: &Address, config: &Config) -> Result<Backend, Refused> {
    // Of a single place, an operator may make a read-only one on purpose.
    let must_write = lane.cluster.address.places().len() > 1;
    let mut wire = Wire {
        stream: open(address).await?,
        input: BytesMut::with_capacity(8 * 1024),
        out: BytesMut::new(),
    };
    let lock_timeout = config.lock_timeout_ms.to_string();
    let idle_timeout = config.idle_in_transaction_timeout_ms.to_string();
    // Everything that is the same for all statements is set here, once. `search_path` finds nothing
    // but built-in names: the guard qualifies the others.
    let parameters = [
        ("user", lane.login.as_str()),
        ("database", lane.cluster.database.as_str()),
        ("application_name", "terrace"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO"),
        ("IntervalStyle", "iso_8601"),
        ("TimeZone", "UTC"),
        ("extra_float_digits", "1"),
        ("search_path", "pg_catalog"),
        // One statement is one process: what a tenant takes of the machine is what its lane allows.
        ("max_parallel_workers_per_gather", "0"),
        ("statement_timeout", "60000"),
        ("lock_timeout", lock_timeout.as_str()),
        ("idle_in_transaction_session_timeout", idle_timeout.as_str()),
    ];
    frontend::startup_message(parameters, &mut wire.out)?;
    wire.send().await?;
    authenticate(&mut wire, address, &lane.password).await?;

    let mut key = None;
    loop {
        match wire.read().await? {
            Message::BackendKeyData(body) => {
                key = Some(CancelKey {
                    address: address.clone(),
                    process_id: body.process_id(),
                    secret_key: body.secret_key(),
                });
            }
            // Since PostgreSQL 14 a server says this of itself; asking would be a round trip.
            Message::ParameterStatus(body) => {
                let is_reader = ["in_hot_standby", "default_transaction_read_only"].contains(&body.name()?);
                if must_write && is_reader && body.value()? == "on" {
                    return Err(Refused::Protocol("the server accepts no writes"));
                }
            }
            Message::NoticeResponse(_) => {}
            Message::ReadyForQuery(_) => break,
            Message::ErrorResponse(body) => return Err(Refused::Server(ServerError::read(&body))),
            _ => return Err(Refused::Protocol("unexpected message after authentication")),
        }
    }
    for (name, sql) in [(BEGIN, "BEGIN"), (COMMIT, "COMMIT"), (ROLLBACK, "ROLLBACK")] {
        frontend::parse(name, sql, std::iter::empty(), &mut wire.out)?;
    }
    frontend::sync(&mut wire.out);
    wire.send().await?;
    loop {
        match wire.read().await? {
            Message::ParseComplete | Message::NoticeResponse(_) | Message::ParameterStatus(_) => {}
            Message::ReadyForQuery(_) => break,
            Message::ErrorResponse(body) => return Err(Refused::Server(ServerError::read(&body))),
            _ => return Err(Refused::Protocol("unexpected message while preparing")),
        }
    }
    let key = key.ok_or(Refused::Protocol("the server gave no cancellation key"))?;
    Ok(Backend::new(wire.stream, wire.input, wire.out, key, config))
}

async fn authenticate(wire: &mut Wire, address: &Address, password: &str) -> Result<(), Refused> {
    match wire.read().await? {
        Message::AuthenticationOk => return Ok(()),
        Message::AuthenticationCleartextPassword if matches!(address, Address::Unix { .. }) => {
            frontend::password_message(password.as_bytes(), &mut wire.out)?;
            wire.send().await?;
        }
        Message::AuthenticationSasl(body) => {
            let mut mechanisms = body.mechanisms();
            let mut is_offered = false;
            while let Some(mechanism) = mechanisms.next()? {
                is_offered |= mechanism == SCRAM_SHA_256;
            }
            if !is_offered {
                return Err(Refused::Protocol("the server does not offer SCRAM-SHA-256"));
            }
            scram(wire, password).await?;
        }
        Message::ErrorResponse(body) => return Err(Refused::Server(ServerError::read(&body))),
        _ => {
            return Err(Refused::Protocol(
                "the server asks for an authentication other than SCRAM-SHA-256",
            ));
        }
    }
    match wire.read().await? {
        Message::AuthenticationOk => Ok(()),
        Message::ErrorResponse(body) => Err(Refused::Server(ServerError::read(&body))),
        _ => Err(Refused::Protocol("unexpected message during authentication")),
    }
}

async fn scram(wire: &mut Wire, password: &str) -> Result<(), Refused> {
    let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut wire.out)?;
    wire.send().await?;
    match wire.read().await? {
        Message::AuthenticationSaslContinue(body) => scram.update(body.data())?,
        Message::ErrorResponse(body) => return Err(Refused::Server(ServerError::read(&body))),
        _ => return Err(Refused::Protocol("unexpected message during SCRAM")),
    }
    frontend::sasl_response(scram.message(), &mut wire.out)?;
    wire.send().await?;
    match wire.read().await? {
        Message::AuthenticationSaslFinal(body) => Ok(scram.finish(body.data())?),
        Message::ErrorResponse(body) => Err(Refused::Server(ServerError::read(&body))),
        _ => Err(Refused::Protocol("unexpected message at the end of SCRAM")),
    }
}

/// The connection while it is being opened: one message out, one in.
struct Wire {
    stream: Stream,
    input: BytesMut,
    out: BytesMut,
}

impl Wire {
    async fn send(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    async fn read(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = Message::parse(&mut self.input)? {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Asks the server to stop what this backend is doing. It may come too late, and that is no error.
pub(crate) async fn cancel(key: &CancelKey) {
    let mut out = BytesMut::with_capacity(16);
    frontend::cancel_request(key.process_id, key.secret_key, &mut out);
    let request = async {
        let mut stream = open(&key.address).await?;
        stream.write_all(&out).await?;
        // The server closes when it has passed the signal on.
        stream.read_u8().await.map(drop)
    };
    drop(timeout_at(Instant::now() + Duration::from_secs(2), request).await);
}
