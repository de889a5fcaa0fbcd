//! Local responses: what a filter answers in the upstream's place.

use ngx::Status;
use ngx::http::Request;

use super::exchange::Exchange;
use crate::proxy_wasm::host::LocalResponse;

type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// The status of an answer: an ABI number that is no HTTP status becomes 500.
fn status(response: &LocalResponse) -> u16 {
    u16::try_from(response.status).ok().filter(|status| (200..=599).contains(status)).unwrap_or(500)
}

/// A gRPC answer is all header: HTTP 200, the status, and a message, for which the body is taken as Envoy does it.
fn as_grpc(mut response: LocalResponse) -> LocalResponse {
    if response.grpc_status < 0 {
        return response;
    }
    response.status = 200;
    let mut set = |name: &[u8], value: Vec<u8>| {
        response.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        response.headers.push((name.to_vec(), value));
    };
    set(b"content-type", b"application/grpc".to_vec());
    set(b"grpc-status", response.grpc_status.to_string().into_bytes());
    let message = if response.body.is_empty() { &response.details } else { &response.body };
    if !message.is_empty() {
        set(b"grpc-message", percent_encoded(message));
    }
    response.body.clear();
    response
}

/// `grpc-message` as Envoy writes it: every byte that is not printable ASCII, and `%` and `~`, as `%XX`.
fn percent_encoded(text: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'%' | ..b' ' | b'~'.. => out.extend([b'%', digit(byte >> 4), digit(byte & 0xf)]),
            _ => out.push(byte),
        }
    }
    out
}

/// The headers of an answer, after those that filters set before: where there can be but one, the answer's own stays.
fn headers<'a>(early: &'a Headers, response: &'a LocalResponse) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let own = response.headers.iter().filter(|(name, _)| name.first() != Some(&b':'));
    early.iter().chain(own).map(|(name, value)| (name.as_slice(), value.as_slice()))
}

/// Sends it from a phase, or from an event; the result is for [`Request::finalize`].
pub(super) fn send(exchange: &Exchange, r: Request<'_>, response: LocalResponse) -> Status {
    let response = as_grpc(response);
    let early = exchange.early.take_for_reply(&response.headers);
    r.send_response(status(&response), &exchange.take_reason(), headers(&early, &response), &response.body)
}

/// Sends it in the place of a response whose header has come to our filter; the result is the filter's.
pub(super) fn replace(exchange: &Exchange, r: Request<'_>, response: LocalResponse) -> Status {
    let response = as_grpc(response);
    let early = exchange.early.take_for_reply(&response.headers);
    r.replace_response(status(&response), &exchange.take_reason(), headers(&early, &response), &response.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(grpc_status: i32, details: &str, body: &str) -> LocalResponse {
        LocalResponse {
            status: 403,
            details: details.into(),
            headers: vec![(b"Content-Type".to_vec(), b"text/html".to_vec()), (b"x-a".to_vec(), b"1".to_vec())],
            body: body.into(),
            grpc_status,
        }
    }

    fn text(response: &LocalResponse) -> Vec<String> {
        let line = |(name, value): &(Vec<u8>, Vec<u8>)| {
            format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        };
        response.headers.iter().map(line).collect()
    }

    #[test]
    fn a_grpc_status_makes_a_grpc_answer() {
        let plain = response(-1, "why", "body");
        assert_eq!(as_grpc(plain.clone()), plain);
        let grpc = as_grpc(response(7, "why", "not you"));
        assert_eq!((grpc.status, grpc.body.as_slice()), (200, &b""[..]));
        let message = "grpc-message: not you";
        assert_eq!(text(&grpc), ["x-a: 1", "content-type: application/grpc", "grpc-status: 7", message]);
        assert_eq!(text(&as_grpc(response(0, "why", ""))).last().map(String::as_str), Some("grpc-message: why"));
        assert_eq!(text(&as_grpc(response(0, "", ""))).last().map(String::as_str), Some("grpc-status: 0"));
    }

    #[test]
    fn a_message_has_no_byte_that_ends_it() {
        assert_eq!(percent_encoded("50% of é\r\n~".as_bytes()), b"50%25 of %C3%A9%0D%0A%7E");
    }

    #[test]
    fn a_status_that_http_does_not_know_is_500() {
        for (given, sent) in [(200, 200), (599, 599), (0, 500), (199, 500), (600, 500), (u32::MAX, 500)] {
            assert_eq!(status(&LocalResponse { status: given, ..response(-1, "", "") }), sent, "{given}");
        }
    }
}
