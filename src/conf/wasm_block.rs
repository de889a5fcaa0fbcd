//! `wasm {}` and the plain settings in it.

use std::time::Duration;

use ngx::{Arity, Conf, ConfError, Contexts, Directive};

use super::problems::{At, duplicate, in_wasm, set, set_switch, words};
use super::values::{self, FailurePolicy};
use super::{WasmConf, artefacts, dispatch, engines, metrics, module, shm};

/// The least memory that a guest can have: one page of WebAssembly.
const PAGE: usize = 64 << 10;

/// Settings as they were written.
#[derive(Default)]
pub struct Settings {
    instances: Option<u32>,
    environ: Vec<Vec<u8>>,
    backtraces: Option<bool>,
    failure_policy: Option<FailurePolicy>,
    /// `Some(None)` is no limit.
    time_limit: Option<Option<Duration>>,
    start_limit: Option<Option<Duration>>,
    memory_limit: Option<u64>,
}

/// Every directive outside of `http {}`.
pub const DIRECTIVES: &[Directive] = &[
    Directive::new(c"wasm", Contexts::MAIN, Arity::Block, block),
    inside(c"module", Arity::Range(2, 5), |cf| in_wasm(cf, module::read)),
    inside(c"shm_kv", Arity::Range(2, 3), |cf| in_wasm(cf, shm::data)),
    inside(c"shm_queue", Arity::Range(2, 3), |cf| in_wasm(cf, shm::queue)),
    inside(c"engine", Arity::Exact(1), |cf| in_wasm(cf, engines::default_engine)),
    inside(c"compiler", Arity::Exact(1), |cf| in_wasm(cf, engines::default_compiler)),
    inside(c"cache_path", Arity::Exact(1), |cf| in_wasm(cf, artefacts::cache_path)),
    inside(c"instances", Arity::Exact(1), |cf| {
        in_wasm(cf, |cf, conf| set(cf, &mut conf.settings.instances, values::count))
    }),
    inside(c"environ", Arity::AtLeast(1), |cf| in_wasm(cf, environ)),
    inside(c"backtraces", Arity::Flag, |cf| in_wasm(cf, |cf, conf| set_switch(cf, &mut conf.settings.backtraces))),
    inside(c"proxy_wasm_failure_policy", Arity::Exact(1), |cf| {
        in_wasm(cf, |cf, conf| set(cf, &mut conf.settings.failure_policy, values::failure_policy))
    }),
    inside(c"proxy_wasm_time_limit", Arity::Exact(1), |cf| {
        in_wasm(cf, |cf, conf| set(cf, &mut conf.settings.time_limit, |value| limit(cf, value)))
    }),
    inside(c"proxy_wasm_start_limit", Arity::Exact(1), |cf| {
        in_wasm(cf, |cf, conf| set(cf, &mut conf.settings.start_limit, |value| limit(cf, value)))
    }),
    inside(c"proxy_wasm_memory_limit", Arity::Exact(1), |cf| {
        in_wasm(cf, |cf, conf| set(cf, &mut conf.settings.memory_limit, |value| memory(cf, value)))
    }),
    inside(c"resolver", Arity::AtLeast(1), |cf| in_wasm(cf, dispatch::resolver)),
    inside(c"resolver_timeout", Arity::Exact(1), |cf| in_wasm(cf, dispatch::resolver_timeout)),
    inside(c"resolver_add", Arity::Exact(2), |cf| in_wasm(cf, dispatch::global_host)),
    inside(c"socket_connect_timeout", Arity::Exact(1), |cf| in_wasm(cf, calls(dispatch::connect_timeout))),
    inside(c"socket_send_timeout", Arity::Exact(1), |cf| in_wasm(cf, calls(dispatch::send_timeout))),
    inside(c"socket_read_timeout", Arity::Exact(1), |cf| in_wasm(cf, calls(dispatch::read_timeout))),
    inside(c"socket_buffer_size", Arity::Exact(1), |cf| in_wasm(cf, calls(dispatch::buffer_size))),
    inside(c"socket_buffer_reuse", Arity::Flag, |cf| in_wasm(cf, calls(dispatch::buffer_reuse))),
    inside(c"socket_large_buffers", Arity::Exact(2), |cf| in_wasm(cf, calls(dispatch::large_buffers))),
    inside(c"tls_trusted_certificate", Arity::Exact(1), |cf| in_wasm(cf, dispatch::trusted_certificate)),
    inside(c"tls_verify_cert", Arity::Flag, |cf| in_wasm(cf, dispatch::verify_cert)),
    inside(c"tls_verify_host", Arity::Flag, |cf| in_wasm(cf, dispatch::verify_host)),
    inside(c"tls_no_verify_warn", Arity::Flag, |cf| in_wasm(cf, dispatch::no_verify_warn)),
    inside(c"proxy_wasm_log_dispatch_errors", Arity::Flag, |cf| in_wasm(cf, calls(dispatch::log_errors))),
    inside(c"proxy_wasm_dispatch_keepalive", Arity::Range(1, 2), |cf| in_wasm(cf, calls(dispatch::keepalive))),
    inside(c"proxy_wasm_dispatch_max_body", Arity::Exact(1), |cf| in_wasm(cf, calls(dispatch::max_body))),
    inside(c"proxy_wasm_lua_resolver", Arity::Flag, |cf| in_wasm(cf, calls(dispatch::lua_resolver))),
    inside(c"metrics", Arity::Block, metrics::block),
    in_metrics(c"slab_size", Arity::Exact(1), |cf| in_wasm(cf, metrics::slab_size)),
    in_metrics(c"max_metric_name_length", Arity::Exact(1), |cf| in_wasm(cf, metrics::longest_name)),
    in_metrics(c"histogram_buckets", Arity::AtLeast(1), |cf| in_wasm(cf, metrics::buckets)),
    inside(c"wasmtime", Arity::Block, |cf| engines::block(cf, "wasmtime", Contexts::WASM_WASMTIME)),
    inside(c"wasmer", Arity::Block, |cf| engines::block(cf, "wasmer", Contexts::WASM_WASMER)),
    inside(c"wasmi", Arity::Block, |cf| engines::block(cf, "wasmi", Contexts::WASM_WASMI)),
    inside(c"v8", Arity::Block, |cf| engines::block(cf, "v8", Contexts::WASM_V8)),
    flag(Contexts::WASM_WASMTIME, |cf| in_wasm(cf, |cf, conf| engines::flag(cf, conf, "wasmtime"))),
    flag(Contexts::WASM_WASMER, |cf| in_wasm(cf, |cf, conf| engines::flag(cf, conf, "wasmer"))),
    flag(Contexts::WASM_WASMI, |cf| in_wasm(cf, |cf, conf| engines::flag(cf, conf, "wasmi"))),
    flag(Contexts::WASM_V8, |cf| in_wasm(cf, |cf, conf| engines::flag(cf, conf, "v8"))),
    Directive::new(c"cache_config", Contexts::WASM_WASMTIME, Arity::Exact(1), |cf| {
        in_wasm(cf, |cf, conf| artefacts::cache_config(cf, conf, "wasmtime"))
    }),
    compiler(Contexts::WASM_WASMTIME, |cf| in_wasm(cf, |cf, conf| engines::compiler(cf, conf, "wasmtime"))),
    compiler(Contexts::WASM_WASMER, |cf| in_wasm(cf, |cf, conf| engines::compiler(cf, conf, "wasmer"))),
    compiler(Contexts::WASM_WASMI, |cf| in_wasm(cf, |cf, conf| engines::compiler(cf, conf, "wasmi"))),
];

type Handler = fn(Conf<'_>) -> Result<(), ConfError>;

const fn inside(name: &'static std::ffi::CStr, arity: Arity, handler: Handler) -> Directive {
    Directive::new(name, Contexts::WASM, arity, handler)
}

const fn in_metrics(name: &'static std::ffi::CStr, arity: Arity, handler: Handler) -> Directive {
    Directive::new(name, Contexts::WASM_METRICS, arity, handler)
}

const fn flag(contexts: Contexts, handler: Handler) -> Directive {
    Directive::new(c"flag", contexts, Arity::Exact(2), handler)
}

const fn compiler(contexts: Contexts, handler: Handler) -> Directive {
    Directive::new(c"compiler", contexts, Arity::Exact(1), handler)
}

/// The handler of a directive about calls that may stand on any level.
fn calls(handler: dispatch::Handler) -> impl FnOnce(Conf<'_>, &mut WasmConf) -> Result<(), String> {
    move |cf, conf| handler(cf, &mut conf.calls.settings)
}

/// `wasm { … }`. A second one is a mistake, and read all the same for those in it.
fn block(cf: Conf<'_>) -> Result<(), ConfError> {
    in_wasm(cf, |cf, conf| {
        if conf.block.is_some() {
            return Err(duplicate(cf));
        }
        conf.block = Some(At::of(cf));
        Ok(())
    })?;
    cf.parse_block(Contexts::WASM)?;
    in_wasm(cf, dispatch::default_resolver)
}

/// `environ NAME=VALUE …`
fn environ(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    for word in words(cf) {
        conf.settings.environ.push(values::environ(word)?.to_vec());
    }
    Ok(())
}

/// A time; 0 is no limit.
///
/// # Errors
/// The text of the mistake.
pub fn limit(cf: Conf<'_>, value: &[u8]) -> Result<Option<Duration>, String> {
    let time = cf.parse_time(value).ok_or_else(|| values::invalid(value))?;
    Ok(Some(time).filter(|time| !time.is_zero()))
}

/// `number size`, as bytes of all of them together; not 0.
///
/// # Errors
/// The text of the mistake.
pub fn buffers(cf: Conf<'_>) -> Result<usize, String> {
    let number = cf.arg(1).and_then(values::number);
    let size = cf.arg(2).and_then(|text| cf.parse_size(text));
    let bytes = number.zip(size).and_then(|(number, size)| number.checked_mul(size)).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "invalid number or size of buffers".to_owned())
}

fn memory(cf: Conf<'_>, value: &[u8]) -> Result<u64, String> {
    let size = cf.parse_size(value).ok_or_else(|| values::invalid(value))?;
    if size < PAGE {
        return Err(format!("{}: a guest needs {PAGE} bytes at least", values::invalid(value)));
    }
    u64::try_from(size).map_err(|_| values::invalid(value))
}

/// Puts what was written in the place of the defaults.
pub fn settle(conf: &mut WasmConf) {
    let settings = std::mem::take(&mut conf.settings);
    conf.environ = settings.environ.into();
    conf.instances = settings.instances.unwrap_or(conf.instances);
    conf.backtraces = settings.backtraces.unwrap_or(conf.backtraces);
    conf.failure_policy = settings.failure_policy.unwrap_or(conf.failure_policy);
    conf.time_limit = settings.time_limit.unwrap_or(conf.time_limit);
    conf.start_limit = settings.start_limit.unwrap_or(conf.start_limit);
    conf.memory_limit = settings.memory_limit.unwrap_or(conf.memory_limit);
}
