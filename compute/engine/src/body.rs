//! Bodies that know their bounds: the request as a guest reads it, the response as a client does.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::{Fault, flow::Flow, task::Answer};

/// What goes wrong in a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of a request or a response, streaming.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A request's body, on its way into a guest.
pub(crate) struct Inbound {
    pub(crate) inner: Body,
    /// Bytes that may still come.
    pub(crate) left: u64,
    pub(crate) answer: Arc<Answer>,
}

impl http_body::Body for Inbound {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        Poll::Ready(match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            None => None,
            Some(Err(error)) => {
                tracing::debug!(%error, "The request body broke off");
                Some(Err(HttpError::ConnectionTerminated))
            }
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                if length > self.left {
                    self.left = 0;
                    self.answer.request_is_too_large();
                    Some(Err(HttpError::HttpRequestBodySize(None)))
                } else {
                    self.left -= length;
                    Some(Ok(frame))
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.answer.request_is_gone();
    }
}

/// A response's body, on its way to the client.
pub(crate) struct Outbound {
    pub(crate) inner: WasiBody,
    /// Bytes that may still come.
    pub(crate) left: u64,
    /// Bytes that are still to come, when the head said how many.
    pub(crate) expected: Option<u64>,
    pub(crate) answer: Arc<Answer>,
    /// How fast it may leave.
    pub(crate) flow: Option<Flow>,
    /// Dropping it without sending tells the guest's task that nobody reads any more.
    pub(crate) reader: Option<oneshot::Sender<()>>,
}

impl Outbound {
    /// Everything was read: the guest may finish in peace.
    pub(crate) fn complete(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.send(());
        }
    }
}

impl http_body::Body for Outbound {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(flow) = &mut self.flow {
            ready!(flow.poll(context));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(flow) = &mut self.flow {
                    flow.sent(length);
                }
                if length > self.left {
                    self.reader = None;
                    return Poll::Ready(Some(Err(Fault::ResponseTooLarge.into())));
                }
                self.left -= length;
                // A server that knows the length does not ask for the end of the body, and after trailers there is
                // nothing to ask for.
                self.expected = self.expected.map(|expected| expected.saturating_sub(length));
                if self.expected == Some(0) || frame.is_trailers() {
                    self.complete();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                let fault = self.answer.broke_by();
                Some(Err(fault.map_or_else(|| error.into(), Into::into)))
            }
            // A guest that dies leaves a body that looks complete. Its fault is set before its
            // store is dropped, so it is here by now.
            None => match self.answer.fault() {
                Some(fault) => Some(Err(fault.into())),
                None => {
                    self.complete();
                    None
                }
            },
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.expected
            .map_or_else(|| self.inner.size_hint(), SizeHint::with_exact)
    }
}
