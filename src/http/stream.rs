//! What a filter sees and does of a request: the Proxy-Wasm port over nginx's structures.

use std::rc::Rc;

use ngx::http::{Handle, Request};

use super::exchange::Exchange;
use super::maps::Map;
use super::properties;
use crate::proxy_wasm::abi::{BufferType, MapType, Status, StreamType};
use crate::proxy_wasm::host::{LocalResponse, PropertyFormat, Stream as StreamPort};
use crate::proxy_wasm::pairs::Pairs;
use crate::raw::{Answer, Response};
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

    fn map(&self, map: MapType) -> Result<Map<'_>, Status> {
        let r = self.live()?;
        Map::new(r, early_home(r, map), map)
    }

    fn writable(&self, map: MapType) -> Result<Map<'_>, Status> {
        let r = self.live()?;
        Map::writable(r, early_home(r, map), map)
    }
}

/// Where response headers are before there is a response. Not looked for when the request's are asked for.
fn early_home(r: Request<'_>, map: MapType) -> Option<Rc<Exchange>> {
    if map == MapType::RequestHeaders { None } else { super::phases::exchange(r) }
}

/// Of a request that is gone nothing can be seen or changed: its functions do not run.
const GONE: &str = "the request is gone";

impl Response for Stream {
    fn status(&self) -> u16 {
        self.both().map_or(0, |(r, exchange)| exchange.status(r))
    }

    fn set_status(&self, status: u16) -> Result<(), &'static str> {
        let (r, exchange) = self.both().ok_or(GONE)?;
        exchange.set_status(r, status)
    }

    fn say(&self, line: &[u8]) -> Result<(), &'static str> {
        let (_, exchange) = self.both().ok_or(GONE)?;
        exchange.say(line)
    }

    fn answer(&self, answer: Answer<'_>) -> Result<(), &'static str> {
        let (_, exchange) = self.both().ok_or(GONE)?;
        exchange.stash_answer(answer);
        Ok(())
    }

    fn discard_answer(&self) {
        if let Some((_, exchange)) = self.both() {
            exchange.discard_answer();
        }
    }
}

impl StreamPort for Stream {
    fn for_each_pair(&self, map: MapType, visit: impl FnMut(&[u8], &[u8])) -> Result<(), Status> {
        self.map(map)?.for_each(visit);
        Ok(())
    }

    fn pair(&self, map: MapType, name: &[u8], visit: impl FnOnce(&[u8])) -> Result<(), Status> {
        self.map(map)?.get(name, visit)
    }

    fn add_pair(&self, map: MapType, name: &[u8], value: &[u8]) -> Result<(), Status> {
        self.writable(map)?.add(name, value)
    }

    fn replace_pair(&self, map: MapType, name: &[u8], value: &[u8]) -> Result<(), Status> {
        self.writable(map)?.replace(name, value)
    }

    fn remove_pair(&self, map: MapType, name: &[u8]) -> Result<(), Status> {
        self.writable(map)?.remove(name)
    }

    fn set_pairs(&self, map: MapType, pairs: &Pairs<'_>) -> Result<(), Status> {
        self.writable(map)?.set_pairs(pairs)
    }

    fn buffer_len(&self, buffer: BufferType) -> Result<usize, Status> {
        let (r, exchange) = self.exchange()?;
        match buffer {
            BufferType::RequestBody => exchange.request_body_len(r).ok_or(Status::NotFound),
            BufferType::ResponseBody => exchange.body.part.len().ok_or(Status::NotFound),
            _ => Err(Status::NotFound),
        }
    }

    fn read_buffer(&self, buffer: BufferType, start: usize, out: &mut [u8]) -> Result<(), Status> {
        let (r, exchange) = self.exchange()?;
        let done = match buffer {
            BufferType::RequestBody => exchange.read_request_body(r, start, out),
            BufferType::ResponseBody => exchange.body.part.read(start, out),
            _ => return Err(Status::NotFound),
        };
        if done { Ok(()) } else { Err(Status::InternalFailure) }
    }

    fn splice_buffer(&self, buffer: BufferType, start: usize, len: usize, data: &[u8]) -> Result<(), Status> {
        let (r, exchange) = self.exchange()?;
        match buffer {
            BufferType::RequestBody => exchange.splice_request_body(r, start, len, data),
            BufferType::ResponseBody if exchange.body.part.splice(start, len, data) => Ok(()),
            _ => Err(Status::NotFound),
        }
    }

    fn property(&self, path: &[u8], format: PropertyFormat, out: &mut Vec<u8>) -> Result<(), Status> {
        properties::read(self.live()?, path, format, out)
    }

    fn names_property(path: &[u8]) -> bool {
        properties::names(path)
    }

    fn set_property(&self, path: &[u8], value: Option<&[u8]>) -> Result<(), Status> {
        properties::write(self.live()?, path, value)
    }

    fn for_each_property(&self, visit: impl FnMut(&[u8], &[u8])) {
        if let Some((r, exchange)) = self.both() {
            properties::for_each(r, exchange.format, visit);
        }
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

    fn calls_answered(&self) {
        if let Some((_, exchange)) = self.both() {
            exchange.calls_answered(self.filter);
        }
    }

    fn close_stream(&self, _part: StreamType) -> Result<(), Status> {
        let (_, exchange) = self.exchange()?;
        exchange.ask_to_close();
        Ok(())
    }
}
