//! The calls of a worker: begun by guests, ended by an answer, or with who asked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_task::Task;
use bytes::Bytes;
use http::Method;
use ngx::http::Request;
use ngx::resolver::Resolver;
use ngx::upstream::{Balancer, Upstream};
use ngx::{Log, error, warn};

use super::body::Outbox;
use super::connect::{Destination, Dialer, Plan};
use super::error::Failure;
use super::http1::Answer;
use super::pool::Pool;
use super::refusal::Refusal;
use super::request::{self, Content, Head, Pseudo, to_pairs};
use super::service::Service;
use super::target::{self, Target};
use super::{call, executor, frames, grpc};
use crate::conf::{DispatchConf, Tls, WasmConf};
use crate::http::Stream;
use crate::modules::{Core, Http};
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::host::{GrpcCall, HttpCall};
use crate::proxy_wasm::vm::{CallResponse, GrpcEvent};
use crate::worker;

/// The most bytes of messages that a peer has not taken yet, for one stream.
const MOST_UNSENT: usize = 16 << 20;

/// How often it is told that certificates are not looked at.
const UNVERIFIED_WARNING: Duration = Duration::from_secs(60);

/// What `proxy_get_status` says of an HTTP call without an answer: Envoy's BrokenConnection. gRPC calls have gRPC's own.
const FAILED: u32 = 11;

/// One call of one VM: the VM's number in the worker, and its token there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    pub vm: u64,
    pub token: u32,
}

/// A call that is being made.
struct Running {
    /// Dropping it ends the call; `None` once it goes on to its end by itself.
    task: Option<Task<()>>,
    /// What the guest sends on it; `None` for an HTTP call.
    outbox: Option<Rc<Outbox>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // hyper holds on to what is sent, and the peer to its side, until they hear of it.
        if let Some(outbox) = &self.outbox {
            outbox.cancel();
        }
    }
}

/// The calls of a worker.
pub struct Dispatch {
    running: RefCell<HashMap<CallId, Running>>,
    pool: Rc<Pool>,
    /// Of the configuration that the worker runs.
    settings: RefCell<Settings>,
    warned: Cell<Option<Instant>>,
}

/// What holds for all calls of a worker, and for those of root contexts.
struct Settings {
    tls: Tls,
    root: Place,
}

impl Settings {
    fn of(conf: &WasmConf) -> Self {
        let resolver = conf.dispatch.resolver.map(|resolver| (resolver, conf.dispatch.resolver_timeout));
        let root = Place { conf: conf.dispatch(), resolver, time_limit: conf.time_limit };
        Self { tls: conf.dispatch.tls, root }
    }
}

/// What the configuration says where a call is made.
#[derive(Clone)]
struct Place {
    conf: DispatchConf,
    resolver: Option<(Resolver, Duration)>,
    /// How long the callback with the answer may run.
    time_limit: Option<Duration>,
}

/// Who is told of the answer.
#[derive(Clone, Copy)]
pub struct Caller {
    pub id: CallId,
    /// The stream that the call was made for, perhaps gone by now.
    pub stream: Option<Stream>,
    pub time_limit: Option<Duration>,
    log_failures: bool,
}

impl Dispatch {
    pub fn start(conf: &WasmConf) -> Self {
        executor::start();
        let settings = RefCell::new(Settings::of(conf));
        Self { running: RefCell::default(), pool: Pool::new(), settings, warned: Cell::new(None) }
    }

    /// Another configuration holds from now on: in an nginx of one process, where workers are not replaced.
    pub fn replace(&self, conf: &WasmConf) {
        *self.settings.borrow_mut() = Settings::of(conf);
    }

    /// Ends all calls, and closes all connections.
    pub fn stop(&self) {
        drop(self.running.take());
        executor::stop();
    }

    /// Begins an HTTP call.
    ///
    /// # Errors
    /// When it cannot be one; that has been logged.
    pub fn http_call(&self, vm: u64, call: &HttpCall<'_, Stream>) -> Result<(), Status> {
        let request = call.stream.as_ref().and_then(Stream::request);
        let place = self.place(request);
        let begun = self.begin_http(vm, call, request, &place);
        begun.map_err(|refusal| {
            refused(&refusal, request, &place);
            Status::BadArgument
        })
    }

    fn begin_http(
        &self,
        vm: u64,
        call: &HttpCall<'_, Stream>,
        request: Option<Request<'_>>,
        place: &Place,
    ) -> Result<(), Refusal> {
        let pseudo = Pseudo::of(&call.headers);
        let (method, path) = (pseudo.method()?, pseudo.path()?);
        let (destination, port) = destination(call.upstream, request)?;
        let tls = pseudo.tls()?.unwrap_or_else(|| target::implies_tls(port));
        let authority = match (pseudo.authority, &destination) {
            (Some(authority), _) => request::check_authority(authority)?,
            (None, Destination::Block { .. }) => return Err(Refusal::NoAuthority),
            (None, Destination::Server(target)) => target.authority(call.upstream),
        };
        let headers = request::headers(&call.headers)?;
        let head = Head { method, path, authority, tls, grpc: false, headers };
        let content = Content { body: Bytes::copy_from_slice(call.body), trailers: request::headers(&call.trailers)? };
        let plan = self.plan(destination, &head, place, call.stream.is_some());
        let limit = Some(call.timeout).filter(|limit| !limit.is_zero());
        let caller = place.caller(CallId { vm, token: call.token }, call.stream);
        let named = String::from_utf8_lossy(call.upstream).into_owned();
        self.run(caller.id, None, async move {
            let result = call::make(plan, head, content, limit, named).await;
            if let Err(failure) = &result {
                caller.log(failure);
            }
            let response = response(result);
            worker::with(|worker| {
                worker.dispatch().ended(caller.id);
                worker.http_call_response(&caller, response);
            });
        });
        Ok(())
    }

    /// Begins a gRPC call or stream.
    ///
    /// # Errors
    /// When it cannot be one; that has been logged.
    pub fn grpc_call(&self, vm: u64, call: &GrpcCall<'_, Stream>) -> Result<(), Status> {
        let request = call.stream.as_ref().and_then(Stream::request);
        let place = self.place(request);
        let begun = self.begin_grpc(vm, call, request, &place);
        begun.map_err(|refusal| {
            refused(&refusal, request, &place);
            // SDKs know no other that says that the guest is wrong.
            Status::ParseFailure
        })
    }

    fn begin_grpc(
        &self,
        vm: u64,
        call: &GrpcCall<'_, Stream>,
        request: Option<Request<'_>>,
        place: &Place,
    ) -> Result<(), Refusal> {
        let service = Service::parse(call.service)?;
        let (destination, port) = destination(&service.target, request)?;
        let tls = service.tls.unwrap_or_else(|| target::implies_tls(port));
        let pseudo = Pseudo::of(&call.metadata);
        let authority = match (pseudo.authority.or(service.authority.as_deref()), &destination) {
            (Some(authority), _) => request::check_authority(authority)?,
            // A cluster's name is what Envoy sends.
            (None, Destination::Block { name, .. }) => request::check_authority(name.as_bytes())?,
            (None, Destination::Server(target)) => target.authority(&service.target),
        };
        let path = [b"/", call.service_name, b"/", call.method].concat();
        let path = Pseudo { path: Some(&path), ..Pseudo::default() }.path()?;
        let limit = call.timeout.filter(|limit| !limit.is_zero());
        let mut headers = request::headers(&call.metadata)?;
        for (name, value) in &service.metadata {
            request::append(&mut headers, name, value)?;
        }
        frames::add_headers(&mut headers, limit);
        let head = Head { method: Method::POST, path, authority, tls, grpc: true, headers };
        let outbox = Rc::<Outbox>::default();
        if let Some(message) = call.message {
            let framed = frames::frame(message).filter(|framed| outbox.push(framed.clone(), MOST_UNSENT));
            framed.ok_or_else(|| Refusal::Invalid("message", "too large".to_owned()))?;
            outbox.end();
        }
        let plan = self.plan(destination, &head, place, call.stream.is_some());
        let exchange = grpc::Exchange {
            head,
            outbox: outbox.clone(),
            unary: call.message.is_some(),
            limit,
            patience: call.message.map(|_| place.conf.read_timeout),
            most: place.conf.max_body,
        };
        let caller = place.caller(CallId { vm, token: call.token }, call.stream);
        self.run(caller.id, Some(outbox), async move {
            let tell = |event| {
                worker::with(|worker| worker.grpc_event(&caller, event));
            };
            let (status, failure) = grpc::run(plan, exchange, tell).await;
            if let Some(failure) = failure {
                caller.log(&failure);
            }
            worker::with(|worker| {
                worker.dispatch().ended(caller.id);
                worker.grpc_event(&caller, GrpcEvent::Close { status: status.code, message: status.message });
            });
        });
        Ok(())
    }

    /// Sends a message on a stream.
    ///
    /// # Errors
    /// [`Status::NotFound`] when there is none, or no more is to be sent on it; [`Status::BadArgument`] when the peer has
    /// not taken what was sent before.
    pub fn grpc_send(&self, id: CallId, message: &[u8], end: bool) -> Result<(), Status> {
        let outbox = self.running.borrow().get(&id).and_then(|running| running.outbox.clone());
        let outbox = outbox.filter(|outbox| !outbox.has_ended()).ok_or(Status::NotFound)?;
        let framed = frames::frame(message).filter(|framed| outbox.push(framed.clone(), MOST_UNSENT));
        framed.ok_or(Status::BadArgument)?;
        if end {
            outbox.end();
        }
        Ok(())
    }

    /// Nothing more will be sent on a stream; its answer still counts.
    pub fn close(&self, id: CallId) {
        if let Some(outbox) = self.running.borrow().get(&id).and_then(|running| running.outbox.as_ref()) {
            outbox.end();
        }
    }

    /// Ends a call without an answer.
    pub fn cancel(&self, id: CallId) {
        let running = self.running.borrow_mut().remove(&id);
        drop(running);
    }

    /// Ends all calls of a VM that is gone.
    pub fn cancel_all(&self, vm: u64) {
        let gone: Vec<_> = self.running.borrow_mut().extract_if(|id, _| id.vm == vm).collect();
        drop(gone);
    }

    /// The call was answered as a whole: its task goes on to its end by itself.
    fn ended(&self, id: CallId) {
        let running = self.running.borrow_mut().remove(&id);
        if let Some(task) = running.and_then(|mut running| running.task.take()) {
            task.detach();
        }
    }

    fn run(&self, id: CallId, outbox: Option<Rc<Outbox>>, future: impl Future<Output = ()> + 'static) {
        let task = executor::spawn(future);
        let before = self.running.borrow_mut().insert(id, Running { task: Some(task), outbox });
        drop(before);
    }

    fn plan(&self, destination: Destination, head: &Head, place: &Place, holds_shutdown: bool) -> Plan {
        let tls_conf = self.settings.borrow().tls;
        let tls = head.tls.then(|| target::tls_name(&head.authority).into());
        if head.tls && !(tls_conf.verify_cert && tls_conf.verify_host) && !tls_conf.no_verify_warn {
            self.warn_of_unverified();
        }
        let (conf, resolver, pool) = (place.conf.clone(), place.resolver, self.pool.clone());
        let dialer = Dialer { tls, tls_conf, http2: head.grpc, holds_shutdown, conf, resolver, pool };
        Plan { destination, dialer }
    }

    #[cold]
    fn warn_of_unverified(&self) {
        if self.warned.get().is_none_or(|warned| warned.elapsed() >= UNVERIFIED_WARNING) {
            self.warned.set(Some(Instant::now()));
            warn!(
                Log::cycle(),
                "[wasm] tls certificates are not verified: see \"tls_verify_cert\" and \"tls_verify_host\""
            );
        }
    }

    /// What holds for a request's location, or for a root context.
    fn place(&self, request: Option<Request<'_>>) -> Place {
        let root = &self.settings.borrow().root;
        let Some((r, wasm)) = request.and_then(|r| Some((r, r.core_conf::<Core>()?))) else { return root.clone() };
        let loc = r.loc_conf::<Http>();
        Place { conf: loc.dispatch(wasm), resolver: r.resolver().or(root.resolver), time_limit: loc.time_limit(wasm) }
    }
}

/// What a guest names: a block `upstream {}`, or a server; and its port, if it says one.
fn destination(named: &[u8], request: Option<Request<'_>>) -> Result<(Destination, Option<u16>), Refusal> {
    let refused = || Refusal::Upstream(String::from_utf8_lossy(named).into_owned());
    if let Some(upstream) = Upstream::find(named) {
        let balancer = Balancer::new(upstream, request).ok_or_else(refused)?;
        return Ok((Destination::Block { name: String::from_utf8_lossy(named).into_owned(), balancer }, None));
    }
    let target = Target::parse(named)?;
    let port = target.port();
    Ok((Destination::Server(target), port))
}

fn log_of(request: Option<Request<'_>>) -> Log<'_> {
    match request {
        Some(r) => r.log(),
        None => Log::cycle(),
    }
}

fn refused(refusal: &Refusal, request: Option<Request<'_>>, place: &Place) {
    if place.conf.log_errors {
        error!(log_of(request), "[wasm] dispatch failed: {refusal}");
    }
}

impl Place {
    fn caller(&self, id: CallId, stream: Option<Stream>) -> Caller {
        Caller { id, stream, time_limit: self.time_limit, log_failures: self.conf.log_errors }
    }
}

impl Caller {
    /// The log of the stream, as long as there is one.
    pub fn log_of(&self) -> Log<'_> {
        log_of(self.stream.as_ref().and_then(Stream::request))
    }

    fn log(&self, failure: &Failure) {
        if self.log_failures {
            error!(self.log_of(), "[wasm] dispatch failed: {failure}");
        }
    }
}

/// What a guest is told of its call.
fn response(result: Result<Answer, Failure>) -> CallResponse {
    match result {
        Ok(answer) => {
            let status = (b":status"[..].into(), answer.status.to_string().into_bytes().into());
            let headers = std::iter::once(status).chain(to_pairs(&answer.headers)).collect();
            let trailers = to_pairs(&answer.trailers).collect();
            CallResponse { headers, body: answer.body, trailers, failure: None }
        }
        Err(failure) => CallResponse::failed(FAILED, failure.dispatch_status()),
    }
}
