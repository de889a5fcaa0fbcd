//! HTTP/2: connections that calls share, and the exchange of one call.

use http::uri::{Parts, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};

use super::body::Outgoing;
use super::connect::Dialer;
use super::error::Failure;
use super::executor::{self, Local};
use super::http1::{self, Answer};
use super::pool::Using;
use super::request::{Content, Head};
use super::sleep::{Limit, within};
use super::wire::Wire;
use crate::conf::DispatchConf;

/// What a peer may have in flight towards us before it waits: on one stream, and on all of a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Begins HTTP/2 on a connection.
pub(super) async fn begin(wire: Wire, conf: &DispatchConf, peer: &str) -> Result<SendRequest<Outgoing>, Failure> {
    let mut builder = http2::Builder::new(Local);
    builder
        .max_header_list_size(u32::try_from(conf.header_limit).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let begun = builder.handshake::<_, Outgoing>(wire).await;
    let (sender, connection) = begun.map_err(|error| Failure::of_hyper(&error, peer))?;
    executor::spawn_detached(async move {
        // How it ended is told to each call that was on it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Sends a request and waits for the header of the response, no longer than `patience`.
pub(super) async fn send(
    using: &Using,
    head: &Head,
    body: Outgoing,
    patience: Limit,
    peer: &str,
) -> Result<Response<Incoming>, Failure> {
    let request = request(head, body)?;
    let response = within(patience, async {
        let mut sender = using.sender();
        sender.ready().await?;
        sender.send_request(request).await
    });
    let response = response.await.map_err(|_| Failure::ReadTimeout(peer.to_owned()))?;
    response.map_err(|error| Failure::of_hyper(&error, peer))
}

/// Sends a request and reads its response.
pub(super) async fn exchange(
    using: &Using,
    head: &Head,
    content: &Content,
    dialer: &Dialer,
    peer: &str,
) -> Result<Answer, Failure> {
    // The connection is others' too: that nothing comes on it, or something, says nothing of this call.
    let patience = dialer.limit(Some(dialer.conf.read_timeout));
    let response = send(using, head, Outgoing::from(content), patience, peer).await?;
    http1::read(response, dialer.conf.max_body, patience, peer).await
}

fn request(head: &Head, body: Outgoing) -> Result<Request<Outgoing>, Failure> {
    let invalid = || Failure::Invalid("the request has no valid authority".to_owned());
    let mut parts = Parts::default();
    parts.scheme = Some(if head.tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(head.authority.parse().map_err(|_| invalid())?);
    parts.path_and_query = head.path.path_and_query().cloned();
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| invalid())?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = head.headers.clone();
    if head.grpc {
        // The one header of a connection that HTTP/2 knows (gRPC over HTTP2, "Requests").
        request.headers_mut().insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    Ok(request)
}
