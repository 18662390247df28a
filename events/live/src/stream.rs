//! One open stream: a state that yields the next bytes when the connection asks for them.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use http_body::Frame;
use terrace_events_log::{Listener, Span};
use tokio::time::{Instant, Sleep};

use crate::{BoxError, Inner, Seat, Topics, frame};

/// Where a stream begins, and what the client must be told about it.
pub(crate) struct Start {
    position: u64,
    reset: Option<&'static str>,
}

impl Start {
    /// Honours `cursor` when everything after it is still there; otherwise starts at the end and says so.
    pub(crate) fn of(cursor: Option<&str>, span: Span) -> Self {
        let reset = |reason| Self {
            position: span.last,
            reset: Some(reason),
        };
        match cursor.map(str::trim).filter(|cursor| !cursor.is_empty()) {
            None => Self {
                position: span.last,
                reset: None,
            },
            Some(cursor) => match cursor.parse::<u64>() {
                Err(_) => reset("cursor-unknown"),
                Ok(cursor) if cursor > span.last => reset("cursor-in-the-future"),
                Ok(cursor) if cursor + 1 < span.first => reset("cursor-too-old"),
                Ok(cursor) => Self {
                    position: cursor,
                    reset: None,
                },
            },
        }
    }
}

struct State {
    inner: Arc<Inner>,
    seat: Seat,
    listener: Listener,
    topics: Topics,
    /// Everything up to here was sent or left out.
    position: u64,
    /// The newest position that the client knows from an `id`.
    told: u64,
    reset: Option<&'static str>,
    /// Whether `caught-up` is still to be sent.
    behind: bool,
    /// Whether the log may hold more than the last read gave.
    more: bool,
    /// The bell told of an event that the log does not show yet: look again soon, not at once.
    rang_early: bool,
    rotate: Pin<Box<Sleep>>,
    ended: bool,
}

/// How long to wait for an event that was announced and is not visible yet (a replica's lag).
const RANG_EARLY: Duration = Duration::from_millis(25);

pub(crate) fn frames(
    inner: Arc<Inner>,
    seat: Seat,
    listener: Listener,
    topics: Topics,
    start: Start,
) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send {
    let rotate = jitter(Duration::from_secs(inner.config.rotate_seconds), 0.2);
    let state = State {
        seat,
        listener,
        topics,
        position: start.position,
        told: start.position,
        reset: start.reset,
        behind: true,
        more: true,
        rang_early: false,
        rotate: Box::pin(tokio::time::sleep(rotate)),
        ended: false,
        inner,
    };
    stream::unfold(state, |mut state| async move {
        let bytes = state.next().await?;
        Some((bytes.map(Frame::data), state))
    })
}

impl State {
    /// The next bytes to send; `None` ends the stream.
    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        if self.ended {
            return None;
        }
        if let Some(reason) = self.reset.take() {
            return Some(Ok(frame::reset(reason, self.position)));
        }
        let heartbeat = Duration::from_secs(self.inner.config.heartbeat_seconds.max(1));
        let silent_until = Instant::now() + heartbeat;
        loop {
            if self.more {
                match self.read().await {
                    Ok(Some(bytes)) => return Some(Ok(bytes)),
                    Ok(None) => {}
                    Err(error) => {
                        // A broken body, not a clean end: the client resumes from its last id.
                        self.ended = true;
                        return Some(Err(error));
                    }
                }
                if self.ended || self.more {
                    // A batch without one matching event: a revocation must still get its turn.
                    tokio::task::yield_now().await;
                }
            }
            tokio::select! {
                biased;
                () = self.seat.revoked() => {
                    // No `bye`: this client is not to come back.
                    self.ended = true;
                    return None;
                }
                () = &mut self.rotate => {
                    self.ended = true;
                    return Some(Ok(frame::bye(self.retry_ms())));
                }
                () = std::future::ready(()), if self.more => {}
                () = self.listener.past(self.position), if !self.rang_early => self.more = true,
                () = tokio::time::sleep(RANG_EARLY), if self.rang_early => {
                    self.rang_early = false;
                    self.more = true;
                }
                () = tokio::time::sleep_until(silent_until) => {
                    self.told = self.position;
                    // Also a look into the log, in case that nobody rings any more.
                    self.more = true;
                    return Some(Ok(frame::heartbeat(self.told)));
                }
            }
        }
    }

    /// Reads one batch, and returns its frames as one piece. `None`: nothing to send.
    async fn read(&mut self) -> Result<Option<Bytes>, BoxError> {
        let batch = self.inner.config.batch.max(1);
        let events = self.inner.log.read(&self.seat.tenant, self.position, batch).await?;
        let mut bytes = BytesMut::new();
        for event in &events {
            self.position = event.seq;
            if self.topics.contains(&event.topic) {
                self.told = event.seq;
                bytes.extend_from_slice(&frame::event(event));
            }
        }
        self.more = events.len() == batch as usize;
        self.rang_early = events.is_empty() && self.listener.head() > self.position;
        if events.is_empty() && self.fell_behind().await? {
            bytes.extend_from_slice(&frame::reset("cursor-too-old", self.position));
            self.behind = true;
        }
        if !self.more && self.behind {
            self.behind = false;
            self.told = self.position;
            bytes.extend_from_slice(&frame::caught_up(self.position));
        }
        Ok((!bytes.is_empty()).then(|| bytes.freeze()))
    }

    /// Nothing came although the stream may reach further: was the next event deleted meanwhile? Then
    /// the reader goes to the end, and must say so.
    async fn fell_behind(&mut self) -> Result<bool, BoxError> {
        let span = self.inner.log.span(&self.seat.tenant).await?;
        if self.position + 1 < span.first {
            self.position = span.last;
            return Ok(true);
        }
        Ok(false)
    }

    fn retry_ms(&self) -> u64 {
        let half = self.inner.config.retry_ms / 2;
        half + u64::try_from(jitter(Duration::from_millis(half), 1.0).as_millis())
            .unwrap_or(half)
            .saturating_sub(half)
    }
}

/// `duration` and up to `share` of it more. A hasher's random keys are randomness enough: nobody
/// gains from guessing when a stream ends.
fn jitter(duration: Duration, share: f64) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = f64::from(u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    duration.mul_f64(1.0 + share * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_cannot_be_honoured_is_never_ignored_silently() {
        let span = Span { first: 5, last: 9 };
        for (cursor, position, reset) in [
            (None, 9, None),
            (Some("9"), 9, None),
            (Some("4"), 4, None),
            (Some("3"), 9, Some("cursor-too-old")),
            (Some("10"), 9, Some("cursor-in-the-future")),
            (Some("x"), 9, Some("cursor-unknown")),
        ] {
            let start = Start::of(cursor, span);
            assert_eq!((start.position, start.reset), (position, reset), "{cursor:?}");
        }
        assert_eq!(Start::of(Some("0"), Span { first: 1, last: 0 }).reset, None);
    }
}
