//! Bodies: what is sent, and what comes back.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::request::Content;

/// The body of a request.
pub(super) enum Outgoing {
    /// It is there as a whole.
    Whole { body: Bytes, trailers: Option<HeaderMap> },
    /// It comes by and by.
    Stream(Rc<Outbox>),
}

impl From<&Content> for Outgoing {
    fn from(content: &Content) -> Self {
        let trailers = Some(&content.trailers).filter(|trailers| !trailers.is_empty()).cloned();
        Self::Whole { body: content.body.clone(), trailers }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match self.get_mut() {
            Self::Whole { body, .. } if !body.is_empty() => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Self::Whole { trailers, .. } => Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            Self::Stream(outbox) => outbox.poll(cx).map(|data| data.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { body, trailers } => body.is_empty() && trailers.is_none(),
            Self::Stream(outbox) => outbox.ended.get() && outbox.waiting.borrow().is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            // With trailers the length is not said: HTTP/1.1 sends them after chunks only.
            Self::Whole { body, trailers: None } => SizeHint::with_exact(body.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

/// What a guest has put on a stream and the peer has not taken yet.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: RefCell<VecDeque<Bytes>>,
    bytes: Cell<usize>,
    ended: Cell<bool>,
    /// Nobody waits for an answer any more.
    cancelled: Cell<bool>,
    /// Something of it has been taken.
    touched: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Outbox {
    /// Adds a message; false when the peer takes them too slowly, and more than `most` bytes would wait.
    pub(super) fn push(&self, message: Bytes, most: usize) -> bool {
        let waits = self.bytes.get().saturating_add(message.len());
        if waits > most {
            return false;
        }
        self.bytes.set(waits);
        self.waiting.borrow_mut().push_back(message);
        self.wake();
        true
    }

    /// No more will come.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.wake();
    }

    /// Nobody is interested any more: the peer sees the stream cancelled, if it has not ended on both sides.
    pub(super) fn cancel(&self) {
        self.cancelled.set(true);
        self.wake();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Whether all of it can still be sent another way.
    pub(super) fn is_untouched(&self) -> bool {
        !self.touched.get()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        if self.cancelled.get() {
            return Poll::Ready(Some(Err(h2::Reason::CANCEL.into())));
        }
        if let Some(message) = self.waiting.borrow_mut().pop_front() {
            self.touched.set(true);
            self.bytes.set(self.bytes.get().saturating_sub(message.len()));
            return Poll::Ready(Some(Ok(message)));
        }
        if self.ended.get() {
            return Poll::Ready(None);
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}
