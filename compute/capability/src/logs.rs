//! The log lines of services: to the platform's own log, and kept in memory for `terrace logs`.
//!
//! A line comes from the `log` capability or from a guest's stdout and stderr. Lines of one request
//! share a budget; what exceeds it is counted and dropped.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use terrace_ground_ids::{RequestId, ServiceName, TenantId};
use tokio::sync::watch;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use crate::Invocation;

/// Lines kept per service.
const LINES_MAX: usize = 500;
/// Bytes of one line; the rest is cut off.
const LINE_BYTES_MAX: usize = 8 << 10;

/// Bytes that a guest may hand over in one write.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the author.
    Debug,
    /// What happened.
    Info,
    /// What should not have.
    Warn,
    /// What failed.
    Error,
}

/// One line.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// Its place among all lines of the node: higher is later, also over a restart.
    pub number: u64,
    /// The service.
    pub service: ServiceName,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub at_micros: i64,
    /// Whose request wrote it.
    pub tenant: TenantId,
    /// The request.
    pub request: RequestId,
    /// How much it matters.
    pub level: Level,
    /// The text, without control characters.
    pub message: Arc<str>,
}

/// The last lines of every service of a node.
#[derive(Debug)]
pub struct Logs {
    rings: Mutex<HashMap<ServiceName, VecDeque<LogLine>>>,
    /// The number of the last line.
    last: watch::Sender<u64>,
}

impl Default for Logs {
    fn default() -> Self {
        let now = jiff::Timestamp::now().as_microsecond();
        Self {
            rings: Mutex::default(),
            // A node does not write a million lines a second, so a later one begins higher.
            last: watch::Sender::new(u64::try_from(now).unwrap_or(0)),
        }
    }
}

impl Logs {
    /// The lines that are kept and come after the number `after`, of one service or of all, oldest
    /// first.
    pub fn after(&self, after: u64, service: Option<&ServiceName>) -> Vec<LogLine> {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<LogLine> = rings
            .iter()
            .filter(|(name, _)| service.is_none_or(|service| service == *name))
            .flat_map(|(_, ring)| {
                let start = ring.partition_point(|line| line.number <= after);
                ring.range(start..).cloned()
            })
            .collect();
        drop(rings);
        lines.sort_unstable_by_key(|line| line.number);
        lines
    }

    /// The number of the last line; it tells when there is another.
    pub fn last(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// What ended a request, in the service's own log: its author looks there first.
    pub fn fault(&self, invocation: &Invocation, message: &str) {
        self.push(invocation, Level::Error, clean(message));
    }

    fn push(&self, invocation: &Invocation, level: Level, message: Arc<str>) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *self.last.borrow() + 1;
        let line = LogLine {
            number,
            service: invocation.service.clone(),
            at_micros: jiff::Timestamp::now().as_microsecond(),
            tenant: invocation.tenant.id.clone(),
            request: invocation.request.clone(),
            level,
            message,
        };
        if let Some(ring) = rings.get_mut(&invocation.service) {
            if ring.len() == LINES_MAX {
                ring.pop_front();
            }
            ring.push_back(line);
        } else {
            rings.insert(invocation.service.clone(), VecDeque::from([line]));
        }
        self.last.send_replace(number);
    }
}

/// The log of one instance, for the request that it serves at the moment.
#[derive(Debug)]
pub(crate) struct RequestLog {
    logs: Arc<Logs>,
    invocation: Arc<Invocation>,
    budget: usize,
    dropped: u64,
    /// The beginning of a line that stdout has not ended yet.
    partial: Vec<u8>,
}

impl RequestLog {
    pub(crate) fn new(logs: Arc<Logs>, invocation: Arc<Invocation>, budget: usize) -> Self {
        Self {
            logs,
            invocation,
            budget,
            dropped: 0,
            partial: Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self, invocation: Arc<Invocation>, budget: usize) {
        self.invocation = invocation;
        self.budget = budget;
    }

    pub(crate) fn write(&mut self, level: Level, message: &str) {
        let length = message.len().min(LINE_BYTES_MAX);
        if length > self.budget {
            self.dropped += 1;
            return;
        }
        self.budget -= length;
        self.emit(level, clean(message));
    }

    /// Ends the request: the last line of stdout, and how many lines were dropped.
    pub(crate) fn end(&mut self) {
        if !self.partial.is_empty() {
            let rest = std::mem::take(&mut self.partial);
            self.write(Level::Info, &String::from_utf8_lossy(&rest));
        }
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            self.emit(
                Level::Warn,
                format!("{dropped} log lines were over the budget of the request and are lost").into(),
            );
        }
    }

    fn stdout(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(self.partial.len()).min(piece.len());
            self.partial.extend_from_slice(&piece[..room]);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                self.write(Level::Info, String::from_utf8_lossy(&line).trim_end());
            }
        }
    }

    fn emit(&self, level: Level, message: Arc<str>) {
        let invocation = &self.invocation;
        macro_rules! emit {
            ($level:ident) => {
                tracing::$level!(target: "terrace::service", service = %invocation.service, tenant.id = %invocation.tenant.id, request.id = %invocation.request, "{message}")
            };
        }
        match level {
            Level::Debug => emit!(debug),
            Level::Info => emit!(info),
            Level::Warn => emit!(warn),
            Level::Error => emit!(error),
        }
        self.logs.push(invocation, level, message);
    }
}

/// At most [`LINE_BYTES_MAX`], and no control characters: a guest must not forge a second line or
/// write to an operator's terminal.
fn clean(message: &str) -> Arc<str> {
    let message = &message[..message.floor_char_boundary(LINE_BYTES_MAX)];
    if message.chars().any(char::is_control) {
        message
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect::<String>()
            .into()
    } else {
        message.into()
    }
}

/// A guest's stdout or stderr, which ends in its log.
#[derive(Clone)]
pub(crate) struct Output(pub(crate) Arc<Mutex<RequestLog>>);

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Preview 3 asks for this one.
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl tokio::io::AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(WRITE_BYTES_MAX)];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stdout(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stdout(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use terrace_ground_ids::{ReleaseId, RequestId, TenantId};
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::TenantFacts;

    fn invocation() -> Arc<Invocation> {
        Arc::new(Invocation {
            tenant: Arc::new(TenantFacts {
                id: TenantId::random(),
                slug: "acme".parse().unwrap(),
                name: "Acme".to_owned(),
                plan: "free".to_owned(),
            }),
            service: "tasks".parse().unwrap(),
            release: ReleaseId::random(),
            caller: None,
            request: RequestId::random(),
            deadline: Instant::now(),
            depth: 0,
            delivery: None,
        })
    }

    #[tokio::test]
    async fn what_a_guest_prints_is_in_its_log_in_both_previews() {
        let logs = Arc::new(Logs::default());
        let log = RequestLog::new(logs.clone(), invocation(), 1_000);
        let output = Output(Arc::new(Mutex::new(log)));
        output.p2_stream().write("second\n".into()).unwrap();
        Box::into_pin(output.async_stream())
            .write_all(b"third\n")
            .await
            .unwrap();
        let lines: Vec<String> = logs
            .after(0, None)
            .iter()
            .map(|line| line.message.to_string())
            .collect();
        assert_eq!(lines, ["second", "third"]);
    }
}
