//! A server of plain memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::metrics::{Bounds, Kind, Plain, Refusal, Scope, Store};
use crate::proxy_wasm::abi::{BufferType, LogLevel, MapType, Status, StreamType};
use crate::proxy_wasm::foreign::{Call, ForeignFunction};
use crate::proxy_wasm::host::{GrpcCall, Host, HttpCall, LocalResponse, LogLine, PropertyFormat, Stream};
use crate::proxy_wasm::pairs::Pairs;
use crate::proxy_wasm::tests::shared::Shared;
use crate::raw::{Answer, Response};

/// What a server has seen of its VMs.
#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<Seen>>);

#[derive(Default)]
pub struct Seen {
    pub lines: Vec<Line>,
    /// Those of raw functions: the level, whether there was a stream, the message.
    pub raw_lines: Vec<(u8, bool, String)>,
    pub ticks: Vec<(u32, Option<Duration>)>,
    /// Calls of `later`: the context, whether it had a stream, and the arguments.
    pub calls: Vec<(u32, bool, Vec<u8>)>,
    pub shared: Shared,
    /// The HTTP and gRPC calls that were asked for, refused ones included.
    pub dispatched: Vec<Dispatched>,
    /// What was done to calls, in words.
    pub on_calls: Vec<String>,
    /// Given as the answer to every call.
    pub refusal: Option<Status>,
}

/// An HTTP or gRPC call as the server got it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dispatched {
    pub token: u32,
    pub context: u32,
    pub root: u32,
    pub on_stream: bool,
    /// Upstream and body; or service, its name, the method and the message.
    pub texts: Vec<String>,
    /// Headers and trailers; or metadata.
    pub maps: Vec<Map>,
    pub timeout: Option<Duration>,
}

impl Seen {
    fn dispatch(&mut self, call: Dispatched) -> Result<(), Status> {
        self.dispatched.push(call);
        self.refusal.map_or(Ok(()), Err)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub level: LogLevel,
    pub filter: String,
    pub root: u32,
    pub on_stream: bool,
    pub message: String,
}

impl Server {
    pub fn host(&self) -> TestHost {
        let memory = Plain::new(64 << 10);
        Store::format(&memory, 2).unwrap();
        let store = Store::open(memory, 0, 20, Bounds::new(&[10, 20]).unwrap()).unwrap();
        let metrics = Scope::new(store, "f");
        TestHost { server: self.clone(), environ: vec![b"A=1".to_vec(), b"NAME=value".to_vec()], metrics }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }

    /// The tokens of the calls that were asked for since this was last asked.
    pub fn tokens(&self) -> Vec<u32> {
        std::mem::take(&mut self.seen().dispatched).into_iter().map(|call| call.token).collect()
    }

    /// What was done to calls since this was last asked.
    pub fn on_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.seen().on_calls)
    }

    /// The messages logged since this was last asked.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.seen().lines).into_iter().map(|line| line.message).collect()
    }
}

pub struct TestHost {
    server: Server,
    environ: Vec<Vec<u8>>,
    metrics: Scope<Plain>,
}

impl Host for TestHost {
    type Stream = TestStream;

    fn log(&mut self, stream: Option<&TestStream>, line: LogLine<'_>) {
        self.server.seen().lines.push(Line {
            level: line.level,
            filter: line.filter.into(),
            root: line.root,
            on_stream: stream.is_some(),
            message: String::from_utf8_lossy(line.message).into_owned(),
        });
    }

    fn raw_log(&mut self, stream: Option<&TestStream>, level: u8, message: &[u8]) {
        self.server.seen().raw_lines.push((level, stream.is_some(), text(message)));
    }

    fn log_level(&self, stream: Option<&TestStream>) -> LogLevel {
        if stream.is_some() { LogLevel::Info } else { LogLevel::Warn }
    }

    fn set_tick_period(&mut self, root: u32, period: Option<Duration>) {
        self.server.seen().ticks.push((root, period));
    }

    fn environ(&self) -> &[Vec<u8>] {
        &self.environ
    }

    fn shared_value(&mut self, key: &[u8], out: &mut Vec<u8>) -> Result<u32, Status> {
        self.server.seen().shared.value(key, out)
    }

    fn set_shared_value(&mut self, key: &[u8], value: Option<&[u8]>, cas: u32) -> Result<(), Status> {
        self.server.seen().shared.set(key, value, cas)
    }

    fn register_queue(&mut self, root: u32, name: &[u8]) -> Result<u32, Status> {
        self.server.seen().shared.register(root, name)
    }

    fn resolve_queue(&mut self, name: &[u8]) -> Result<u32, Status> {
        self.server.seen().shared.resolve(name)
    }

    fn enqueue(&mut self, queue: u32, item: &[u8]) -> Result<(), Status> {
        self.server.seen().shared.enqueue(queue, item)
    }

    fn dequeue(&mut self, queue: u32, out: &mut Vec<u8>) -> Result<(), Status> {
        self.server.seen().shared.dequeue(queue, out)
    }

    fn http_call(&mut self, call: HttpCall<'_, TestStream>) -> Result<(), Status> {
        self.server.seen().dispatch(Dispatched {
            token: call.token,
            context: call.context,
            root: call.root,
            on_stream: call.stream.is_some(),
            texts: vec![text(call.upstream), text(call.body)],
            maps: vec![map(call.headers), map(call.trailers)],
            timeout: Some(call.timeout),
        })
    }

    fn grpc_call(&mut self, call: GrpcCall<'_, TestStream>) -> Result<(), Status> {
        let texts = [call.service, call.service_name, call.method].into_iter().chain(call.message);
        self.server.seen().dispatch(Dispatched {
            token: call.token,
            context: call.context,
            root: call.root,
            on_stream: call.stream.is_some(),
            texts: texts.map(text).collect(),
            maps: vec![map(call.metadata)],
            timeout: call.timeout,
        })
    }

    fn grpc_send(&mut self, token: u32, message: &[u8], end_of_stream: bool) -> Result<(), Status> {
        let end = if end_of_stream { " and ends" } else { "" };
        self.server.seen().on_calls.push(format!("{token} sends {}{end}", text(message)));
        Ok(())
    }

    fn cancel_call(&mut self, token: u32) {
        self.server.seen().on_calls.push(format!("{token} cancelled"));
    }

    fn close_call(&mut self, token: u32) {
        self.server.seen().on_calls.push(format!("{token} closed"));
    }

    fn foreign_functions() -> &'static [&'static dyn ForeignFunction<Self>] {
        &[&Later]
    }

    fn define_metric(&mut self, kind: Kind, name: &[u8]) -> Result<u32, Refusal> {
        self.metrics.define(kind, name)
    }

    fn record_metric(&self, id: u32, value: u64) -> Result<(), Refusal> {
        self.metrics.record(id, value)
    }

    fn increment_metric(&self, id: u32, delta: i64) -> Result<(), Refusal> {
        self.metrics.increment(id, delta)
    }

    fn metric(&self, id: u32) -> Result<u64, Refusal> {
        self.metrics.get(id)
    }
}

/// A foreign function whose answer comes when the test gives it.
struct Later;

impl ForeignFunction<TestHost> for Later {
    fn name(&self) -> &str {
        "later"
    }

    fn call(&self, host: &mut TestHost, call: Call<'_, TestStream>) -> Result<(), Status> {
        host.server.seen().calls.push((call.context, call.stream.is_some(), call.arguments.to_vec()));
        Ok(())
    }
}

pub type Map = Vec<(String, String)>;

fn map(pairs: Pairs<'_>) -> Map {
    pairs.iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// A stream that lives as long as the test.
#[derive(Clone, Copy)]
pub struct TestStream(&'static Mutex<Content>);

#[derive(Default)]
pub struct Content {
    pub gone: bool,
    pub request: Map,
    pub response: Map,
    pub trailers: Option<Map>,
    pub body: Option<Vec<u8>>,
    pub properties: BTreeMap<String, String>,
    pub format: PropertyFormat,
    pub reply: Option<LocalResponse>,
    pub continued: Vec<StreamType>,
    pub closed: Vec<StreamType>,
    /// How often it was told that no call is waited for any more.
    pub answered: u32,
    /// What raw functions did to the response.
    pub status: u16,
    pub said: Vec<String>,
    pub answer: Option<(u16, String, String)>,
}

/// A stream with two request headers, the second one twice, and a request body.
pub fn stream() -> TestStream {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let content = Content {
        request: vec![pair(":path", "/p?q"), pair("X-One", "1"), pair("Two", "2a"), pair("two", "2b")],
        body: Some(b"0123456789".to_vec()),
        properties: BTreeMap::from([("request.path".into(), "/p".into()), ("empty".into(), String::new())]),
        ..Content::default()
    };
    TestStream(Box::leak(Box::new(Mutex::new(content))))
}

impl TestStream {
    pub fn content(&self) -> MutexGuard<'static, Content> {
        self.0.lock().unwrap()
    }

    fn live(&self) -> Result<MutexGuard<'static, Content>, Status> {
        Some(self.content()).filter(|content| !content.gone).ok_or(Status::NotFound)
    }

    /// Response headers can be written once there are some.
    fn with<T>(&self, map: MapType, work: impl FnOnce(&mut Map) -> T) -> Result<T, Status> {
        let mut content = self.live()?;
        match map {
            MapType::RequestHeaders => Ok(work(&mut content.request)),
            MapType::ResponseHeaders => Ok(work(&mut content.response)),
            MapType::ResponseTrailers => content.trailers.as_mut().map(work).ok_or(Status::BadArgument),
            _ => Err(Status::BadArgument),
        }
    }

    fn body<T>(&self, buffer: BufferType, work: impl FnOnce(&mut Vec<u8>) -> T) -> Result<T, Status> {
        match buffer {
            BufferType::RequestBody => Ok(work(self.live()?.body.as_mut().ok_or(Status::NotFound)?)),
            BufferType::ResponseBody => Err(Status::NotFound),
            other => panic!("{other:?} is no body"),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Response for TestStream {
    fn status(&self) -> u16 {
        self.content().status
    }

    fn set_status(&self, status: u16) -> Result<(), &'static str> {
        self.live().map_err(|_| "the request is gone")?.status = status;
        Ok(())
    }

    fn say(&self, line: &[u8]) -> Result<(), &'static str> {
        self.content().said.push(text(line));
        Ok(())
    }

    fn answer(&self, answer: Answer<'_>) -> Result<(), &'static str> {
        self.content().answer.get_or_insert((answer.status, text(answer.reason), text(answer.body)));
        Ok(())
    }

    fn discard_answer(&self) {
        self.content().answer = None;
    }
}

impl Stream for TestStream {
    fn for_each_pair(&self, map: MapType, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), Status> {
        self.with(map, |map| map.iter().for_each(|(name, value)| visit(name.as_bytes(), value.as_bytes())))
    }

    fn pair(&self, map: MapType, name: &[u8], visit: impl FnOnce(&[u8])) -> Result<(), Status> {
        self.with(map, |map| {
            let found = map.iter().find(|pair| pair.0.as_bytes().eq_ignore_ascii_case(name));
            found.map(|pair| visit(pair.1.as_bytes())).ok_or(Status::NotFound)
        })?
    }

    fn add_pair(&self, map: MapType, name: &[u8], value: &[u8]) -> Result<(), Status> {
        self.with(map, |map| map.push((text(name), text(value))))
    }

    fn replace_pair(&self, map: MapType, name: &[u8], value: &[u8]) -> Result<(), Status> {
        self.remove_pair(map, name)?;
        self.add_pair(map, name, value)
    }

    fn remove_pair(&self, map: MapType, name: &[u8]) -> Result<(), Status> {
        self.with(map, |map| map.retain(|pair| !pair.0.as_bytes().eq_ignore_ascii_case(name)))
    }

    fn set_pairs(&self, map: MapType, pairs: &Pairs<'_>) -> Result<(), Status> {
        self.with(map, |map| *map = pairs.iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    fn buffer_len(&self, buffer: BufferType) -> Result<usize, Status> {
        self.body(buffer, |body| body.len())
    }

    fn read_buffer(&self, buffer: BufferType, start: usize, out: &mut [u8]) -> Result<(), Status> {
        self.body(buffer, |body| out.copy_from_slice(&body[start..start + out.len()]))
    }

    fn splice_buffer(&self, buffer: BufferType, start: usize, len: usize, data: &[u8]) -> Result<(), Status> {
        self.body(buffer, |body| drop(body.splice(start..start + len, data.iter().copied())))
    }

    fn property(&self, path: &[u8], format: PropertyFormat, out: &mut Vec<u8>) -> Result<(), Status> {
        let content = self.live()?;
        let value = content.properties.get(&text(path)).ok_or(Status::NotFound)?;
        out.extend_from_slice(if format == PropertyFormat::Envoy { b"envoy" } else { value.as_bytes() });
        Ok(())
    }

    fn names_property(path: &[u8]) -> bool {
        path.starts_with(b"request.") || path.starts_with(b"ngx.") || path == b"empty"
    }

    fn set_property(&self, path: &[u8], value: Option<&[u8]>) -> Result<(), Status> {
        let mut content = self.live()?;
        match value {
            Some(value) => content.properties.insert(text(path), text(value)),
            None => content.properties.remove(&text(path)),
        };
        Ok(())
    }

    fn for_each_property(&self, mut visit: impl FnMut(&[u8], &[u8])) {
        let content = self.content();
        content.properties.iter().for_each(|(path, value)| visit(path.as_bytes(), value.as_bytes()));
    }

    fn property_format(&self) -> PropertyFormat {
        self.content().format
    }

    fn send_local_response(&self, response: LocalResponse) -> Result<(), Status> {
        self.live()?.reply = Some(response);
        Ok(())
    }

    fn continue_stream(&self, part: StreamType) -> Result<(), Status> {
        self.live()?.continued.push(part);
        Ok(())
    }

    fn close_stream(&self, part: StreamType) -> Result<(), Status> {
        self.live()?.closed.push(part);
        Ok(())
    }

    fn calls_answered(&self) {
        self.content().answered += 1;
    }
}
