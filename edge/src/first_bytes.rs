//! A deadline on the first bytes of a connection. The server must read up to 24 bytes to tell
//! HTTP/1 from HTTP/2, and has no clock while it does: without this, a client that connects and
//! says nothing would keep its place for ever.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose protocol must be clear within a time.
#[derive(Debug)]
pub(crate) struct FirstBytes<C> {
    connection: C,
    /// How many bytes agree with the HTTP/2 preface.
    agreed: usize,
    /// `None` once the protocol is clear.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<C> FirstBytes<C> {
    pub(crate) fn new(connection: C, time_max: Duration) -> Self {
        Self {
            connection,
            agreed: 0,
            deadline: Some(Box::pin(sleep(time_max))),
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for FirstBytes<C> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(deadline) = &mut this.deadline else {
            return Pin::new(&mut this.connection).poll_read(context, buffer);
        };
        if deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.connection).poll_read(context, buffer);
        if result.is_ready() {
            let read = buffer.filled().get(before..).unwrap_or_default();
            let agrees = PREFACE[this.agreed..]
                .iter()
                .zip(read)
                .all(|(expected, byte)| expected == byte);
            this.agreed = (this.agreed + read.len()).min(PREFACE.len());
            if !agrees || this.agreed == PREFACE.len() {
                this.deadline = None;
            }
        }
        result
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for FirstBytes<C> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().connection).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().connection).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_shutdown(context)
    }
}
