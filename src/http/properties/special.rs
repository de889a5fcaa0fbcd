//! Attributes that are found in a way of their own.

use std::time::Duration;

use ngx::http::Request;

use super::table::Kind;
use super::{boolean, encode, integer};
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::host::PropertyFormat;

type Found = Result<(), Status>;

pub(super) fn is_subrequest(r: Request<'_>, format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    boolean(!r.is_main(), format, out);
    Ok(())
}

/// The length of the body: as the client names it, or what has been read.
pub(super) fn request_size(r: Request<'_>, format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    let named = r.variable(b"content_length").and_then(integer);
    let size = named.map_or_else(|| r.body_len().to_string(), |named| named.to_string());
    encode(size.as_bytes(), Kind::Integer, format, out)
}

pub(super) fn request_time(r: Request<'_>, format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    encode(seconds(r.start_time()).as_bytes(), Kind::Seconds, format, out)
}

/// As nginx writes a time, `$msec` for one.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// The client's, or nginx's own.
pub(super) fn request_id(r: Request<'_>, _format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    let id = r.request_headers().get(b"x-request-id").or_else(|| r.variable(b"request_id"));
    out.extend_from_slice(id.ok_or(Status::NotFound)?);
    Ok(())
}

/// Envoy writes the major versions from 2 on without a minor one.
pub(super) fn protocol(r: Request<'_>, format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    let value = r.variable(b"server_protocol").filter(|value| !value.is_empty()).ok_or(Status::NotFound)?;
    out.extend_from_slice(match (format, value) {
        (PropertyFormat::Envoy, b"HTTP/2.0") => b"HTTP/2",
        (PropertyFormat::Envoy, b"HTTP/3.0") => b"HTTP/3",
        _ => value,
    });
    Ok(())
}

/// nginx says 000 while there is none.
pub(super) fn response_code(r: Request<'_>, format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    match r.status() {
        0 => Err(Status::NotFound),
        status => encode(status.to_string().as_bytes(), Kind::Integer, format, out),
    }
}

/// Of the trailers; an answer without a body has all in its header.
pub(super) fn grpc_status(r: Request<'_>, format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    let status = r.variable(b"sent_trailer_grpc_status").or_else(|| r.response_headers().get(b"grpc-status"));
    encode(status.ok_or(Status::NotFound)?, Kind::Integer, format, out)
}

pub(super) fn source_address(r: Request<'_>, format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    end(r, [b"remote_addr", b"remote_port"], format, out)
}

pub(super) fn destination_address(r: Request<'_>, format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    end(r, [b"server_addr", b"server_port"], format, out)
}

fn end(r: Request<'_>, [address, port]: [&[u8]; 2], format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    let known = |name| r.variable(name).filter(|value: &&[u8]| !value.is_empty());
    let address = known(address).ok_or(Status::NotFound)?;
    match known(port) {
        Some(port) if format == PropertyFormat::Envoy => with_port(address, port, out),
        _ => out.extend_from_slice(address),
    }
    Ok(())
}

/// Envoy writes an address with its port.
fn with_port(address: &[u8], port: &[u8], out: &mut Vec<u8>) {
    let brackets = address.contains(&b':');
    if brackets {
        out.push(b'[');
    }
    out.extend_from_slice(address);
    if brackets {
        out.push(b']');
    }
    out.push(b':');
    out.extend_from_slice(port);
}

/// Why the client's certificate was not accepted.
pub(super) fn client_failure(r: Request<'_>, _format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    let verified = r.variable(b"ssl_client_verify").ok_or(Status::NotFound)?;
    out.extend_from_slice(verified.strip_prefix(b"FAILED:").ok_or(Status::NotFound)?);
    Ok(())
}

/// The servers that were asked: nginx parts them by a comma, and by a colon after an internal redirect.
fn upstreams<'a>(r: Request<'a>) -> impl Iterator<Item = &'a [u8]> {
    let list = r.variable(b"upstream_addr").unwrap_or_default();
    list.split(|byte| *byte == b' ').map(|word| word.strip_suffix(b",").unwrap_or(word)).filter(|word| is_server(word))
}

fn is_server(word: &[u8]) -> bool {
    !word.is_empty() && word != b":" && word != b"-"
}

/// Address and port of `127.0.0.1:80` or `[::1]:80`; a unix socket has no port.
fn split_port(server: &[u8]) -> (&[u8], Option<&[u8]>) {
    let colon = server.iter().rposition(|byte| *byte == b':').filter(|_| !server.starts_with(b"unix:"));
    let (address, port) = match colon.map(|colon| server.split_at(colon)) {
        Some((address, port)) => (address, port.get(1..)),
        None => (server, None),
    };
    (address.strip_prefix(b"[").and_then(|address| address.strip_suffix(b"]")).unwrap_or(address), port)
}

/// The last server that was asked.
fn upstream<'a>(r: Request<'a>) -> Result<&'a [u8], Status> {
    upstreams(r).last().ok_or(Status::NotFound)
}

pub(super) fn upstream_address(r: Request<'_>, format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    let server = upstream(r)?;
    out.extend_from_slice(if format == PropertyFormat::Envoy { server } else { split_port(server).0 });
    Ok(())
}

pub(super) fn upstream_port(r: Request<'_>, format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    encode(split_port(upstream(r)?).1.ok_or(Status::NotFound)?, Kind::Integer, format, out)
}

pub(super) fn upstream_attempts(r: Request<'_>, format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    encode(upstreams(r).count().to_string().as_bytes(), Kind::Integer, format, out)
}

pub(super) fn upstream_local_address(r: Request<'_>, _format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    if r.upstream_local_addr(out) { Ok(()) } else { Err(Status::NotFound) }
}

pub(super) fn upstream_tls_version(r: Request<'_>, _format: PropertyFormat, out: &mut Vec<u8>) -> Found {
    if r.upstream_tls().is_some_and(|tls| tls.version(out)) { Ok(()) } else { Err(Status::NotFound) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_nginx_does() {
        assert_eq!(seconds(Duration::from_millis(1_700_000_000_007)), "1700000000.007");
    }

    #[test]
    fn servers_have_an_address_and_perhaps_a_port() {
        for (server, address, port) in [
            ("127.0.0.1:80", "127.0.0.1", Some("80")),
            ("[::1]:8080", "::1", Some("8080")),
            ("unix:/a:b", "unix:/a:b", None),
            ("name", "name", None),
        ] {
            let expected = (address.as_bytes(), port.map(str::as_bytes));
            assert_eq!(split_port(server.as_bytes()), expected, "{server}");
        }
    }

    #[test]
    fn an_address_of_ipv6_with_its_port_has_brackets() {
        let written = |address: &str| {
            let mut out = Vec::new();
            with_port(address.as_bytes(), b"80", &mut out);
            String::from_utf8(out)
        };
        assert_eq!(written("::1").as_deref(), Ok("[::1]:80"));
        assert_eq!(written("127.0.0.1").as_deref(), Ok("127.0.0.1:80"));
    }
}
