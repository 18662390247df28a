//! Reading what comes back from one flight: every message in order, every command tag checked.

use std::{io, sync::Arc};

use bytes::{Buf, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    Oid,
    message::backend::{self, ErrorResponseBody, Header, Message},
};
use terrace_data_guard::Kind;
use tokio::io::AsyncReadExt;

use crate::{Config, Error, ErrorKind, Rows, backend::Stream, codec};

/// What the server is expected to complete, in order.
pub(crate) enum Step {
    /// A statement of ours with exactly this tag.
    Utility(&'static str),
    /// A statement that may return rows.
    Statement(Kind, Arc<Statement>),
    /// A part of a SELECT: the next rows of a portal.
    Portal(Arc<Statement>),
    /// A text in the simple protocol, whose columns come with its rows, all as text. For tests.
    Text(Kind),
}

/// A statement that this backend has prepared.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) name: String,
    pub(crate) params: Vec<Oid>,
    pub(crate) columns: Vec<Column>,
}

#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) oid: Oid,
}

/// Everything up to ReadyForQuery.
#[derive(Default)]
pub(crate) struct Answer {
    /// One for each [`Step::Statement`] that completed.
    pub(crate) results: Vec<Rows>,
    /// The first error; the server skipped the rest of the flight.
    pub(crate) error: Option<ServerError>,
    /// `I` idle, `T` in a transaction, `E` in a failed one.
    pub(crate) status: u8,
    /// Statements that were parsed.
    pub(crate) parsed: usize,
    /// One for each Describe.
    pub(crate) described: Vec<(Vec<Oid>, Vec<Column>)>,
    /// A result was longer than it may be, and was cut.
    pub(crate) is_over_limit: bool,
    /// A portal has more rows to give.
    pub(crate) is_suspended: bool,
    /// Bytes of the longest row.
    pub(crate) row_bytes: usize,
    /// The session's settings changed, or something else that makes the backend unfit for reuse.
    pub(crate) must_retire: bool,
}

/// Why a flight did not come back.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The statement failed; the connection is in order.
    Statement(Error),
    /// The connection ended. `nothing_ran`: certainly before the server executed anything of it.
    Lost {
        nothing_ran: bool,
        error: Option<ServerError>,
    },
    /// The server said what nothing of ours asks for. The connection must not be used again.
    Unexpected(String),
    /// One message was larger than a whole result may be.
    TooLarge,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Statement(error)
    }
}

/// The fields of an ErrorResponse that matter here.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerError {
    pub(crate) severity: String,
    pub(crate) sqlstate: String,
    pub(crate) message: String,
    pub(crate) constraint: Option<String>,
    pub(crate) column: Option<String>,
}

impl ServerError {
    pub(crate) fn read(body: &ErrorResponseBody) -> Self {
        let mut error = Self::default();
        let mut fields = body.fields();
        while let Ok(Some(field)) = fields.next() {
            let text = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'V' => error.severity = text(),
                b'C' => error.sqlstate = text(),
                b'M' => error.message = text(),
                b'n' => error.constraint = Some(text()),
                b'c' => error.column = Some(text()),
                _ => {}
            }
        }
        error
    }

    pub(crate) fn is_fatal(&self) -> bool {
        self.severity != "ERROR"
    }

    pub(crate) fn into_error(self) -> Error {
        let kind = ErrorKind::of_sqlstate(&self.sqlstate);
        let constraint = if kind == ErrorKind::Constraint {
            self.constraint.or(self.column)
        } else {
            None
        };
        Error {
            kind,
            message: self.message,
            sqlstate: Some(self.sqlstate),
            constraint,
        }
    }
}

/// Reads until the server is ready again.
pub(crate) async fn read(
    stream: &mut Stream,
    input: &mut BytesMut,
    steps: &[Step],
    config: &Config,
) -> Result<Answer, Failure> {
    let mut reader = Reader {
        answer: Answer::default(),
        steps,
        done: 0,
        rows: Rows::default(),
        bytes: 0,
        params: Vec::new(),
        text_columns: Vec::new(),
        config,
    };
    let mut is_first = true;
    loop {
        let total = match Header::parse(input) {
            Ok(None) => None,
            Ok(Some(header)) => {
                let total = usize::try_from(header.len()).unwrap_or_default() + 1;
                if total > config.result_bytes_max.saturating_add(1 << 20) {
                    return Err(Failure::TooLarge);
                }
                (input.len() >= total).then_some(total)
            }
            Err(error) => return Err(Failure::Unexpected(error.to_string())),
        };
        let Some(total) = total else {
            match stream.read_buf(input).await {
                Ok(read) if read > 0 => continue,
                // Output is flushed at the end of a flight. When nothing came, the server may still
                // have executed all of it before it died.
                Ok(_) | Err(_) => {
                    return Err(Failure::Lost {
                        nothing_ran: false,
                        error: reader.answer.error,
                    });
                }
            }
        };
        match input[0] {
            backend::DATA_ROW_TAG => {
                reader.row(&input[5..total])?;
                input.advance(total);
            }
            backend::BIND_COMPLETE_TAG | backend::CLOSE_COMPLETE_TAG => input.advance(total),
            _ => {
                let mut frame = input.split_to(total);
                let message = match Message::parse(&mut frame) {
                    Ok(Some(message)) => message,
                    Ok(None) => return Err(Failure::Unexpected("a message without an end".to_owned())),
                    Err(error) => return Err(Failure::Unexpected(error.to_string())),
                };
                if let Message::ErrorResponse(body) = &message {
                    let error = ServerError::read(body);
                    if error.is_fatal() {
                        // Messages come in order: had anything of this flight run, it would have
                        // been answered before.
                        return Err(Failure::Lost {
                            nothing_ran: is_first,
                            error: Some(error),
                        });
                    }
                }
                if reader.message(message)? {
                    return Ok(reader.answer);
                }
            }
        }
        is_first = false;
    }
}

struct Reader<'a> {
    answer: Answer,
    steps: &'a [Step],
    done: usize,
    rows: Rows,
    bytes: usize,
    params: Vec<Oid>,
    text_columns: Vec<Column>,
    config: &'a Config,
}

impl Reader<'_> {
    /// True when the flight is over.
    fn message(&mut self, message: Message) -> Result<bool, Failure> {
        match message {
            Message::CommandComplete(body) => {
                let tag = body.tag().map_err(unreadable)?;
                self.complete(tag)?;
            }
            Message::PortalSuspended => self.suspended()?,
            Message::ParseComplete => self.answer.parsed += 1,
            Message::ParameterDescription(body) => {
                let mut oids = body.parameters();
                while let Some(oid) = oids.next().map_err(unreadable)? {
                    self.params.push(oid);
                }
            }
            Message::RowDescription(body) => {
                let mut columns = Vec::new();
                let mut fields = body.fields();
                while let Some(field) = fields.next().map_err(unreadable)? {
                    columns.push(Column {
                        name: field.name().to_owned(),
                        oid: field.type_oid(),
                    });
                }
                if let Some(Step::Text(..)) = self.steps.get(self.done) {
                    self.text_columns = columns;
                } else {
                    self.described(columns);
                }
            }
            Message::NoData => self.described(Vec::new()),
            Message::ErrorResponse(body) => self.answer.error = Some(ServerError::read(&body)),
            Message::NoticeResponse(_) => {}
            Message::ParameterStatus(_) | Message::NotificationResponse(_) => self.answer.must_retire = true,
            Message::ReadyForQuery(body) => {
                self.answer.status = body.status();
                if self.answer.error.is_none() && self.done != self.steps.len() {
                    return Err(Failure::Unexpected("the flight ended early".to_owned()));
                }
                return Ok(true);
            }
            Message::EmptyQueryResponse => return Err(Failure::Unexpected("an empty statement".to_owned())),
            Message::CopyInResponse(_) | Message::CopyOutResponse(_) => {
                return Err(Failure::Unexpected("COPY".to_owned()));
            }
            _ => return Err(Failure::Unexpected("a message that belongs to no flight".to_owned())),
        }
        Ok(false)
    }

    fn described(&mut self, columns: Vec<Column>) {
        self.answer.described.push((std::mem::take(&mut self.params), columns));
    }

    fn complete(&mut self, tag: &str) -> Result<(), Failure> {
        match self.steps.get(self.done) {
            Some(Step::Utility(expected)) if *expected == tag => {}
            Some(Step::Statement(kind, _) | Step::Text(kind)) if kind.allows_tag(tag) => {
                let affected = tag
                    .rsplit(' ')
                    .next()
                    .and_then(|count| count.parse().ok())
                    .unwrap_or_default();
                self.result(affected);
            }
            Some(Step::Portal(_)) if Kind::Select.allows_tag(tag) => self.result(0),
            _ => return Err(Failure::Unexpected(format!("the command tag `{tag}`"))),
        }
        self.done += 1;
        Ok(())
    }

    /// The rows so far are a result.
    fn result(&mut self, affected: u64) {
        let columns = self.columns().iter().map(|column| column.name.clone()).collect();
        let types = self.columns().iter().map(|column| column.oid).collect();
        let rows = std::mem::take(&mut self.rows.rows);
        self.answer.results.push(Rows {
            columns,
            types,
            rows,
            affected,
        });
        self.bytes = 0;
    }

    fn columns(&self) -> &[Column] {
        match self.steps.get(self.done) {
            Some(Step::Statement(_, statement) | Step::Portal(statement)) => &statement.columns,
            Some(Step::Text(..)) => &self.text_columns,
            _ => &[],
        }
    }

    /// The server stopped where it was told to: at the end of a batch, or at one row more than a
    /// result may have.
    fn suspended(&mut self) -> Result<(), Failure> {
        if matches!(self.steps.get(self.done), Some(Step::Portal(_))) {
            self.answer.is_suspended = true;
            self.result(0);
            self.done += 1;
            return Ok(());
        }
        if !matches!(self.steps.get(self.done), Some(Step::Statement(..))) {
            return Err(Failure::Unexpected("a suspended portal".to_owned()));
        }
        self.answer.is_over_limit = true;
        self.rows.rows.clear();
        self.done += 1;
        Ok(())
    }

    fn row(&mut self, body: &[u8]) -> Result<(), Failure> {
        if !matches!(
            self.steps.get(self.done),
            Some(Step::Statement(..) | Step::Portal(_) | Step::Text(..))
        ) {
            return Err(Failure::Unexpected("a row of a statement that has none".to_owned()));
        }
        self.answer.row_bytes = self.answer.row_bytes.max(body.len());
        self.bytes += body.len();
        if self.bytes > self.config.result_bytes_max || self.rows.rows.len() >= self.config.result_rows_max {
            self.answer.is_over_limit = true;
            self.rows.rows.clear();
            // The rest is read and forgotten, up to a point where destroying the backend is cheaper.
            return if self.bytes > self.config.result_bytes_max.saturating_mul(4) {
                Err(Failure::TooLarge)
            } else {
                Ok(())
            };
        }
        let broken = || Failure::Unexpected("a row that does not match its description".to_owned());
        let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(broken)?;
        let is_text = matches!(self.steps.get(self.done), Some(Step::Text(..)));
        let columns = self.columns();
        if usize::from(u16::from_be_bytes(*count)) != columns.len() {
            return Err(broken());
        }
        let mut row = Vec::with_capacity(columns.len());
        for column in columns {
            let (length, after) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
            rest = after;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                row.push(crate::Value::Null);
                continue;
            };
            let (cell, after) = rest.split_at_checked(length).ok_or_else(broken)?;
            rest = after;
            let oid = if is_text { codec::TEXT } else { column.oid };
            row.push(codec::decode(oid, cell).map_err(|error| Failure::Unexpected(error.message))?);
        }
        self.rows.rows.push(row);
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn unreadable(error: io::Error) -> Failure {
    Failure::Unexpected(error.to_string())
}
