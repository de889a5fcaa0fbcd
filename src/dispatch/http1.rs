//! One exchange of HTTP/1.1.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRAILER};
use http::{HeaderMap, Method, Request, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1;

use super::body::Outgoing;
use super::error::Failure;
use super::request::{Content, Head};
use super::sleep::{Limit, within};
use super::wire::Wire;
use crate::conf::DispatchConf;

/// hyper's least.
const LEAST_BUFFER: usize = 8 << 10;

/// A response as a whole.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

/// Sends a request and reads its response. The connection comes back if it is fit for another exchange.
pub(super) async fn exchange(
    wire: Wire,
    head: &Head,
    content: &Content,
    conf: &DispatchConf,
    peer: &str,
) -> (Result<Answer, Failure>, Option<Wire>) {
    let facts = wire.facts();
    let request = match request(head, content) {
        Ok(request) => request,
        Err(failure) => return (Err(failure), None),
    };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(conf.header_limit.max(LEAST_BUFFER)).max_header_size(conf.header_limit);
    let (mut sender, mut connection) = match builder.handshake::<_, Outgoing>(wire).await {
        Ok(both) => both,
        Err(error) => return (Err(Failure::of_hyper(&error, peer)), None),
    };
    let mut broke = None;
    let mut over = false;
    let outcome = {
        let mut answer = pin!(async {
            let response = sender.send_request(request).await.map_err(|error| Failure::of_hyper(&error, peer))?;
            let reusable = keeps_alive(response.version(), response.headers());
            // The connection itself has a limit for the time without a byte.
            let answer = read(response, conf.max_body, Limit::NONE, peer).await?;
            Ok((answer, reusable))
        });
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            if !over && let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
                over = true;
                broke = result.err();
            }
            answer.as_mut().poll(cx)
        })
        .await
    };
    drop(sender);
    let (answer, reusable) = match outcome {
        Ok(answer) => answer,
        // What ended the connection says more than what that meant for the exchange.
        Err(failure) => return (Err(broke.map_or(failure, |error| Failure::of_hyper(&error, peer))), None),
    };
    let at_rest =
        over || poll_fn(|cx| Poll::Ready(matches!(connection.poll_without_shutdown(cx), Poll::Ready(Ok(()))))).await;
    let parts = connection.into_parts();
    let reusable = reusable && at_rest && broke.is_none() && parts.read_buf.is_empty() && !facts.ended.get();
    (Ok(answer), reusable.then_some(parts.io))
}

fn request(head: &Head, content: &Content) -> Result<Request<Outgoing>, Failure> {
    let invalid = |what: &str| Failure::Invalid(format!("the request has no valid {what}"));
    let mut request = Request::new(Outgoing::from(content));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.path.clone();
    let headers = request.headers_mut();
    *headers = head.headers.clone();
    headers.insert(HOST, HeaderValue::from_str(&head.authority).map_err(|_| invalid("authority"))?);
    if content.body.is_empty() && content.trailers.is_empty() && expects_content(&head.method) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if !content.trailers.is_empty() {
        // Announced, or they would not be sent.
        let names: Vec<&str> = content.trailers.keys().map(http::HeaderName::as_str).collect();
        headers.insert(TRAILER, HeaderValue::from_str(&names.join(", ")).map_err(|_| invalid("trailers"))?);
    }
    Ok(request)
}

/// Whether a request of that method says its length even if it is 0 (RFC 9110, 8.6).
fn expects_content(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// Whether the peer goes on after this response.
fn keeps_alive(version: Version, headers: &HeaderMap) -> bool {
    let says = |wanted: &str| {
        let tokens = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        tokens.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    if version == Version::HTTP_11 { !says("close") } else { says("keep-alive") }
}

/// Reads a response to its end: of a body no more than `most` bytes, and never waiting longer than `patience` for more.
pub(super) async fn read(
    response: http::Response<Incoming>,
    most: usize,
    patience: Limit,
    peer: &str,
) -> Result<Answer, Failure> {
    let too_large = || Failure::TooLarge(peer.to_owned());
    let (head, body) = response.into_parts();
    if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::Invalid(format!("\"{peer}\" switches protocols")));
    }
    let mut answer = Answer { status: head.status.as_u16(), headers: head.headers, ..Answer::default() };
    if let Some(announced) = body.size_hint().exact().filter(|announced| *announced > 0) {
        let announced = usize::try_from(announced).ok().filter(|announced| *announced <= most).ok_or_else(too_large)?;
        answer.body.reserve_exact(announced.min(64 << 10));
    }
    let mut body = pin!(body);
    loop {
        let frame = within(patience, poll_fn(|cx| body.as_mut().poll_frame(cx))).await;
        let Some(frame) = frame.map_err(|_| Failure::ReadTimeout(peer.to_owned()))? else { return Ok(answer) };
        let frame = frame.map_err(|error| cut_short(Failure::of_hyper(&error, peer), peer))?;
        match frame.into_data() {
            Ok(data) if answer.body.len().saturating_add(data.len()) > most => return Err(too_large()),
            Ok(data) => answer.body.extend_from_slice(&data),
            Err(frame) => answer.trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
}

/// After the header, an end of the connection is one of the response.
fn cut_short(failure: Failure, peer: &str) -> Failure {
    match failure {
        Failure::Broken(_) | Failure::Closed(_) => Failure::CutShort(peer.to_owned()),
        failure => failure,
    }
}
