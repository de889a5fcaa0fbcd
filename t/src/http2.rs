//! HTTP/2 in the clear, between two sides that know beforehand that they speak it.

mod client;
mod server;

pub use client::{Http2, Http2Request, Http2Stream};
pub(crate) use server::speak;

use std::net::TcpStream;
use std::pin::Pin;

use h2::RecvStream;
use http::HeaderMap;
use smol::Async;
use smol::future::or;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::http1::Message;
use crate::wait::patience;

/// A socket as h2 takes it.
type Socket = Compat<Pin<Box<Async<TcpStream>>>>;

fn socket(stream: TcpStream) -> Result<Socket, String> {
    let _ = stream.set_nodelay(true);
    let stream = Async::new(stream).map_err(|error| error.to_string())?;
    Ok(Box::pin(stream).compat())
}

/// Waits for no longer than a test has patience.
async fn in_time<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = async {
        smol::Timer::after(patience()).await;
        Err(format!("nothing came for {:?}", patience()))
    };
    or(future, late).await
}

/// The fields of a header or of trailers, in order.
fn fields(map: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    map.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// The next bytes of a body; `None` at its end.
async fn piece(body: &mut RecvStream) -> Result<Option<Vec<u8>>, String> {
    let Some(data) = in_time(async { body.data().await.transpose().map_err(|error| error.to_string()) }).await? else {
        return Ok(None);
    };
    let _ = body.flow_control().release_capacity(data.len());
    Ok(Some(data.to_vec()))
}

/// The rest of a message: body and trailers.
async fn rest(body: &mut RecvStream, message: &mut Message) -> Result<(), String> {
    while let Some(bytes) = piece(body).await? {
        message.raw.extend_from_slice(&bytes);
        message.body.extend_from_slice(&bytes);
    }
    let trailers = in_time(async { body.trailers().await.map_err(|error| error.to_string()) }).await?;
    message.trailers = trailers.as_ref().map(fields).unwrap_or_default();
    for (name, value) in &message.trailers {
        message.raw.extend_from_slice(format!("\n{name}: {value}").as_bytes());
    }
    Ok(())
}

/// A message whose header has come.
fn begun(start: String, headers: &HeaderMap) -> Message {
    let headers = fields(headers);
    let mut text = start.clone();
    headers.iter().for_each(|(name, value)| text.push_str(&format!("\n{name}: {value}")));
    text.push_str("\n\n");
    Message { start, headers, raw: text.into_bytes(), ..Message::default() }
}
