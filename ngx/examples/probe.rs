//! A module that uses this crate as WasmX does, without WebAssembly: `tests/load.rs` loads it into a real nginx.

#[path = "probe/net.rs"]
mod net;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use ngx::{
    Arity, Conf, ConfError, Contexts, CoreModule, Cycle, Directive, Failed, HttpFilter, HttpModule, Pool, Posted,
    Status, Timer,
    http::{Chain, Handle, Merge, Phase, PhaseHandler, Request, next_body_filter, next_header_filter},
    resolver::Resolver,
    ssl::Client,
};

ngx::modules! {
    core probe_core_module: Core,
    http probe_http_module: Http,
    filter probe_filter_module: Filter,
}

struct Core;
struct Http;
struct Filter;

#[derive(Default)]
struct CoreConf {
    names: Vec<String>,
    wait: Duration,
    resolver: Option<Resolver>,
    /// PEM, of certificates to trust.
    trusted: Option<Vec<u8>>,
    client: Option<Client>,
}

impl CoreModule for Core {
    type Conf = CoreConf;

    const DIRECTIVES: &'static [Directive] = &[
        Directive::new(c"probe", Contexts::MAIN, Arity::Block, |cf| Ok(cf.parse_block(Contexts::WASM)?)),
        Directive::new(c"name", Contexts::WASM, Arity::Range(1, 2), name),
        Directive::new(c"inner", Contexts::WASM, Arity::Block, |cf| Ok(cf.parse_block(Contexts::WASM_METRICS)?)),
        Directive::new(c"wait", Contexts::WASM_METRICS, Arity::Exact(1), wait),
        Directive::new(c"dns", Contexts::WASM, Arity::AtLeast(1), dns),
        Directive::new(c"trust", Contexts::WASM, Arity::Exact(1), trust),
        Directive::new(c"boom", Contexts::WASM, Arity::Exact(0), |_| panic!("boom")),
    ];

    fn init_conf(cycle: Cycle<'_>, conf: &mut CoreConf) -> Result<(), Failed> {
        if conf.names.iter().any(|name| name == "late") {
            ngx::emerg!(cycle.log(), "too late");
            return Err(Failed);
        }
        if conf.trusted.is_some() {
            conf.client = Some(Client::new(cycle, conf.trusted.as_deref())?);
        }
        let before = cycle.old_core_conf::<Core>().map_or(0, |old| old.names.len());
        ngx::notice!(cycle.log(), "probe: {} names, {before} before", conf.names.len());
        Ok(())
    }

    fn init_process(cycle: Cycle<'_>, _: &CoreConf) -> Result<(), Failed> {
        ngx::notice!(cycle.log(), "probe: worker {} of {:?}", ngx::process::worker_index(), ngx::process::kind());
        Ok(())
    }

    fn exit_process(_: Cycle<'_>, _: &CoreConf) {
        net::drop_all();
    }
}

fn dns(cf: Conf<'_>) -> Result<(), ConfError> {
    let args: Vec<&[u8]> = cf.args().iter().skip(1).map(|arg| arg.as_bytes()).collect();
    cf.core_conf::<Core>().resolver = Some(cf.create_resolver(&args)?);
    Ok(())
}

fn trust(cf: Conf<'_>) -> Result<(), ConfError> {
    cf.core_conf::<Core>().trusted = cf.arg(1).map(<[u8]>::to_vec);
    Ok(())
}

fn name(cf: Conf<'_>) -> Result<(), ConfError> {
    let name = cf.args()[1].to_string_lossy().into_owned();
    let mut conf = cf.core_conf::<Core>();
    if conf.names.contains(&name) {
        return Err(format!("name \"{name}\" given twice: 100%").into());
    }
    conf.names.push(name);
    Ok(())
}

fn wait(cf: Conf<'_>) -> Result<(), ConfError> {
    let text = cf.arg(1).unwrap_or_default();
    cf.core_conf::<Core>().wait = cf.parse_time(text).ok_or("invalid time")?;
    Ok(())
}

#[derive(Default)]
struct Loc {
    mode: Option<String>,
}

impl Merge for Loc {
    fn merge(&mut self, parent: &Self, _: Conf<'_>) -> Result<(), Failed> {
        self.mode = self.mode.take().or_else(|| parent.mode.clone());
        Ok(())
    }
}

impl HttpModule for Http {
    type Main = ();
    type Loc = Loc;

    const DIRECTIVES: &'static [Directive] =
        &[
            Directive::new(
                c"probe_mode",
                Contexts::HTTP.union(Contexts::SERVER).union(Contexts::LOCATION),
                Arity::Exact(1),
                |cf| {
                    cf.loc_conf::<Http>().mode = Some(cf.args()[1].to_string_lossy().into_owned());
                    Ok(())
                },
            ),
            Directive::new(c"probe_content", Contexts::LOCATION, Arity::Exact(0), |cf| {
                Ok(cf.set_content_handler::<Content>()?)
            }),
            Directive::new(c"probe_net", Contexts::LOCATION, Arity::Exact(0), |cf| {
                Ok(cf.set_content_handler::<net::Net>()?)
            }),
            Directive::new(c"probe_later", Contexts::LOCATION, Arity::Exact(0), |cf| {
                Ok(cf.set_content_handler::<Later>()?)
            }),
        ];

    fn postconfiguration(cf: Conf<'_>) -> Result<(), Failed> {
        cf.phase_first::<Access>(Phase::Access)?;
        cf.phase_last::<AccessLast>(Phase::Access)?;
        cf.phase_first::<Log>(Phase::Log)
    }
}

/// What is kept for a request.
#[derive(Default)]
struct Kept {
    steps: Cell<u32>,
    timer: RefCell<Option<Timer>>,
    posted: RefCell<Option<Posted>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let stale = LAST.get().is_some_and(|last| !last.is_live());
        ngx::notice!(ngx::Log::cycle(), "probe: ctx dropped after {} steps, stale {stale}", self.steps.get());
    }
}

thread_local!(static LAST: Cell<Option<Handle>> = const { Cell::new(None) });

struct Access;

impl PhaseHandler for Access {
    fn handle(r: Request<'_>) -> Status {
        let Some(mode) = &r.loc_conf::<Http>().mode else { return Status::DECLINED };
        let kept = r.ctx::<Kept>().unwrap_or_else(|| {
            let kept = Rc::new(Kept::default());
            assert!(r.set_ctx(kept.clone()));
            kept
        });
        let steps = kept.steps.get() + 1;
        kept.steps.set(steps);
        LAST.set(Some(r.handle()));
        match mode.as_str() {
            "panic" => panic!("asked to"),
            "wait" if steps == 1 => wait_for_timer(r, &kept),
            "deny" => Status::http(403),
            _ => Status::DECLINED,
        }
    }
}

/// A timer, then a posted event, then the request goes on.
fn wait_for_timer(r: Request<'_>, kept: &Rc<Kept>) -> Status {
    let handle = r.handle();
    *kept.timer.borrow_mut() = Some(Timer::new(move || {
        let Some(kept) = handle.get().and_then(|r| r.ctx::<Kept>()) else { return };
        let posted = Posted::new(move || handle.get().into_iter().for_each(Request::resume));
        posted.post();
        *kept.posted.borrow_mut() = Some(posted);
        // The timer drops itself while it runs.
        kept.timer.take();
    }));
    let wait = r.core_conf::<Core>().map_or(Duration::ZERO, |conf| conf.wait);
    kept.timer.borrow().as_ref().into_iter().for_each(|timer| timer.start(wait));
    r.hold();
    Status::DONE
}

struct AccessLast;

impl PhaseHandler for AccessLast {
    fn handle(r: Request<'_>) -> Status {
        let _ = r.set_variable(b"Probe", b"set");
        Status::DECLINED
    }
}

struct Content;

impl PhaseHandler for Content {
    fn handle(r: Request<'_>) -> Status {
        r.internal_redirect(b"/redirected", b"a=b")
    }
}

/// Answers from the event loop, with the request counted meanwhile.
struct Later;

impl PhaseHandler for Later {
    fn handle(r: Request<'_>) -> Status {
        let Some(kept) = r.ctx::<Kept>() else { return Status::ERROR };
        let held = Cell::new(Some(r.reference()));
        let posted = Posted::new(move || {
            let Some(held) = held.take() else { return };
            let pool = Pool::create(1024).expect("memory");
            let copied = held.get().and_then(|r| pool.pool().copy(r.uri())) == Some(b"/later");
            held.finalize(Status::http(if copied { 204 } else { 500 }));
        });
        posted.post_next();
        *kept.posted.borrow_mut() = Some(posted);
        Status::DONE
    }
}

struct Log;

impl PhaseHandler for Log {
    fn handle(r: Request<'_>) -> Status {
        if r.ctx::<Kept>().is_some() {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            ngx::notice!(
                r.log(),
                "probe: {} {}?{} of {}:{} at {:?}:{} over {} {} ended with {}, sni {:?}\nprobe=%s",
                text(r.method()),
                text(r.uri()),
                text(r.args()),
                text(r.client_addr()),
                r.client_port(),
                r.server_addr().map(text),
                r.server_port(),
                text(r.scheme()),
                text(r.protocol()),
                r.status(),
                r.sni(),
            );
        }
        Status::OK
    }
}

impl HttpFilter for Filter {
    fn header_filter(r: Request<'_>) -> Status {
        if let Some(kept) = r.ctx::<Kept>() {
            let steps = kept.steps.get().to_string();
            let variable = r.variable(b"probe").unwrap_or(b"-");
            let headers = r.response_headers();
            if headers.set(b"x-steps", steps.as_bytes()).and(headers.set(b"x-variable", variable)).is_err() {
                return Status::ERROR;
            }
        }
        next_header_filter(r)
    }

    fn body_filter(r: Request<'_>, chain: Chain<'_>) -> Status {
        next_body_filter(r, chain)
    }
}
