//! Messages, status and headers of gRPC over HTTP/2 (gRPC's "gRPC over HTTP2").

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

/// A flag and a length.
const PREFIX: usize = 5;

pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

pub(super) const UNKNOWN: u32 = 2;
pub(super) const DEADLINE_EXCEEDED: u32 = 4;
const RESOURCE_EXHAUSTED: u32 = 8;
pub(super) const INTERNAL: u32 = 13;

/// How it ended: the status, and a message with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub code: u32,
    pub message: Vec<u8>,
}

impl Status {
    pub(super) fn new(code: u32, message: impl Into<Vec<u8>>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A message with its prefix.
pub(super) fn frame(message: &[u8]) -> Option<Bytes> {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).ok()?);
    framed.put_slice(message);
    Some(framed.freeze())
}

/// Adds the headers that make a request one of gRPC.
pub(super) fn add_headers(headers: &mut HeaderMap, limit: Option<Duration>) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Some(limit) = limit {
        // At most eight digits.
        let value = match limit.as_millis() {
            millis @ ..100_000_000 => format!("{millis}m"),
            _ => format!("{}S", limit.as_secs().min(99_999_999)),
        };
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(GRPC_TIMEOUT, value);
        }
    }
}

/// Messages out of the bytes of a body.
pub(super) struct Messages {
    buffer: BytesMut,
    most: usize,
}

impl Messages {
    /// Of `most` bytes each.
    pub(super) fn new(most: usize) -> Self {
        Self { buffer: BytesMut::new(), most }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next one, if it is there as a whole.
    ///
    /// # Errors
    /// The status that a message stands for which cannot be taken.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Status> {
        let Some((mut prefix, _)) = self.buffer.split_at_checked(PREFIX) else { return Ok(None) };
        let (flag, len) = (prefix.get_u8(), prefix.get_u32());
        if flag != 0 {
            return Err(Status::new(INTERNAL, "a compressed message, which was not asked for"));
        }
        let len = usize::try_from(len).ok().filter(|len| *len <= self.most);
        let len = len.ok_or_else(|| Status::new(RESOURCE_EXHAUSTED, "a message is too large"))?;
        if self.buffer.len() - PREFIX < len {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(len).to_vec()))
    }
}

/// The status in a header that comes last.
pub(super) fn status_of(headers: &HeaderMap) -> Status {
    let code = headers.get(GRPC_STATUS).and_then(|it| it.to_str().ok()?.parse().ok());
    let message = headers.get(GRPC_MESSAGE).map(|it| percent_decoded(it.as_bytes())).unwrap_or_default();
    match code {
        Some(code) => Status { code, message },
        None => Status::new(UNKNOWN, "the response has no grpc-status"),
    }
}

/// gRPC's "HTTP to gRPC Status Code Mapping".
pub(super) fn status_of_http(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => INTERNAL,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => UNKNOWN,
    }
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_any_pieces() {
        let mut bytes = frame(b"one").unwrap().to_vec();
        bytes.extend_from_slice(&frame(b"").unwrap());
        bytes.extend_from_slice(&frame(b"three").unwrap());
        for piece in 1..=bytes.len() {
            let mut messages = Messages { buffer: BytesMut::new(), most: 5 };
            let mut seen = vec![];
            for part in bytes.chunks(piece) {
                messages.buffer.extend_from_slice(part);
                while let Some(message) = messages.next().unwrap() {
                    seen.push(message);
                }
            }
            assert_eq!(seen, [&b"one"[..], b"", b"three"], "in pieces of {piece}");
        }
    }

    #[test]
    fn a_message_is_neither_too_large_nor_compressed() {
        let large = BytesMut::from(&frame(b"123456").unwrap()[..]);
        assert_eq!(Messages { buffer: large, most: 5 }.next().unwrap_err().code, RESOURCE_EXHAUSTED);
        let huge = BytesMut::from(&b"\0\xff\xff\xff\xff"[..]);
        assert_eq!(Messages { buffer: huge, most: 1 << 20 }.next().unwrap_err().code, RESOURCE_EXHAUSTED);
        let compressed = BytesMut::from(&b"\x01\0\0\0\0"[..]);
        assert_eq!(Messages { buffer: compressed, most: 5 }.next().unwrap_err().code, INTERNAL);
    }

    #[test]
    fn a_status_has_its_message() {
        let mut headers = HeaderMap::new();
        assert_eq!(status_of(&headers).code, UNKNOWN);
        headers.insert(GRPC_STATUS, HeaderValue::from_static("5"));
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static("50%25 of %C3%A9%2"));
        assert_eq!(status_of(&headers), Status::new(5, "50% of é%2"));
    }

    #[test]
    fn a_timeout_has_eight_digits_at_most() {
        for (seconds, text) in [(1, "1000m"), (100_000, "100000S"), (u64::MAX, "99999999S")] {
            let mut headers = HeaderMap::new();
            add_headers(&mut headers, Some(Duration::from_secs(seconds)));
            assert_eq!(headers[GRPC_TIMEOUT], text);
        }
    }
}
