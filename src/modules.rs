//! The nginx modules that the `.so` is made of, and what nginx calls them for.

use ngx::http::{BodyHandlers, Chain, HttpFilter, HttpModule, Request, VariableIndex};
use ngx::module::CoreModule;
use ngx::process::{self, Kind};
use ngx::{Conf, Cycle, Directive, Failed, Status};

use crate::conf::{self, HttpConf, LocConf, WasmConf};
use crate::{http, worker};

/// `wasm {}`, and the life of a worker.
pub struct Core;

/// Directives and phases of `http {}`.
pub struct Http;

/// The output filters: a module of its own, since its place in the list of modules is its place in the output chain.
pub struct Filter;

ngx::modules! {
    core ngx_wasmx_core_module: Core,
    http ngx_http_wasmx_module: Http,
    filter ngx_http_wasmx_filter_module: Filter,
}

impl CoreModule for Core {
    type Conf = WasmConf;

    const DIRECTIVES: &'static [Directive] = conf::CORE_DIRECTIVES;

    fn init_conf(cycle: Cycle<'_>, conf: &mut WasmConf) -> Result<(), Failed> {
        conf::init_conf(cycle, conf)
    }

    fn init_module(cycle: Cycle<'_>, conf: &WasmConf) -> Result<(), Failed> {
        conf::announce(cycle, conf);
        worker::zones_changed(conf);
        Ok(())
    }

    fn init_process(_: Cycle<'_>, conf: &WasmConf) -> Result<(), Failed> {
        // Not in the processes that look after caches.
        if matches!(process::kind(), Kind::Worker | Kind::Single) {
            worker::start(conf);
        }
        Ok(())
    }

    fn exit_process(_: Cycle<'_>, _: &WasmConf) {
        worker::stop();
    }
}

impl HttpModule for Http {
    type Main = HttpConf;
    type Loc = LocConf;

    const DIRECTIVES: &'static [Directive] = conf::HTTP_DIRECTIVES;

    fn postconfiguration(cf: Conf<'_>) -> Result<(), Failed> {
        let body_handlers = BodyHandlers::find(cf);
        cf.http_main_conf::<Self>().body_handlers = body_handlers;
        // By its index it is made once for a request: without one, each look at it makes another.
        VariableIndex::get(cf, b"request_id")?;
        http::install(cf)
    }
}

impl HttpFilter for Filter {
    fn header_filter(r: Request<'_>) -> Status {
        http::header_filter(r)
    }

    fn body_filter(r: Request<'_>, chain: Chain<'_>) -> Status {
        http::body_filter(r, chain)
    }

    fn request_body_filter(r: Request<'_>, chain: Chain<'_>) -> Status {
        http::request_body_filter(r, chain)
    }
}
