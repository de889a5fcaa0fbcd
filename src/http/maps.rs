//! The header maps of a request and of its response, pseudo headers among them.

use std::rc::Rc;

use ngx::error;
use ngx::http::{HeaderError, Request, RequestHeaders, ResponseHeaders, ResponseTrailers};

use super::exchange::Exchange;
use crate::proxy_wasm::abi::{MapType, Status};
use crate::proxy_wasm::pairs::Pairs;

/// A map, and where it is now.
pub(super) enum Map<'a> {
    Request(Request<'a>),
    /// There is no response yet.
    Early(Request<'a>, Rc<Exchange>),
    Response(Request<'a>),
    ResponseTrailers(Request<'a>),
}

/// A header that nginx cannot take is the guest's mistake.
fn header_status(error: HeaderError) -> Status {
    match error {
        HeaderError::Invalid => Status::BadArgument,
        HeaderError::NoMemory => Status::InternalFailure,
    }
}

/// A three-digit code as bytes, without an allocation.
fn status_text(status: u16) -> [u8; 3] {
    let digit = |n: u16| b'0' + u8::try_from(n % 10).unwrap_or(0);
    [digit(status / 100), digit(status / 10), digit(status)]
}

fn parse_status(value: &[u8]) -> Result<u16, Status> {
    let status = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    status.filter(|status| (100..=999).contains(status)).ok_or(Status::BadArgument)
}

const REQUEST_PSEUDO: [&[u8]; 4] = [b":method", b":path", b":authority", b":scheme"];

fn is_pseudo(name: &[u8]) -> bool {
    name.first() == Some(&b':')
}

/// The value of a request's pseudo header.
fn request_pseudo<'a>(r: Request<'a>, name: &[u8]) -> Option<&'a [u8]> {
    match name {
        b":method" => Some(r.method()),
        b":path" => r.path(),
        b":authority" => r.authority(),
        b":scheme" => Some(r.scheme()),
        _ => None,
    }
}

fn set_request_pseudo(r: Request<'_>, name: &[u8], value: &[u8]) -> Result<(), Status> {
    match name {
        b":method" => r.set_method(value).map_err(header_status),
        b":path" => r.set_path(value).map_err(header_status),
        b":authority" => r.set_authority(value).map_err(header_status),
        _ => Err(Status::BadArgument),
    }
}

impl<'a> Map<'a> {
    /// The map of that type, if this kind of stream has it.
    pub(super) fn new(r: Request<'a>, exchange: Option<Rc<Exchange>>, map: MapType) -> Result<Self, Status> {
        match (map, exchange) {
            (MapType::RequestHeaders, _) => Ok(Self::Request(r)),
            (MapType::ResponseHeaders, Some(exchange)) if !exchange.early.is_over() => Ok(Self::Early(r, exchange)),
            (MapType::ResponseHeaders, _) => Ok(Self::Response(r)),
            (MapType::ResponseTrailers, Some(exchange))
                if exchange.trailers.have_come() || !r.response_trailers().is_empty() =>
            {
                Ok(Self::ResponseTrailers(r))
            }
            _ => Err(Status::BadArgument),
        }
    }

    /// The same, to be changed. A response without trailers may get some.
    pub(super) fn writable(r: Request<'a>, exchange: Option<Rc<Exchange>>, map: MapType) -> Result<Self, Status> {
        if map == MapType::ResponseTrailers {
            let may_change = exchange.is_some_and(|exchange| {
                let trailers = &exchange.trailers;
                let begun = trailers.have_come() || r.response_trailers().can_begin();
                exchange.response_seen.get() && !trailers.are_over() && begun
            });
            return if may_change { Ok(Self::ResponseTrailers(r)) } else { Err(Status::BadArgument) };
        }
        if map == MapType::ResponseHeaders && r.header_sent() {
            if exchange.is_none_or(|exchange| exchange.early.first_late_change()) {
                error!(r.log(), "[proxy-wasm] cannot change response headers: they were sent already");
            }
            return Err(Status::BadArgument);
        }
        Self::new(r, exchange, map)
    }

    /// The response's status; 0 while it has none.
    fn status(&self) -> u16 {
        match self {
            Self::Request(_) | Self::ResponseTrailers(_) => 0,
            Self::Early(r, exchange) => exchange.early.edits.borrow().status.unwrap_or_else(|| r.status()),
            Self::Response(r) => r.status(),
        }
    }

    pub(super) fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8])) {
        match self.status() {
            0 => {}
            status => visit(b":status", &status_text(status)),
        }
        match self {
            Self::Request(r) => {
                for name in REQUEST_PSEUDO {
                    if let Some(value) = request_pseudo(*r, name) {
                        visit(name, value);
                    }
                }
                r.request_headers().iter().for_each(|(name, value)| visit(name, value));
            }
            Self::Early(r, exchange) => {
                let edits = exchange.early.edits.borrow();
                edits.over(r.response_headers().iter()).for_each(|(name, value)| visit(name, value));
            }
            Self::Response(r) => r.response_headers().iter().for_each(|(name, value)| visit(name, value)),
            Self::ResponseTrailers(r) => r.response_trailers().iter().for_each(|(name, value)| visit(name, value)),
        }
    }

    /// The first value of `name`.
    pub(super) fn get(&self, name: &[u8], visit: impl FnOnce(&[u8])) -> Result<(), Status> {
        match self {
            Self::Request(r) if is_pseudo(name) => request_pseudo(*r, name).map(visit),
            Self::Request(r) => r.request_headers().get(name).map(visit),
            _ if is_pseudo(name) => {
                let status = Some(self.status()).filter(|status| *status != 0 && name == b":status");
                status.map(|status| visit(&status_text(status)))
            }
            Self::Early(r, exchange) => {
                let edits = exchange.early.edits.borrow();
                let mut pairs = edits.over(r.response_headers().iter());
                pairs.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| visit(value))
            }
            Self::Response(r) => r.response_headers().get(name).map(visit),
            Self::ResponseTrailers(r) => r.response_trailers().get(name).map(visit),
        }
        .ok_or(Status::NotFound)
    }

    pub(super) fn add(&self, name: &[u8], value: &[u8]) -> Result<(), Status> {
        match self {
            _ if is_pseudo(name) => return self.replace(name, value),
            Self::Request(r) => r.request_headers().add(name, value),
            Self::Early(_, exchange) => {
                ResponseHeaders::check(name, value).map(|()| exchange.early.edits.borrow_mut().add(name, value))
            }
            Self::Response(r) => r.response_headers().add(name, value),
            Self::ResponseTrailers(r) => r.response_trailers().add(name, value),
        }
        .map_err(header_status)
    }

    pub(super) fn replace(&self, name: &[u8], value: &[u8]) -> Result<(), Status> {
        match self {
            Self::Request(r) if is_pseudo(name) => return set_request_pseudo(*r, name, value),
            Self::Request(r) => r.request_headers().set(name, value),
            Self::ResponseTrailers(r) => r.response_trailers().set(name, value),
            _ if name == b":status" => return self.set_status(parse_status(value)?),
            _ if is_pseudo(name) => return Err(Status::BadArgument),
            Self::Early(_, exchange) => {
                ResponseHeaders::check(name, value).map(|()| exchange.early.edits.borrow_mut().replace(name, value))
            }
            Self::Response(r) => r.response_headers().set(name, value),
        }
        .map_err(header_status)
    }

    fn set_status(&self, status: u16) -> Result<(), Status> {
        match self {
            Self::Early(r, exchange) => {
                r.check_response_status(status).map(|()| exchange.early.edits.borrow_mut().status = Some(status))
            }
            Self::Response(r) => r.set_response_status(status),
            Self::Request(_) | Self::ResponseTrailers(_) => return Err(Status::BadArgument),
        }
        .map_err(header_status)
    }

    pub(super) fn remove(&self, name: &[u8]) -> Result<(), Status> {
        match self {
            // What is not there is as good as removed; what is there has to stay.
            _ if is_pseudo(name) => {
                return if self.get(name, |_| ()).is_ok() { Err(Status::BadArgument) } else { Ok(()) };
            }
            Self::Request(r) => r.request_headers().remove(name),
            Self::Early(_, exchange) => {
                exchange.early.edits.borrow_mut().remove(name);
                Ok(())
            }
            Self::Response(r) => r.response_headers().remove(name),
            Self::ResponseTrailers(r) => {
                r.response_trailers().remove(name);
                Ok(())
            }
        }
        .map_err(header_status)
    }

    /// Replaces the map. Pseudo headers that are not named stay, and one that is named as it is may be any.
    pub(super) fn set_pairs(&self, pairs: &Pairs<'_>) -> Result<(), Status> {
        for (name, value) in pairs {
            self.check(name, value)?;
        }
        match self {
            Self::Request(r) => set_request_pairs(*r, pairs),
            Self::Early(r, exchange) => {
                let mut edits = exchange.early.edits.borrow_mut();
                let known: Vec<_> = edits.over(r.response_headers().iter()).map(|(name, _)| name.to_vec()).collect();
                known.iter().for_each(|name| edits.remove(name));
                pairs.iter().filter(|(name, _)| !is_pseudo(name)).for_each(|(name, _)| edits.remove(name));
                drop(edits);
                self.add_changed(pairs)
            }
            Self::Response(r) => {
                r.response_headers().clear().map_err(header_status)?;
                self.add_changed(pairs)
            }
            Self::ResponseTrailers(r) => {
                r.response_trailers().clear();
                self.add_changed(pairs)
            }
        }
    }

    /// Adds pairs, and sets the pseudo headers among them that differ.
    fn add_changed(&self, pairs: &Pairs<'_>) -> Result<(), Status> {
        pairs
            .iter()
            .filter(|(name, value)| !self.is_as_named(name, value))
            .try_for_each(|(name, value)| self.add(name, value))
    }

    /// Whether a pair may stand in the map.
    fn check(&self, name: &[u8], value: &[u8]) -> Result<(), Status> {
        if self.is_as_named(name, value) {
            return Ok(());
        }
        match (self, name) {
            (Self::Request(_), b":method") => Request::check_method(value),
            (Self::Request(_), b":authority") => RequestHeaders::check(b"host", value),
            // Setting it checks it.
            (Self::Request(_), b":path") => Ok(()),
            (Self::Early(r, _) | Self::Response(r), b":status") => r.check_response_status(parse_status(value)?),
            (Self::Request(_), name) => RequestHeaders::check(name, value),
            (Self::ResponseTrailers(_), name) => ResponseTrailers::check(name, value),
            (_, name) => ResponseHeaders::check(name, value),
        }
        .map_err(header_status)
    }

    /// Whether a pseudo header has this value already.
    fn is_as_named(&self, name: &[u8], value: &[u8]) -> bool {
        let mut same = false;
        is_pseudo(name) && self.get(name, |present| same = present == value).is_ok() && same
    }
}

/// The pairs were checked, but for the path: that comes first, since it changes all or nothing.
fn set_request_pairs(r: Request<'_>, pairs: &Pairs<'_>) -> Result<(), Status> {
    let changed = |wanted: &[u8]| {
        let named = pairs.iter().filter(|(name, _)| *name == wanted).last().map(|(_, value)| value);
        named.filter(|value| request_pseudo(r, wanted) != Some(*value))
    };
    let authority = changed(b":authority");
    for name in [&b":path"[..], b":method", b":authority"] {
        if let Some(value) = changed(name) {
            set_request_pseudo(r, name, value)?;
        }
    }
    let headers = r.request_headers();
    headers.clear().map_err(header_status)?;
    // Host and `:authority` are one: of a map that was read and changed in one of them, the change counts.
    let stale = |name: &[u8]| authority.is_some() && name.eq_ignore_ascii_case(b"host");
    let plain = pairs.iter().filter(|(name, _)| !is_pseudo(name) && !stale(name));
    plain.into_iter().try_for_each(|(name, value)| headers.add(name, value)).map_err(header_status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_three_digits() {
        assert_eq!(parse_status(b"204"), Ok(204));
        for text in [&b""[..], b"99", b"1000", b"2xx", b"\xff"] {
            assert_eq!(parse_status(text), Err(Status::BadArgument));
        }
        assert_eq!((&status_text(100), &status_text(999)), (b"100", b"999"));
    }
}
