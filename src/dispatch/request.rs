//! The request of a call, from the pairs that a guest gives.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Uri};

use super::refusal::Refusal;
use crate::proxy_wasm::pairs::Pairs;

/// A request that can be sent, and sent again.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub method: Method,
    /// Path and query.
    pub path: Uri,
    pub authority: String,
    pub tls: bool,
    /// It is one of gRPC.
    pub grpc: bool,
    pub headers: HeaderMap,
}

/// What a guest says of a request besides its headers.
#[derive(Default)]
pub(super) struct Pseudo<'a> {
    pub method: Option<&'a [u8]>,
    pub path: Option<&'a [u8]>,
    pub authority: Option<&'a [u8]>,
    pub scheme: Option<&'a [u8]>,
}

impl<'a> Pseudo<'a> {
    pub(super) fn of(pairs: &Pairs<'a>) -> Self {
        let mut pseudo = Self::default();
        let mut host = None;
        for (name, value) in pairs.iter() {
            match name {
                b":method" => pseudo.method = Some(value),
                b":path" => pseudo.path = Some(value),
                b":authority" => pseudo.authority = Some(value),
                b":scheme" => pseudo.scheme = Some(value),
                _ if name.eq_ignore_ascii_case(b"host") => host = Some(value),
                _ => {}
            }
        }
        pseudo.authority = pseudo.authority.or(host).filter(|authority| !authority.is_empty());
        pseudo
    }

    /// Whether it names https; `None` when it names nothing.
    ///
    /// # Errors
    /// When it names another scheme.
    pub(super) fn tls(&self) -> Result<Option<bool>, Refusal> {
        match self.scheme {
            None | Some(b"") => Ok(None),
            Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => Ok(Some(false)),
            Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Ok(Some(true)),
            Some(scheme) => Err(invalid(":scheme", scheme)),
        }
    }

    pub(super) fn method(&self) -> Result<Method, Refusal> {
        let method = self.method.filter(|method| !method.is_empty()).ok_or(Refusal::NoMethod)?;
        match Method::from_bytes(method) {
            // A tunnel is not a call.
            Ok(Method::CONNECT) | Err(_) => Err(invalid(":method", method)),
            Ok(method) => Ok(method),
        }
    }

    pub(super) fn path(&self) -> Result<Uri, Refusal> {
        let path = self.path.filter(|path| !path.is_empty()).ok_or(Refusal::NoPath)?;
        let parsed = Uri::try_from(path).ok().filter(|uri| uri.scheme().is_none() && uri.authority().is_none());
        let rooted = path.starts_with(b"/") || path == b"*";
        parsed.filter(|_| rooted).ok_or_else(|| invalid(":path", path))
    }
}

/// What a certificate, a `Host` and an HTTP/2 request can name.
pub(super) fn check_authority(authority: &[u8]) -> Result<String, Refusal> {
    let parsed = http::uri::Authority::try_from(authority).ok().filter(|it| !it.as_str().contains('@'));
    parsed.map(|it| it.as_str().to_owned()).ok_or_else(|| invalid(":authority", authority))
}

/// What belongs to the connection, or is said in another way, is not the guest's to set.
fn is_ours(name: &HeaderName) -> bool {
    [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE, TE].contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "trailer" | "http2-settings")
}

/// The headers that are the guest's to set, in its order.
///
/// # Errors
/// When one of them cannot stand in a request.
pub(super) fn headers(pairs: &Pairs<'_>) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs.iter().filter(|(name, _)| name.first() != Some(&b':')) {
        append(&mut headers, name, value)?;
    }
    Ok(headers)
}

/// Adds a header, if it is the guest's to set.
///
/// # Errors
/// When it cannot stand in a request.
pub(super) fn append(headers: &mut HeaderMap, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
    let parsed = HeaderName::from_bytes(name).map_err(|_| invalid("header", name))?;
    if is_ours(&parsed) {
        return Ok(());
    }
    let value = HeaderValue::from_bytes(value).map_err(|_| invalid("value of header", name))?;
    // It fails at 32,768 names: more than there can be pairs.
    headers.try_append(parsed, value).map(drop).map_err(|_| invalid("header", name))
}

fn invalid(what: &'static str, value: &[u8]) -> Refusal {
    let mut value = String::from_utf8_lossy(value).into_owned();
    value.truncate(value.floor_char_boundary(100));
    Refusal::Invalid(what, value)
}

/// A body, and what comes after it.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub body: Bytes,
    pub trailers: HeaderMap,
}

/// A response, or a message of a stream, as pairs for a guest.
pub(super) fn to_pairs(headers: &HeaderMap) -> impl Iterator<Item = (Box<[u8]>, Box<[u8]>)> {
    headers.iter().map(|(name, value)| (name.as_str().as_bytes().into(), value.as_bytes().into()))
}
