//! Properties of a request: Envoy's attributes as far as nginx knows them, and nginx's variables.
//!
//! Most attributes are a variable under another name, so that both always agree.

use std::time::Duration;

use ngx::http::{Request, VariableError};

use super::maps::Map;
use super::phases;
use crate::proxy_wasm::abi::{MapType, Status};
use crate::proxy_wasm::host::PropertyFormat;
use crate::proxy_wasm::pairs::{Size, Writer};

/// What kind of value an attribute has, and so how `envoy` encodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    /// 8 bytes, little endian.
    Integer,
    /// Seconds with a fraction, as nginx writes them; nanoseconds in 8 bytes, little endian.
    Seconds,
    /// One byte. The variable's value that is true.
    Is(&'static str),
}

/// Attributes that are a variable under another name.
const VARIABLES: &[(&str, &str, Kind)] = &[
    ("request.path", "request_uri", Kind::Text),
    ("request.url_path", "uri", Kind::Text),
    ("request.query", "args", Kind::Text),
    ("request.host", "http_host", Kind::Text),
    ("request.scheme", "scheme", Kind::Text),
    ("request.method", "request_method", Kind::Text),
    ("request.referer", "http_referer", Kind::Text),
    ("request.useragent", "http_user_agent", Kind::Text),
    ("request.protocol", "server_protocol", Kind::Text),
    ("request.duration", "request_time", Kind::Seconds),
    ("request.total_size", "request_length", Kind::Integer),
    ("response.code", "status", Kind::Integer),
    ("response.size", "body_bytes_sent", Kind::Integer),
    ("response.total_size", "bytes_sent", Kind::Integer),
    ("response.backend_latency", "upstream_response_time", Kind::Seconds),
    ("source.address", "remote_addr", Kind::Text),
    ("source.port", "remote_port", Kind::Integer),
    ("destination.address", "server_addr", Kind::Text),
    ("destination.port", "server_port", Kind::Integer),
    ("connection.id", "connection", Kind::Integer),
    ("connection.requested_server_name", "ssl_server_name", Kind::Text),
    ("connection.tls_version", "ssl_protocol", Kind::Text),
    ("connection.mtls", "ssl_client_verify", Kind::Is("SUCCESS")),
];

/// Attributes that are found in a way of their own.
const OTHERS: [&str; 5] =
    ["request.id", "request.is_subrequest", "request.size", "request.time", "response.grpc_status"];

/// Whether nginx answers for this path, readable now or not; what it does not answer for, filters may keep there.
pub(super) fn names(path: &[u8]) -> bool {
    let is = |name: &str| name.as_bytes() == path;
    path.starts_with(b"ngx.")
        || headers_of(path).is_some()
        || VARIABLES.iter().any(|(name, _, _)| is(name))
        || OTHERS.into_iter().any(is)
}

/// Appends the value of the property at `path`, its segments parted by dots.
pub(super) fn read(r: Request<'_>, path: &[u8], format: PropertyFormat, out: &mut Vec<u8>) -> Result<(), Status> {
    if let Some(name) = path.strip_prefix(b"ngx.") {
        out.extend_from_slice(r.variable(name).ok_or(Status::NotFound)?);
        return Ok(());
    }
    if let Some(found) = read_headers(r, path, out) {
        return found;
    }
    match path {
        b"request.is_subrequest" => {
            boolean(!r.is_main(), format, out);
            return Ok(());
        }
        b"request.size" => {
            return encode(body_size(r).as_bytes(), Kind::Integer, format, out);
        }
        b"request.time" => return encode(seconds(r.start_time()).as_bytes(), Kind::Seconds, format, out),
        b"request.id" => {
            let id = r.request_headers().get(b"x-request-id").or_else(|| r.variable(b"request_id"));
            out.extend_from_slice(id.ok_or(Status::NotFound)?);
            return Ok(());
        }
        b"response.grpc_status" => {
            // One without a body has all in its header.
            let status = r.variable(b"sent_trailer_grpc_status").or_else(|| r.response_headers().get(b"grpc-status"));
            return encode(status.ok_or(Status::NotFound)?, Kind::Integer, format, out);
        }
        // nginx says 000 while there is none.
        b"response.code" if r.status() == 0 => return Err(Status::NotFound),
        _ => {}
    }
    if format == PropertyFormat::Envoy && read_address(r, path, out) {
        return Ok(());
    }
    let &(_, variable, kind) = VARIABLES.iter().find(|(name, _, _)| name.as_bytes() == path).ok_or(Status::NotFound)?;
    let value = r.variable(variable.as_bytes());
    if let Kind::Is(truth) = kind {
        boolean(value == Some(truth.as_bytes()), format, out);
        return Ok(());
    }
    let value = value.filter(|value| !value.is_empty()).ok_or(Status::NotFound)?;
    encode(value, kind, format, out)
}

fn encode(value: &[u8], kind: Kind, format: PropertyFormat, out: &mut Vec<u8>) -> Result<(), Status> {
    match (format, kind) {
        (PropertyFormat::Strings, _) | (_, Kind::Text | Kind::Is(_)) => out.extend_from_slice(value),
        (PropertyFormat::Envoy, Kind::Integer) => {
            out.extend_from_slice(&integer(value).ok_or(Status::NotFound)?.to_le_bytes());
        }
        (PropertyFormat::Envoy, Kind::Seconds) => {
            out.extend_from_slice(&nanoseconds(value).ok_or(Status::NotFound)?.to_le_bytes());
        }
    }
    Ok(())
}

/// The length of the body: as the client names it, or what has been read.
fn body_size(r: Request<'_>) -> String {
    let named = r.variable(b"content_length").and_then(integer);
    named.map_or_else(|| r.body_len().to_string(), |named| named.to_string())
}

/// As nginx writes a time, `$msec` for one.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// Sets a variable of nginx's that can be set.
pub(super) fn write(r: Request<'_>, path: &[u8], value: Option<&[u8]>) -> Result<(), Status> {
    let name = path.strip_prefix(b"ngx.").ok_or(Status::NotFound)?;
    r.set_variable(name, value.unwrap_or_default()).map_err(|error| match error {
        VariableError::NotFound => Status::NotFound,
        // To a filter it is as any other property that it cannot set.
        VariableError::NotChangeable => Status::NotFound,
        VariableError::NoMemory => Status::InternalFailure,
    })
}

fn boolean(value: bool, format: PropertyFormat, out: &mut Vec<u8>) {
    match format {
        PropertyFormat::Strings => out.extend_from_slice(if value { b"true" } else { b"false" }),
        PropertyFormat::Envoy => out.push(u8::from(value)),
    }
}

/// The map that a path below `request.headers` or `response.headers` means, and the name of one header of it.
fn headers_of(path: &[u8]) -> Option<(MapType, Option<&[u8]>)> {
    let (map, rest) = match (path.strip_prefix(b"request.headers"), path.strip_prefix(b"response.headers")) {
        (Some(rest), _) => (MapType::RequestHeaders, rest),
        (_, Some(rest)) => (MapType::ResponseHeaders, rest),
        _ => return None,
    };
    match rest {
        [] => Some((map, None)),
        [b'.', name @ ..] => Some((map, Some(name))),
        _ => None,
    }
}

/// A map as pairs, or the values of one header of it with a comma between them.
fn read_headers(r: Request<'_>, path: &[u8], out: &mut Vec<u8>) -> Option<Result<(), Status>> {
    let (map, name) = headers_of(path)?;
    Some(Map::new(r, phases::exchange(r), map).and_then(|map| match name {
        Some(name) => write_values(&map, name, out),
        None => write_pairs(&map, out),
    }))
}

fn write_values(map: &Map<'_>, name: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
    let mut found = false;
    map.for_each(|known, value| {
        if known.eq_ignore_ascii_case(name) {
            if found {
                out.push(b',');
            }
            found = true;
            out.extend_from_slice(value);
        }
    });
    if found { Ok(()) } else { Err(Status::NotFound) }
}

fn write_pairs(map: &Map<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    let mut size = Size::default();
    map.for_each(|name, value| size.add(name, value));
    let start = out.len();
    out.resize(start + size.bytes(), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let mut writer = Writer::new(room, size).ok_or(Status::InternalFailure)?;
    map.for_each(|name, value| writer.push(name, value));
    if writer.finish() { Ok(()) } else { Err(Status::InternalFailure) }
}

/// Envoy writes an address with its port.
fn read_address(r: Request<'_>, path: &[u8], out: &mut Vec<u8>) -> bool {
    let (address, port): (&[u8], &[u8]) = match path {
        b"source.address" => (b"remote_addr", b"remote_port"),
        b"destination.address" => (b"server_addr", b"server_port"),
        _ => return false,
    };
    let Some(address) = r.variable(address) else { return false };
    if address.contains(&b':') {
        out.push(b'[');
        out.extend_from_slice(address);
        out.push(b']');
    } else {
        out.extend_from_slice(address);
    }
    if let Some(port) = r.variable(port).filter(|port| !port.is_empty()) {
        out.push(b':');
        out.extend_from_slice(port);
    }
    true
}

fn integer(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// `12.345` seconds in nanoseconds. Of a list, as several upstreams make it, the last.
fn nanoseconds(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let last = text.rsplit([',', ':']).next()?.trim();
    let (seconds, fraction) = last.split_once('.').unwrap_or((last, "0"));
    let seconds: i64 = seconds.parse().ok()?;
    let digits = fraction.get(..fraction.len().min(9))?;
    let scale = 10_i64.checked_pow(9 - u32::try_from(digits.len()).ok()?)?;
    let fraction: i64 = digits.parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction.checked_mul(scale)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nginx_answers_for_is_not_kept() {
        for path in ["request.path", "request.id", "request.headers", "response.headers.x-a", "ngx.any", "ngx."] {
            assert!(names(path.as_bytes()), "{path}");
        }
        for path in ["request", "request.headersx", "request.nothing", "mine", "wasmx.a", ""] {
            assert!(!names(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_time_is_written_as_nginx_does() {
        assert_eq!(seconds(Duration::from_millis(1_700_000_000_007)), "1700000000.007");
    }

    #[test]
    fn values_are_encoded_by_their_kind() {
        let encoded = |value: &str, kind, format| {
            let mut out = Vec::new();
            encode(value.as_bytes(), kind, format, &mut out).map(|()| out)
        };
        let number = 258_i64.to_le_bytes().to_vec();
        assert_eq!(encoded("258", Kind::Integer, PropertyFormat::Envoy), Ok(number));
        assert_eq!(encoded("258", Kind::Integer, PropertyFormat::Strings), Ok(b"258".to_vec()));
        assert_eq!(encoded("-", Kind::Integer, PropertyFormat::Envoy), Err(Status::NotFound));
        assert_eq!(encoded("a", Kind::Text, PropertyFormat::Envoy), Ok(b"a".to_vec()));
    }

    #[test]
    fn seconds_become_nanoseconds() {
        for (text, expected) in [
            ("1.500", Some(1_500_000_000)),
            ("0.001", Some(1_000_000)),
            ("7", Some(7_000_000_000)),
            ("0.010, 0.020", Some(20_000_000)),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(nanoseconds(text.as_bytes()), expected, "{text}");
        }
    }
}
