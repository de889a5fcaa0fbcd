//! A connection to a peer, as hyper reads and writes it.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use ngx::net::Connection;

use super::error::Stalled;

/// The most bytes of one read.
const READ: usize = 16 << 10;

thread_local! {
    /// Where all connections read into, one after the other.
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// What has happened on a connection.
#[derive(Default)]
pub(super) struct Facts {
    /// Bytes have come since the request was begun.
    pub received: Cell<bool>,
    /// Bytes have left.
    pub sent: Cell<bool>,
    /// The peer has ended its side, or the connection broke.
    pub ended: Cell<bool>,
}

pub(super) struct Wire {
    connection: Connection,
    facts: Rc<Facts>,
    /// The longest time without a byte, while one is waited for.
    read_timeout: Option<Duration>,
    send_timeout: Option<Duration>,
    /// Something was sent since the wait for bytes began: it begins anew.
    moved: bool,
}

impl Wire {
    /// Without limits.
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, facts: Rc::default(), read_timeout: None, send_timeout: None, moved: false }
    }

    /// Begins an exchange.
    pub(super) fn begin(&mut self, read_timeout: Duration, send_timeout: Duration) {
        self.facts.received.set(false);
        self.facts.sent.set(false);
        (self.read_timeout, self.send_timeout, self.moved) = (Some(read_timeout), Some(send_timeout), false);
    }

    pub(super) fn facts(&self) -> Rc<Facts> {
        self.facts.clone()
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }

    fn failed(&self, error: io::Error, stalled: Stalled) -> io::Error {
        self.facts.ended.set(true);
        if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() { stalled.into() } else { error }
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        ROOM.with_borrow_mut(|room| {
            let len = room.len().min(buf.remaining());
            let room = &mut room[..len];
            loop {
                let timeout = self.read_timeout;
                return Poll::Ready(match self.connection.poll_read(cx, room, timeout) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) => {
                        self.facts.ended.set(true);
                        Ok(())
                    }
                    Poll::Ready(Ok(count)) => {
                        self.facts.received.set(true);
                        buf.put_slice(room.get(..count).unwrap_or_default());
                        Ok(())
                    }
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut && self.moved => {
                        self.moved = false;
                        continue;
                    }
                    Poll::Ready(Err(error)) => Err(self.failed(error, Stalled::Reading)),
                });
            }
        })
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let timeout = self.send_timeout;
        self.connection.poll_write(cx, buf, timeout).map(|written| {
            if matches!(written, Ok(count) if count > 0) {
                self.facts.sent.set(true);
                self.moved = true;
            }
            written.map_err(|error| self.failed(error, Stalled::Writing))
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_shutdown(cx)
    }
}
