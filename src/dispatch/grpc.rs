//! gRPC: one call, or one stream, from its connection to its status.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body::Body;
use hyper::body::Incoming;

use super::body::{Outbox, Outgoing};
use super::connect::{Link, Plan, Transport};
use super::error::Failure;
use super::frames::{DEADLINE_EXCEEDED, GRPC_STATUS, INTERNAL, Messages, Status, UNKNOWN, status_of, status_of_http};
use super::http2;
use super::request::{Head, to_pairs};
use super::sleep::{Limit, within};
use crate::proxy_wasm::vm::GrpcEvent;

/// How the messages of one call go.
pub(super) struct Exchange {
    pub head: Head,
    pub outbox: Rc<Outbox>,
    /// One message each way.
    pub unary: bool,
    pub limit: Option<Duration>,
    /// The longest wait for something of the peer; a stream may be silent for as long as it likes.
    pub patience: Option<Duration>,
    /// The most bytes of one message.
    pub most: usize,
}

/// Runs it to its end; `tell` hears of all that comes before. A failure is told with the status that stands for it.
pub(super) async fn run(
    mut plan: Plan,
    exchange: Exchange,
    mut tell: impl FnMut(GrpcEvent),
) -> (Status, Option<Failure>) {
    match within(plan.dialer.limit(exchange.limit), attempt(&mut plan, &exchange, &mut tell)).await {
        Ok(Ok(status)) => (status, None),
        Ok(Err(failure)) => (Status::new(failure.grpc_status(), failure.to_string()), Some(failure)),
        Err(_) => (Status::new(DEADLINE_EXCEEDED, "deadline exceeded"), None),
    }
}

async fn attempt(plan: &mut Plan, exchange: &Exchange, tell: &mut impl FnMut(GrpcEvent)) -> Result<Status, Failure> {
    let mut link = plan.connect().await?;
    let patience = plan.dialer.limit(exchange.patience);
    loop {
        let Link { transport, route, peer, reused } = link;
        let Transport::Http2(using) = transport else { return Err(Failure::NoHttp2(peer)) };
        let body = Outgoing::Stream(exchange.outbox.clone());
        match http2::send(&using, &exchange.head, body, patience, &peer).await {
            Ok(response) => {
                plan.served(route, None);
                return receive(response, exchange, patience, &peer, tell).await;
            }
            // The peer has closed a shared connection before it took anything of this call.
            Err(failure) if reused && failure.is_stale() && exchange.outbox.is_untouched() => {
                drop(using);
                link = plan.dialer.dial(route, peer).await?;
            }
            Err(failure) => {
                plan.broke();
                return Err(failure);
            }
        }
    }
}

async fn receive(
    response: http::Response<Incoming>,
    exchange: &Exchange,
    patience: Limit,
    peer: &str,
    tell: &mut impl FnMut(GrpcEvent),
) -> Result<Status, Failure> {
    let (head, body) = response.into_parts();
    // A response that is all header has its status there.
    if head.headers.contains_key(GRPC_STATUS) {
        return Ok(status_of(&head.headers));
    }
    if head.status != StatusCode::OK {
        return Ok(Status::new(status_of_http(head.status), format!("HTTP status {}", head.status.as_u16())));
    }
    let is_grpc = head.headers.get(CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return Ok(Status::new(UNKNOWN, "the response is none of gRPC"));
    }
    tell(GrpcEvent::InitialMetadata(to_pairs(&head.headers).collect()));
    let mut messages = Messages::new(exchange.most);
    let mut first = None;
    let mut trailers = HeaderMap::new();
    let mut body = pin!(body);
    loop {
        let frame = within(patience, poll_fn(|cx| body.as_mut().poll_frame(cx))).await;
        let Some(frame) = frame.map_err(|_| Failure::ReadTimeout(peer.to_owned()))? else { break };
        match frame.map_err(|error| Failure::of_hyper(&error, peer))?.into_data() {
            Ok(data) => messages.push(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
        loop {
            match messages.next() {
                Ok(None) => break,
                Ok(Some(message)) if !exchange.unary => tell(GrpcEvent::Message(message)),
                Ok(Some(message)) if first.is_none() => first = Some(message),
                Ok(Some(_)) => return Ok(Status::new(INTERNAL, "more than one message in a unary call")),
                Err(status) => return Ok(status),
            }
        }
    }
    tell(GrpcEvent::TrailingMetadata(to_pairs(&trailers).collect()));
    let status = status_of(&trailers);
    match first {
        Some(message) if status.code == 0 => tell(GrpcEvent::Message(message)),
        None if status.code == 0 && exchange.unary => return Ok(Status::new(INTERNAL, "no message in a unary call")),
        _ => {}
    }
    Ok(status)
}
