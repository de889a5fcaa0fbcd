//! The upstream's side: a connection, and the streams on it.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::{begun, in_time, rest, socket};
use crate::upstream::{Form, Reply, Seen, Shared};

/// All requests of a connection, each answered as soon as it has come whole.
pub(crate) fn speak(stream: TcpStream, shared: &Arc<Shared>) {
    let _ = smol::block_on(serve(stream, shared));
}

async fn serve(stream: TcpStream, shared: &Arc<Shared>) -> Result<(), String> {
    let socket = socket(stream)?;
    let mut connection =
        in_time(async { h2::server::handshake(socket).await.map_err(|error| error.to_string()) }).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request.map_err(|error| error.to_string())?;
        let shared = shared.clone();
        smol::spawn(async move {
            let _ = answer(request, respond, &shared).await;
        })
        .detach();
    }
    Ok(())
}

async fn answer(
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    shared: &Shared,
) -> Result<(), String> {
    let (head, mut body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let mut message = begun(format!("{} {target} HTTP/2", head.method), &head.headers);
    message.cut = rest(&mut body, &mut message).await.err();
    let reply = shared.answer(Seen::new(message));
    send(reply, respond).await.map_err(|error| error.to_string())
}

async fn send(reply: Reply, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let Ok(response) = response.body(()) else { return Ok(()) };
    let bare = matches!(reply.form, Form::Bare) && reply.trailers.is_empty();
    let mut body = respond.send_response(response, bare)?;
    if bare {
        return Ok(());
    }
    match reply.form {
        Form::Whole(bytes) | Form::Raw(bytes) => body.send_data(bytes.into(), false)?,
        Form::Chunks(chunks) => chunks.into_iter().try_for_each(|chunk| body.send_data(chunk.into(), false))?,
        Form::Bare => {}
        Form::Pieces(pieces) => pass(pieces, &mut body).await?,
        Form::RawPieces(pieces) => {
            pass(pieces, &mut body).await?;
            body.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
    }
    end(&reply.trailers, &mut body)
}

async fn pass(mut pieces: Receiver<Vec<u8>>, body: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    loop {
        let (piece, receiver) = smol::unblock(move || (pieces.recv(), pieces)).await;
        pieces = receiver;
        let Ok(piece) = piece else { return Ok(()) };
        body.send_data(piece.into(), false)?;
    }
}

fn end(trailers: &[(String, String)], body: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    if trailers.is_empty() {
        return body.send_data(Bytes::new(), true);
    }
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            map.append(name, value);
        }
    }
    body.send_trailers(map)
}
