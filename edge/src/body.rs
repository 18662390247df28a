//! The two bodies of the edge: what it answers, and what it uploads to the node. Both stream;
//! neither collects.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep},
};

use crate::hygiene;

/// What the edge answers.
#[derive(Debug)]
pub(crate) enum Body {
    /// Bytes in memory, until they are taken.
    Memory(Option<Bytes>),
    /// The node's answer, passed on frame by frame.
    Stream(Box<Stream>),
}

/// The node's answer on its way to the client.
pub(crate) struct Stream {
    incoming: Incoming,
    /// The host's slot; given back when the answer ends or the client leaves.
    _slot: OwnedSemaphorePermit,
    /// Ends an event stream in good order when the edge drains; the client reconnects elsewhere.
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Memory(None)
    }

    pub(crate) fn stream(
        incoming: Incoming,
        slot: OwnedSemaphorePermit,
        closing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ) -> Self {
        Self::Stream(Box::new(Stream {
            incoming,
            _slot: slot,
            closing,
        }))
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(content: T) -> Self {
        Self::Memory(Some(content.into()))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Memory(content) => Poll::Ready(content.take().map(|content| Ok(Frame::data(content)))),
            Self::Stream(stream) => {
                if let Some(closing) = &mut stream.closing
                    && closing.as_mut().poll(context).is_ready()
                {
                    return Poll::Ready(None);
                }
                let frame = Pin::new(&mut stream.incoming).poll_frame(context);
                frame.map(|frame| frame.map(|frame| frame.map(passed_on)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Memory(content) => content.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(stream) => stream.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Memory(content) => SizeHint::with_exact(content.as_ref().map_or(0, |content| content.len() as u64)),
            Self::Stream(stream) => stream.incoming.size_hint(),
        }
    }
}

/// Why an upload stopped, always on the client's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// More bytes than the limit.
    #[error("the body is over the limit")]
    TooLarge,
    /// No byte for the idle time.
    #[error("the body stopped arriving")]
    Stalled,
    /// The client left or broke the protocol.
    #[error("the client's body broke off")]
    Broken,
}

/// A request body that several attempts can share: as long as no attempt has read from it, it is
/// still in the client's socket and the next attempt can send it.
#[derive(Debug, Clone)]
pub(crate) struct Source(Option<Arc<Mutex<State>>>);

#[derive(Debug)]
struct State {
    incoming: Incoming,
    bytes_left: u64,
    fault: Option<Fault>,
    started: bool,
}

impl Source {
    /// Wraps the client's body; at most `bytes_max` will be read.
    pub(crate) fn new(incoming: Incoming, bytes_max: u64) -> Self {
        if incoming.is_end_stream() {
            return Self(None);
        }
        Self(Some(Arc::new(Mutex::new(State {
            incoming,
            bytes_left: bytes_max,
            fault: None,
            started: false,
        }))))
    }

    /// A body without content.
    pub(crate) fn empty() -> Self {
        Self(None)
    }

    /// True when there is no content, so that any attempt can be repeated.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// True when an attempt has read from it: nothing may be sent a second time.
    pub(crate) fn started(&self) -> bool {
        self.with(|state| state.started).unwrap_or(false)
    }

    /// Why reading it stopped, if it did.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.with(|state| state.fault).flatten()
    }

    /// A body for one attempt.
    pub(crate) fn upload(&self, idle: Duration) -> Upload {
        Upload {
            source: self.clone(),
            idle,
            sleep: None,
        }
    }

    fn with<T>(&self, read: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.0
            .as_ref()
            .map(|state| read(&mut state.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// One attempt to send a [`Source`].
#[derive(Debug)]
pub(crate) struct Upload {
    source: Source,
    idle: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = self.get_mut();
        let Some(state) = &this.source.0 else {
            return Poll::Ready(None);
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.started = true;
        let fault = match Pin::new(&mut state.incoming).poll_frame(context) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(_))) => Fault::Broken,
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Err(trailers) => return Poll::Ready(Some(Ok(passed_on(trailers)))),
                Ok(data) => match state.bytes_left.checked_sub(data.len() as u64) {
                    None => Fault::TooLarge,
                    Some(left) => {
                        state.bytes_left = left;
                        if let Some(sleep) = &mut this.sleep {
                            sleep.as_mut().reset(Instant::now() + this.idle);
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                },
            },
            Poll::Pending => {
                let idle = this.idle;
                let pause = this.sleep.get_or_insert_with(|| Box::pin(sleep(idle)));
                if pause.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                Fault::Stalled
            }
        };
        state.fault = Some(fault);
        Poll::Ready(Some(Err(fault)))
    }

    fn is_end_stream(&self) -> bool {
        self.source.with(|state| state.incoming.is_end_stream()).unwrap_or(true)
    }

    fn size_hint(&self) -> SizeHint {
        self.source
            .with(|state| state.incoming.size_hint())
            .unwrap_or(SizeHint::with_exact(0))
    }
}

/// A frame without the trailers that may not cross the edge: they could name what was stripped from the headers.
fn passed_on(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            hygiene::trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(data) => data,
    }
}

/// Reads and drops what is left of a refused body, so that the client hears the refusal instead of
/// a reset connection. Bounded in bytes and time; after that the connection is closed on it.
pub(crate) async fn drain(mut incoming: Incoming, bytes_max: u64, time_max: Duration) {
    let read = async {
        let mut bytes = 0;
        while bytes < bytes_max {
            match http_body_util::BodyExt::frame(&mut incoming).await {
                Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
                Some(Err(_)) | None => return,
            }
        }
    };
    let _ = tokio::time::timeout(time_max, read).await;
}
