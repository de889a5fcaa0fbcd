//! Properties of a request: Envoy's attributes as far as nginx knows them, and nginx's variables.

mod special;
mod table;

use ngx::http::{Request, VariableError};

use self::table::{End, Kind, Source};
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::host::PropertyFormat;

/// Whether nginx answers for this path, readable now or not; what it does not answer for, filters may keep there.
pub(super) fn names(path: &[u8]) -> bool {
    path.starts_with(b"ngx.") || table::find(path).is_some()
}

/// Appends the value of the property at `path`, its segments parted by dots.
pub(super) fn read(r: Request<'_>, path: &[u8], format: PropertyFormat, out: &mut Vec<u8>) -> Result<(), Status> {
    if let Some(name) = path.strip_prefix(b"ngx.") {
        out.extend_from_slice(r.variable(name).ok_or(Status::NotFound)?);
        return Ok(());
    }
    read_attribute(r, table::find(path).ok_or(Status::NotFound)?, format, out)
}

fn read_attribute(r: Request<'_>, source: Source, format: PropertyFormat, out: &mut Vec<u8>) -> Result<(), Status> {
    match source {
        Source::Special(read) => read(r, format, out),
        Source::Certificate(end, whose, field) => {
            let tls = match end {
                End::Client => r.client_tls(),
                End::Upstream => r.upstream_tls(),
            };
            let found = tls.is_some_and(|tls| tls.certificate(whose, field, out));
            if found { Ok(()) } else { Err(Status::NotFound) }
        }
        Source::Variable(name, Kind::Is(truth)) => {
            boolean(r.variable(name.as_bytes()) == Some(truth.as_bytes()), format, out);
            Ok(())
        }
        Source::Variable(name, kind) => {
            let value = r.variable(name.as_bytes()).filter(|value| !value.is_empty());
            encode(value.ok_or(Status::NotFound)?, kind, format, out)
        }
    }
}

/// Calls `visit` with all that can be read of a request now: the attributes, and the variables that its configuration
/// uses and that have a value.
pub(super) fn for_each(r: Request<'_>, format: PropertyFormat, mut visit: impl FnMut(&[u8], &[u8])) {
    let mut value = Vec::new();
    for (name, source) in table::all() {
        value.clear();
        if read_attribute(r, source, format, &mut value).is_ok() {
            visit(name.as_bytes(), &value);
        }
    }
    let mut path = b"ngx.".to_vec();
    r.for_each_indexed_variable(|name, value| {
        path.truncate(b"ngx.".len());
        path.extend_from_slice(name);
        visit(&path, value);
    });
}

/// Sets a variable of nginx's that can be set.
pub(super) fn write(r: Request<'_>, path: &[u8], value: Option<&[u8]>) -> Result<(), Status> {
    let name = path.strip_prefix(b"ngx.").ok_or(Status::NotFound)?;
    let value = value.unwrap_or_default();
    if !fits(name, value) {
        return Err(Status::BadArgument);
    }
    r.set_variable(name, value).map_err(|error| match error {
        VariableError::NotFound => Status::NotFound,
        // To a filter it is as any other property that it cannot set.
        VariableError::NotChangeable => Status::NotFound,
        VariableError::NoMemory => Status::InternalFailure,
    })
}

/// Whether a variable may have a value: nginx writes it as it is into headers, and `$args` into request lines.
fn fits(name: &[u8], value: &[u8]) -> bool {
    const LONGEST: usize = 64 << 10;
    let is_query = name.eq_ignore_ascii_case(b"args") || name.eq_ignore_ascii_case(b"query_string");
    let breaks = |byte: &u8| match byte {
        b'\r' | b'\n' | 0 => true,
        ..=b' ' | b'#' | 0x7f => is_query,
        _ => false,
    };
    value.len() <= LONGEST && !value.iter().any(breaks)
}

/// Appends a value as nginx writes it, in the encoding of its kind. Of a list, as several upstreams make it, the last.
fn encode(value: &[u8], kind: Kind, format: PropertyFormat, out: &mut Vec<u8>) -> Result<(), Status> {
    let value = match kind {
        Kind::Text | Kind::Is(_) => value,
        Kind::Integer | Kind::Seconds => value.rsplit(|byte| *byte == b' ').next().unwrap_or_default(),
    };
    let number = match kind {
        Kind::Text | Kind::Is(_) => None,
        Kind::Integer => Some(integer(value).ok_or(Status::NotFound)?),
        Kind::Seconds => Some(nanoseconds(value).ok_or(Status::NotFound)?),
    };
    match (format, number) {
        (PropertyFormat::Envoy, Some(number)) => out.extend_from_slice(&number.to_le_bytes()),
        _ => out.extend_from_slice(value),
    }
    Ok(())
}

fn boolean(value: bool, format: PropertyFormat, out: &mut Vec<u8>) {
    match format {
        PropertyFormat::Strings => out.extend_from_slice(if value { b"true" } else { b"false" }),
        PropertyFormat::Envoy => out.push(u8::from(value)),
    }
}

fn integer(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// `12.345` seconds in nanoseconds.
fn nanoseconds(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
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
        for path in ["request.path", "request.id", "upstream.port", "connection.mtls", "ngx.any", "ngx."] {
            assert!(names(path.as_bytes()), "{path}");
        }
        for path in ["request", "request.nothing", "mine", "wasmx.a", ""] {
            assert!(!names(path.as_bytes()), "{path}");
        }
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
        assert_eq!(encoded("0.010, 0.020", Kind::Seconds, PropertyFormat::Strings), Ok(b"0.020".to_vec()));
        assert_eq!(encoded("a b", Kind::Text, PropertyFormat::Envoy), Ok(b"a b".to_vec()));
        for format in [PropertyFormat::Envoy, PropertyFormat::Strings] {
            assert_eq!(encoded("-", Kind::Integer, format), Err(Status::NotFound));
            assert_eq!(encoded("0.010, -", Kind::Seconds, format), Err(Status::NotFound));
        }
    }

    #[test]
    fn seconds_become_nanoseconds() {
        for (text, expected) in [
            ("1.500", Some(1_500_000_000)),
            ("0.001", Some(1_000_000)),
            ("7", Some(7_000_000_000)),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(nanoseconds(text.as_bytes()), expected, "{text}");
        }
    }
}
