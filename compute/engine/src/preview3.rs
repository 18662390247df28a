//! How a request is driven through a component of preview 3. An instance calls it, once per request, within
//! all the bounds of `Job::run`: those are outside, because nothing inside is polled while the guest is busy
//! (wasmtime's issues 11869 and 11870).
//!
//! A handler of preview 3 returns its response early, and goes on writing the body afterwards. So the store is
//! driven until nothing is left in it: no task, no stream, no future. It takes no second request meanwhile.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, TryFutureExt as _};
use http::uri::{Authority, Scheme};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use terrace_compute_capability::Guest;
use tokio::sync::oneshot;
use wasmtime::{AsContextMut as _, Store, component::Accessor};
use wasmtime_wasi_http::{
    Error as HttpError, FieldMap, WasiBody, WasiHttpView as _,
    p3::{Request, bindings::Service},
};

use crate::{body::Inbound, task::Answer};

/// Serves one request. The response goes to `answer`, before the guest is done.
pub(crate) async fn serve(
    store: &mut Store<Guest>,
    service: &Service,
    request: http::Request<Inbound>,
    answer: Arc<Answer>,
) -> wasmtime::Result<()> {
    let serving = store.run_concurrent(async |guest| drive(guest, service, request, answer).await);
    serving.await?
}

/// Whether something of a request is left in the store, which would go on with the next one.
pub(crate) fn is_busy(store: &mut Store<Guest>) -> bool {
    store.concurrent_resource_table().is_some_and(|table| !table.is_empty())
}

async fn drive(
    guest: &Accessor<Guest>,
    service: &Service,
    request: http::Request<Inbound>,
    answer: Arc<Answer>,
) -> wasmtime::Result<()> {
    let request = guest.with(|mut store| incoming(store.get(), request));
    let response = match service.handle(guest, request).await? {
        Ok(response) => response,
        Err(_) => {
            answer.respond(Err(()));
            return Ok(());
        }
    };
    let (sender, read) = oneshot::channel();
    // What the guest is told of its response's fate.
    let mut read = read.map_err(|_| ()).shared();
    let fate = read.clone().map_err(|()| HttpError::ConnectionTerminated);
    let response = guest.with(|store| response.into_http(store, fate))?;
    answer.respond(Ok(response.map(|inner| {
        let read = Some(sender);
        Watched { inner, read }.boxed_unsync()
    })));
    poll_fn(|context| {
        ready!(guest.poll_no_interesting_tasks(context));
        // Nobody has to wake this: the store's loop polls it after everything that it did. A request's body that
        // became the response's passes the guest by, and is still under way when nothing is left in the store.
        if answer.is_request_gone() && guest.with(|mut store| is_idle(&mut store)) {
            return Poll::Ready(());
        }
        Pin::new(&mut read).poll(context).map(drop)
    })
    .await;
    Ok(())
}

fn is_idle(store: &mut wasmtime::component::Access<'_, Guest>) -> bool {
    let mut store = store.as_context_mut();
    store.concurrent_resource_table().is_none_or(|table| table.is_empty())
}

/// The request as the guest sees it: as in preview 2, with a scheme and an authority.
fn incoming(guest: &mut Guest, request: http::Request<Inbound>) -> Request {
    let (parts, body) = request.into_parts();
    let uri = parts.uri.into_parts();
    let authority = uri.authority.or_else(|| {
        let host = parts.headers.get(http::header::HOST)?;
        Authority::try_from(host.as_bytes()).ok()
    });
    let headers = FieldMap::new_immutable(guest.http().hooks, parts.headers);
    // Whether the guest could make something of the body is its own affair.
    let (request, _) = Request::new(
        parts.method,
        Some(Scheme::HTTP),
        authority,
        uri.path_and_query,
        headers,
        None,
        body,
    );
    request
}

/// A response's body that tells when it was read to its end. Dropped before that, it tells that too.
struct Watched {
    inner: WasiBody,
    read: Option<oneshot::Sender<()>>,
}

impl Watched {
    fn is_read(&mut self) {
        if let Some(read) = self.read.take() {
            let _ = read.send(());
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Err(_)) => self.read = None,
            // A server that knows the length does not ask for the end, and after trailers nobody does.
            Some(Ok(frame)) if frame.is_data() && self.inner.size_hint().exact() != Some(0) => {}
            _ => self.is_read(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // A body of which nothing is to come is not always asked for.
        if self.inner.is_end_stream() || self.inner.size_hint().exact() == Some(0) {
            self.is_read();
        }
    }
}
