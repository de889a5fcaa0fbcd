//! What a filter sees and does of a request: the Proxy-Wasm port over nginx's structures.

use std::rc::Rc;

use ngx::http::{BodyError, Handle, HeaderError, Request};
use ngx::{debug, error};

use super::exchange::{Exchange, Stage};
use super::properties;
use crate::proxy_wasm::abi::{BufferType, MapType, Status, StreamType};
use crate::proxy_wasm::host::{LocalResponse, PropertyFormat, Stream as StreamPort};
use crate::proxy_wasm::pairs::Pairs;
use crate::worker::Instance;

/// A filter's view of a request, checked at each use: one that is gone answers NOT_FOUND.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    handle: Handle,
    /// The filter's place in the chain.
    filter: usize,
}

impl Stream {
    pub(super) fn new(handle: Handle, filter: usize) -> Self {
        Self { handle, filter }
    }

    /// The request, while nginx has it.
    pub(crate) fn request(&self) -> Option<Request<'_>> {
        self.handle.get()
    }

    /// A VM died that this request had contexts in.
    pub(crate) fn instance_died(&self, instance: &Rc<Instance>) {
        if let Some((r, exchange)) = self.both() {
            exchange.instance_died(instance, r);
        }
    }

    fn both(&self) -> Option<(Request<'_>, Rc<Exchange>)> {
        let r = self.handle.get()?;
        Some((r, super::phases::exchange(r)?))
    }

    fn live(&self) -> Result<Request<'_>, Status> {
        self.handle.get().ok_or(Status::NotFound)
    }

    fn exchange(&self) -> Result<(Request<'_>, Rc<Exchange>), Status> {
        self.both().ok_or(Status::NotFound)
    }

    /// The request, if its map may still be changed.
    fn writable(&self, map: MapType) -> Result<Request<'_>, Status> {
        let r = self.live()?;
        match map {
            MapType::RequestHeaders => Ok(r),
            MapType::ResponseHeaders if !r.header_sent() => Ok(r),
            MapType::ResponseHeaders => {
                error!(r.log(), "[proxy-wasm] cannot change response headers: they were sent already");
                Err(Status::BadArgument)
            }
            _ => Err(Status::BadArgument),
        }
    }
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

fn parse_status(value: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(value).ok()?;
    text.parse().ok().filter(|status| (100..=999).contains(status))
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

fn is_pseudo(name: &[u8]) -> bool {
    name.first() == Some(&b':')
}

/// Whether all of `out` could be read.
fn read_request_body(r: Request<'_>, start: usize, out: &mut [u8]) -> bool {
    let wanted = out.len();
    u64::try_from(start).is_ok_and(|start| r.read_body_at(start, out).is_ok_and(|read| read == wanted))
}

const REQUEST_PSEUDO: [&[u8]; 4] = [b":method", b":path", b":authority", b":scheme"];

impl StreamPort for Stream {
    fn for_each_pair(&self, map: MapType, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), Status> {
        let r = self.live()?;
        match map {
            MapType::RequestHeaders => {
                for name in REQUEST_PSEUDO {
                    if let Some(value) = request_pseudo(r, name) {
                        visit(name, value);
                    }
                }
                r.request_headers().iter().for_each(|(name, value)| visit(name, value));
                Ok(())
            }
            MapType::ResponseHeaders => {
                if r.status() != 0 {
                    visit(b":status", &status_text(r.status()));
                }
                r.response_headers().iter().for_each(|(name, value)| visit(name, value));
                Ok(())
            }
            _ => Err(Status::BadArgument),
        }
    }

    fn pair(&self, map: MapType, name: &[u8], visit: impl FnOnce(&[u8])) -> Result<(), Status> {
        let r = self.live()?;
        match map {
            MapType::RequestHeaders => {
                let value = if is_pseudo(name) { request_pseudo(r, name) } else { r.request_headers().get(name) };
                value.map(visit).ok_or(Status::NotFound)
            }
            MapType::ResponseHeaders if is_pseudo(name) => match (name, r.status()) {
                (b":status", status) if status != 0 => {
                    visit(&status_text(status));
                    Ok(())
                }
                _ => Err(Status::NotFound),
            },
            MapType::ResponseHeaders => r.response_headers().get(name).map(visit).ok_or(Status::NotFound),
            _ => Err(Status::BadArgument),
        }
    }

    fn add_pair(&self, map: MapType, name: &[u8], value: &[u8]) -> Result<(), Status> {
        if is_pseudo(name) {
            return self.replace_pair(map, name, value);
        }
        let r = self.writable(map)?;
        match map {
            MapType::RequestHeaders => r.request_headers().add(name, value).map_err(header_status),
            _ => r.response_headers().add(name, value).map_err(header_status),
        }
    }

    fn replace_pair(&self, map: MapType, name: &[u8], value: &[u8]) -> Result<(), Status> {
        let r = self.writable(map)?;
        match map {
            MapType::RequestHeaders if is_pseudo(name) => set_request_pseudo(r, name, value),
            MapType::RequestHeaders => r.request_headers().set(name, value).map_err(header_status),
            _ if name == b":status" => {
                let status = parse_status(value).ok_or(Status::BadArgument)?;
                r.set_response_status(status).map_err(header_status)
            }
            _ if is_pseudo(name) => Err(Status::BadArgument),
            _ => r.response_headers().set(name, value).map_err(header_status),
        }
    }

    fn remove_pair(&self, map: MapType, name: &[u8]) -> Result<(), Status> {
        let r = self.writable(map)?;
        if is_pseudo(name) {
            return Err(Status::BadArgument);
        }
        match map {
            MapType::RequestHeaders => r.request_headers().remove(name),
            _ => r.response_headers().remove(name),
        }
        .map_err(header_status)
    }

    fn set_pairs(&self, map: MapType, pairs: &Pairs<'_>) -> Result<(), Status> {
        let r = self.writable(map)?;
        match map {
            MapType::RequestHeaders => r.request_headers().clear(),
            _ => r.response_headers().clear(),
        }
        .map_err(header_status)?;
        for (name, value) in pairs.iter() {
            self.add_pair(map, name, value)?;
        }
        Ok(())
    }

    fn buffer_len(&self, buffer: BufferType) -> Result<usize, Status> {
        let (r, exchange) = self.exchange()?;
        match buffer {
            BufferType::RequestBody if exchange.body_read.get() => {
                usize::try_from(r.body_len()).map_err(|_| Status::InternalFailure)
            }
            BufferType::ResponseBody => exchange.body.len().ok_or(Status::NotFound),
            _ => Err(Status::NotFound),
        }
    }

    fn read_buffer(&self, buffer: BufferType, start: usize, out: &mut [u8]) -> Result<(), Status> {
        let (r, exchange) = self.exchange()?;
        let done = match buffer {
            BufferType::RequestBody => read_request_body(r, start, out),
            BufferType::ResponseBody => exchange.body.read(start, out),
            _ => return Err(Status::NotFound),
        };
        if done { Ok(()) } else { Err(Status::InternalFailure) }
    }

    fn splice_buffer(&self, buffer: BufferType, start: usize, len: usize, data: &[u8]) -> Result<(), Status> {
        let (r, exchange) = self.exchange()?;
        match buffer {
            BufferType::RequestBody if exchange.body_read.get() && exchange.stage.get() != Stage::Passed => {
                let whole = usize::try_from(r.body_len()).map_err(|_| Status::InternalFailure)?;
                let mut body = vec![0; whole];
                if !read_request_body(r, 0, &mut body) {
                    return Err(Status::InternalFailure);
                }
                super::splice(&mut body, start, len, data);
                r.replace_body(&body).map_err(|error| match error {
                    BodyError::NotRead => Status::BadArgument,
                    BodyError::NoMemory => Status::InternalFailure,
                })
            }
            BufferType::RequestBody => {
                debug!(r.log(), "[proxy-wasm] the request body cannot be changed in this phase");
                Err(Status::BadArgument)
            }
            BufferType::ResponseBody if exchange.body.splice(start, len, data) => Ok(()),
            _ => Err(Status::NotFound),
        }
    }

    fn property(&self, path: &[u8], format: PropertyFormat, out: &mut Vec<u8>) -> Result<(), Status> {
        properties::read(self.live()?, path, format, out)
    }

    fn set_property(&self, path: &[u8], value: Option<&[u8]>) -> Result<(), Status> {
        properties::write(self.live()?, path, value)
    }

    fn property_format(&self) -> PropertyFormat {
        self.both().map_or_else(PropertyFormat::default, |(_, exchange)| exchange.format)
    }

    fn send_local_response(&self, response: LocalResponse) -> Result<(), Status> {
        let (_, exchange) = self.exchange()?;
        exchange.stash_reply(response);
        Ok(())
    }

    fn continue_stream(&self, part: StreamType) -> Result<(), Status> {
        let (_, exchange) = self.exchange()?;
        exchange.ask_to_continue(part, self.filter);
        Ok(())
    }

    fn close_stream(&self, _part: StreamType) -> Result<(), Status> {
        let (_, exchange) = self.exchange()?;
        exchange.ask_to_close();
        Ok(())
    }
}
