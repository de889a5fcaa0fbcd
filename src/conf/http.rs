//! Directives of `http {}`, its servers and locations: chains of filters and how they run.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use ngx::http::{BodyHandlers, Merge};
use ngx::{Arity, Conf, ConfError, Contexts, Directive, Failed};

use super::chain::{self, Chain};
use super::dispatch::{self, LocCalls};
use super::problems::{in_http, set, set_switch};
use super::values::{self, FailurePolicy, Isolation};
use super::{WasmConf, status, wasm_block};
use crate::proxy_wasm::host::PropertyFormat;
use crate::raw::Phase;
use crate::status::Format;

/// The http module's main configuration.
#[derive(Default)]
pub struct HttpConf {
    /// How content handlers want the body of a request.
    pub body_handlers: BodyHandlers,
}

/// A location's configuration.
#[derive(Default)]
pub struct LocConf {
    /// An empty one is `proxy_wasm off`.
    pub chain: Option<Arc<Chain>>,
    isolation: Option<Isolation>,
    headers_in_access: Option<bool>,
    postpone_rewrite: Option<bool>,
    postpone_access: Option<bool>,
    failure_policy: Option<FailurePolicy>,
    /// `Some(None)` is no limit.
    time_limit: Option<Option<Duration>>,
    property_format: Option<PropertyFormat>,
    /// Bytes.
    response_body_buffers: Option<usize>,
    headers_stop_alone: Option<bool>,
    pub(super) calls: LocCalls,
    /// `wasm_status`: not inherited, as nginx's content handlers are not.
    pub status: Option<Format>,
}

impl LocConf {
    pub fn isolation(&self) -> Isolation {
        self.isolation.unwrap_or_default()
    }

    /// Whether `on_request_headers` runs in the access phase rather than in rewrite.
    pub fn headers_in_access(&self) -> bool {
        self.headers_in_access.unwrap_or(false)
    }

    /// Whether what runs in a phase does so after all other handlers of that phase.
    pub fn postpones(&self, phase: Phase) -> bool {
        match phase {
            Phase::Rewrite => self.postpone_rewrite.unwrap_or(false),
            Phase::Access => self.postpone_access.unwrap_or(false),
            _ => false,
        }
    }

    pub fn failure_policy(&self, wasm: &WasmConf) -> FailurePolicy {
        self.failure_policy.unwrap_or(wasm.failure_policy)
    }

    /// The longest that one callback may run; `None` is no limit.
    pub fn time_limit(&self, wasm: &WasmConf) -> Option<Duration> {
        self.time_limit.unwrap_or(wasm.time_limit)
    }

    /// How many bytes of a response body a pause may collect.
    pub fn response_body_buffers(&self) -> usize {
        self.response_body_buffers.unwrap_or(4 * 4096)
    }

    /// Whether a pause in a headers callback holds the headers only.
    pub fn headers_stop_alone(&self) -> bool {
        self.headers_stop_alone.unwrap_or(false)
    }

    pub fn property_format(&self) -> PropertyFormat {
        self.property_format.unwrap_or_default()
    }
}

impl Merge for LocConf {
    fn merge(&mut self, parent: &Self, _: Conf<'_>) -> Result<(), Failed> {
        inherit(&mut self.chain, &parent.chain);
        inherit(&mut self.isolation, &parent.isolation);
        inherit(&mut self.headers_in_access, &parent.headers_in_access);
        inherit(&mut self.postpone_rewrite, &parent.postpone_rewrite);
        inherit(&mut self.postpone_access, &parent.postpone_access);
        inherit(&mut self.failure_policy, &parent.failure_policy);
        inherit(&mut self.time_limit, &parent.time_limit);
        inherit(&mut self.property_format, &parent.property_format);
        inherit(&mut self.response_body_buffers, &parent.response_body_buffers);
        inherit(&mut self.headers_stop_alone, &parent.headers_stop_alone);
        self.calls.inherit(&parent.calls);
        Ok(())
    }
}

/// Takes over what a level does not say itself.
pub fn inherit<T: Clone>(own: &mut Option<T>, parent: &Option<T>) {
    if own.is_none() {
        own.clone_from(parent);
    }
}

/// Every directive of `http {}`.
pub const DIRECTIVES: &[Directive] = &[
    anywhere(c"proxy_wasm", Arity::Range(1, 4), |cf| in_http(cf, chain::proxy_wasm)),
    anywhere(c"wasm_call", Arity::Exact(3), |cf| in_http(cf, chain::wasm_call)),
    anywhere(c"proxy_wasm_isolation", Arity::Exact(1), |cf| {
        in_http(cf, |cf, loc, _| set(cf, &mut loc.isolation, values::isolation))
    }),
    anywhere(c"proxy_wasm_request_headers_in_access", Arity::Flag, |cf| {
        in_http(cf, |cf, loc, _| set_switch(cf, &mut loc.headers_in_access))
    }),
    anywhere(c"wasm_postpone_rewrite", Arity::Flag, |cf| {
        in_http(cf, |cf, loc, _| set_switch(cf, &mut loc.postpone_rewrite))
    }),
    anywhere(c"wasm_postpone_access", Arity::Flag, |cf| {
        in_http(cf, |cf, loc, _| set_switch(cf, &mut loc.postpone_access))
    }),
    anywhere(c"proxy_wasm_failure_policy", Arity::Exact(1), |cf| {
        in_http(cf, |cf, loc, _| set(cf, &mut loc.failure_policy, values::failure_policy))
    }),
    anywhere(c"proxy_wasm_time_limit", Arity::Exact(1), |cf| in_http(cf, time_limit)),
    anywhere(c"proxy_wasm_property_format", Arity::Exact(1), |cf| {
        in_http(cf, |cf, loc, _| set(cf, &mut loc.property_format, values::property_format))
    }),
    anywhere(c"wasm_response_body_buffers", Arity::Exact(2), |cf| in_http(cf, response_body_buffers)),
    anywhere(c"proxy_wasm_allow_on_headers_stop_iteration", Arity::Flag, |cf| {
        in_http(cf, |cf, loc, _| set_switch(cf, &mut loc.headers_stop_alone))
    }),
    anywhere(c"resolver_add", Arity::Exact(2), |cf| in_http(cf, dispatch::host)),
    anywhere(c"wasm_socket_connect_timeout", Arity::Exact(1), |cf| in_http(cf, calls(dispatch::connect_timeout))),
    anywhere(c"wasm_socket_send_timeout", Arity::Exact(1), |cf| in_http(cf, calls(dispatch::send_timeout))),
    anywhere(c"wasm_socket_read_timeout", Arity::Exact(1), |cf| in_http(cf, calls(dispatch::read_timeout))),
    anywhere(c"wasm_socket_buffer_size", Arity::Exact(1), |cf| in_http(cf, calls(dispatch::buffer_size))),
    anywhere(c"wasm_socket_buffer_reuse", Arity::Flag, |cf| in_http(cf, calls(dispatch::buffer_reuse))),
    anywhere(c"wasm_socket_large_buffers", Arity::Exact(2), |cf| in_http(cf, calls(dispatch::large_buffers))),
    anywhere(c"proxy_wasm_log_dispatch_errors", Arity::Flag, |cf| in_http(cf, calls(dispatch::log_errors))),
    anywhere(c"proxy_wasm_dispatch_keepalive", Arity::Range(1, 2), |cf| in_http(cf, calls(dispatch::keepalive))),
    anywhere(c"proxy_wasm_dispatch_max_body", Arity::Exact(1), |cf| in_http(cf, calls(dispatch::max_body))),
    anywhere(c"proxy_wasm_lua_resolver", Arity::Flag, |cf| in_http(cf, calls(dispatch::lua_resolver))),
    Directive::new(c"wasm_status", Contexts::LOCATION, Arity::Range(0, 1), |cf| in_http(cf, status::read)),
];

const fn anywhere(name: &'static CStr, arity: Arity, handler: fn(Conf<'_>) -> Result<(), ConfError>) -> Directive {
    Directive::new(name, Contexts::HTTP.union(Contexts::SERVER).union(Contexts::LOCATION), arity, handler)
}

/// The handler of a directive about calls that may stand on any level.
fn calls(handler: dispatch::Handler) -> impl FnOnce(Conf<'_>, &mut LocConf, &mut WasmConf) -> Result<(), String> {
    move |cf, loc, _| handler(cf, &mut loc.calls.settings)
}

/// `wasm_response_body_buffers number size`
fn response_body_buffers(cf: Conf<'_>, loc: &mut LocConf, _: &mut WasmConf) -> Result<(), String> {
    set(cf, &mut loc.response_body_buffers, |_| wasm_block::buffers(cf))
}

fn time_limit(cf: Conf<'_>, loc: &mut LocConf, conf: &mut WasmConf) -> Result<(), String> {
    set(cf, &mut loc.time_limit, |value| wasm_block::limit(cf, value))?;
    conf.http_limits.extend(loc.time_limit.flatten());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_level_does_not_set_is_inherited() {
        let (mut own, mut unset) = (Some(1), None);
        inherit(&mut own, &Some(2));
        inherit(&mut unset, &Some(2));
        assert_eq!((own, unset), (Some(1), Some(2)));
    }

    #[test]
    fn wasm_settles_what_http_leaves_open() {
        let (wasm, loc) = (WasmConf::default(), LocConf::default());
        assert_eq!(loc.time_limit(&wasm), Some(Duration::from_secs(1)));
        assert_eq!(loc.failure_policy(&wasm), FailurePolicy::Closed);
        let unlimited = LocConf { time_limit: Some(None), ..LocConf::default() };
        assert_eq!(unlimited.time_limit(&wasm), None);
    }
}
