//! COPY out: a table's rows as PostgreSQL writes them, for exports. Never for a service's statement.

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::{
    backend::{Header, Message},
    frontend,
};
use tokio::io::AsyncReadExt;

use super::{Backend, Key, State};
use crate::{
    Config,
    flight::{Failure, ServerError},
    route::Route,
};

/// Bytes that are gathered before they are handed on.
const CHUNK_BYTES: usize = 64 * 1024;
/// The longest row that is copied: PostgreSQL's own limit for one value.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// The moment is that of the first query, not of BEGIN: so there is one at once, which finds nothing.
const MOMENT: &str = "SELECT WHERE false";

impl Backend {
    /// Opens a transaction that sees one moment and writes nothing.
    pub(crate) async fn snapshot(&mut self, route: &Route, timeout_ms: u64, config: &Config) -> Result<(), Failure> {
        self.start();
        self.put_utility(Key::Trusted(SNAPSHOT), "BEGIN", || SNAPSHOT.to_owned())?;
        self.put_limits(route, timeout_ms)?;
        self.put_utility(Key::Trusted(MOMENT), "SELECT 0", || MOMENT.to_owned())?;
        let answer = self.exchange(false, config).await?;
        self.conclude(answer, State::Open).map(drop)
    }

    /// Starts a COPY ... TO STDOUT. Until [`Backend::copied`] said that it is over, the connection is
    /// in flight and fit for nothing else.
    pub(crate) async fn copy_out(&mut self, sql: &str) -> Result<(), Failure> {
        self.start();
        self.put_unnamed(sql)?;
        frontend::sync(&mut self.out);
        self.send(false).await?;
        loop {
            match self.message().await? {
                Message::CopyOutResponse(_) => return Ok(()),
                Message::ParseComplete | Message::BindComplete | Message::NoticeResponse(_) => {}
                Message::ErrorResponse(body) => return Err(self.refused(ServerError::read(&body)).await?),
                _ => return Err(Failure::Unexpected("an answer that is no COPY".to_owned())),
            }
        }
    }

    /// What comes next: at least one whole row, about 64 KiB at most unless a row is longer. `None`
    /// when all has come. Reads no further than that, so a slow reader slows the server.
    pub(crate) async fn copied(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut chunk = BytesMut::new();
        loop {
            // A row, or the end, that has arrived whole already.
            while let Some(total) = self.whole()? {
                if self.input[0] != b'd' {
                    break;
                }
                let mut frame = self.input.split_to(total);
                frame.advance(5);
                chunk.extend_from_slice(&frame);
                if chunk.len() >= CHUNK_BYTES {
                    return Ok(Some(chunk.freeze()));
                }
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk.freeze()));
            }
            if self.whole()?.is_none() {
                self.fill().await?;
                continue;
            }
            match self.message().await? {
                Message::CopyDone | Message::NoticeResponse(_) => {}
                Message::CommandComplete(body) if body.tag().is_ok_and(|tag| tag.starts_with("COPY ")) => {}
                Message::ReadyForQuery(body) if body.status() == b'T' => {
                    self.state = State::Open;
                    return Ok(None);
                }
                Message::ErrorResponse(body) => return Err(self.refused(ServerError::read(&body)).await?),
                _ => return Err(Failure::Unexpected("a message that belongs to no COPY".to_owned())),
            }
        }
    }

    /// The error of a COPY, once the server has said that it waits for the rollback.
    async fn refused(&mut self, error: ServerError) -> Result<Failure, Failure> {
        if error.is_fatal() {
            return Ok(Failure::Lost {
                nothing_ran: true,
                error: Some(error),
            });
        }
        loop {
            if let Message::ReadyForQuery(_) = self.message().await? {
                self.state = State::Failed;
                return Ok(Failure::Statement(error.into_error()));
            }
        }
    }

    fn put_unnamed(&mut self, sql: &str) -> Result<(), Failure> {
        frontend::parse("", sql, std::iter::empty(), &mut self.out).map_err(super::unsendable)?;
        frontend::bind(
            "",
            "",
            std::iter::empty(),
            std::iter::empty::<()>(),
            |(), _| super::unreachable_param(),
            std::iter::empty(),
            &mut self.out,
        )
        .map_err(|_| Failure::Unexpected("a statement that cannot be sent".to_owned()))?;
        frontend::execute("", 0, &mut self.out).map_err(super::unsendable)
    }

    /// The length of the message that has arrived whole, if one has.
    fn whole(&self) -> Result<Option<usize>, Failure> {
        let header = Header::parse(&self.input).map_err(|error| Failure::Unexpected(error.to_string()))?;
        let total = header.map(|header| usize::try_from(header.len()).unwrap_or(usize::MAX).saturating_add(1));
        match total {
            Some(total) if total > MESSAGE_BYTES_MAX => Err(Failure::TooLarge),
            total => Ok(total.filter(|total| self.input.len() >= *total)),
        }
    }

    pub(super) async fn message(&mut self) -> Result<Message, Failure> {
        loop {
            if self.whole()?.is_some() {
                return match Message::parse(&mut self.input) {
                    Ok(Some(message)) => Ok(message),
                    Ok(None) => Err(Failure::Unexpected("a message without an end".to_owned())),
                    Err(error) => Err(Failure::Unexpected(error.to_string())),
                };
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.input).await {
            Ok(count) if count > 0 => Ok(()),
            Ok(_) | Err(_) => Err(Failure::Lost {
                nothing_ran: true,
                error: None,
            }),
        }
    }
}
