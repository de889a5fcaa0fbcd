//! How calls of filters are made: sockets, names, TLS, limits.
//!
//! Each level says what it says ([`CallSettings`]); what holds for a call is settled when it is made
//! ([`LocConf::dispatch`]), since `http {}` may stand before `wasm {}`.

mod directives;
mod hosts;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ngx::Cycle;
use ngx::process::{self, Kind};
use ngx::resolver::Resolver;
use ngx::ssl::Client;

pub use self::directives::*;
use self::hosts::List;
pub use self::hosts::{Address, Hosts};
use super::WasmConf;
use super::http::{LocConf, inherit};
use super::problems::At;

/// How calls of filters are made, settled for a location or for root contexts. A time of 0 is over at once, as nginx's
/// are.
#[derive(Clone, Debug)]
pub struct DispatchConf {
    pub connect_timeout: Duration,
    /// Between two writes.
    pub send_timeout: Duration,
    /// Between two reads.
    pub read_timeout: Duration,
    /// The most bytes of a response's header: one buffer and all large ones.
    pub header_limit: usize,
    /// Bytes; not 0.
    pub buffer_size: usize,
    /// The most idle connections to a peer; 0 is none.
    pub keepalive: usize,
    /// How long a connection may be idle.
    pub keepalive_time: Duration,
    /// The most bytes of a response's body; no limit is `usize::MAX`.
    pub max_body: usize,
    /// Whether a failed call is logged.
    pub log_errors: bool,
    /// The location's, then the global ones.
    pub hosts: Arc<Hosts>,
}

/// What holds for calls of the whole worker.
pub struct DispatchMain {
    /// Where there is no other: `Some` once a `wasm {}` was read without a mistake.
    pub resolver: Option<Resolver>,
    /// For [`DispatchMain::resolver`].
    pub resolver_timeout: Duration,
    pub tls: Tls,
    /// What holds where `http {}` says nothing.
    defaults: DispatchConf,
    /// The global hosts, from `init_conf` on.
    global: Arc<OnceLock<List>>,
}

/// TLS to peers.
#[derive(Clone, Copy, Default)]
pub struct Tls {
    /// `None` in an nginx without TLS.
    pub client: Option<Client>,
    /// Whether the peer's certificate has to be signed by somebody who is trusted.
    pub verify_cert: bool,
    /// Whether the peer's certificate has to be for the host of the call.
    pub verify_host: bool,
    /// Whether nothing is said when one of the two is not looked at.
    pub no_verify_warn: bool,
}

impl Default for DispatchMain {
    fn default() -> Self {
        let (minute, global) = (Duration::from_secs(60), Arc::default());
        let defaults = DispatchConf {
            connect_timeout: minute,
            send_timeout: minute,
            read_timeout: minute,
            header_limit: 1024 + 4 * 8192,
            buffer_size: 1024,
            keepalive: 32,
            keepalive_time: minute,
            max_body: 10 << 20,
            log_errors: true,
            hosts: Arc::new(Hosts::new(&global)),
        };
        Self { resolver: None, resolver_timeout: Duration::from_secs(30), tls: Tls::default(), defaults, global }
    }
}

/// What a level says of calls.
#[derive(Default)]
pub struct CallSettings {
    connect_timeout: Option<Duration>,
    send_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
    /// Bytes.
    buffer_size: Option<usize>,
    /// Bytes of all of them.
    large_buffers: Option<usize>,
    /// Without effect: a connection's buffers live as long as it does.
    buffer_reuse: Option<bool>,
    keepalive: Option<(usize, Duration)>,
    max_body: Option<usize>,
    log_errors: Option<bool>,
    /// Always off.
    lua_resolver: Option<bool>,
}

/// What a level of `http {}` says of calls.
#[derive(Default)]
pub struct LocCalls {
    pub(super) settings: CallSettings,
    hosts: Option<Arc<Hosts>>,
}

/// What `wasm {}` says of calls, as it was written.
#[derive(Default)]
pub struct MainCalls {
    pub(super) settings: CallSettings,
    /// Whether `wasm {}` names one, be it a bad one.
    resolver_named: bool,
    resolver: Option<Resolver>,
    resolver_timeout: Option<Duration>,
    /// Of `wasm {}`.
    hosts: List,
    /// Of all levels of `http {}`.
    http_hosts: List,
    /// `Some(None)` is the empty path: no file.
    trusted: Option<Option<(PathBuf, At)>>,
    verify_cert: Option<bool>,
    verify_host: Option<bool>,
    no_verify_warn: Option<bool>,
}

impl CallSettings {
    fn inherit(&mut self, parent: &Self) {
        inherit(&mut self.connect_timeout, &parent.connect_timeout);
        inherit(&mut self.send_timeout, &parent.send_timeout);
        inherit(&mut self.read_timeout, &parent.read_timeout);
        inherit(&mut self.buffer_size, &parent.buffer_size);
        inherit(&mut self.large_buffers, &parent.large_buffers);
        inherit(&mut self.keepalive, &parent.keepalive);
        inherit(&mut self.max_body, &parent.max_body);
        inherit(&mut self.log_errors, &parent.log_errors);
    }

    /// What holds where this is said and `outer` holds around it, with the hosts given.
    fn within(&self, outer: &DispatchConf, hosts: Arc<Hosts>) -> DispatchConf {
        let buffer_size = self.buffer_size.unwrap_or(outer.buffer_size);
        let large_buffers = self.large_buffers.unwrap_or(outer.header_limit.saturating_sub(outer.buffer_size));
        let (keepalive, keepalive_time) = self.keepalive.unwrap_or((outer.keepalive, outer.keepalive_time));
        DispatchConf {
            connect_timeout: self.connect_timeout.unwrap_or(outer.connect_timeout),
            send_timeout: self.send_timeout.unwrap_or(outer.send_timeout),
            read_timeout: self.read_timeout.unwrap_or(outer.read_timeout),
            header_limit: buffer_size.saturating_add(large_buffers),
            buffer_size,
            keepalive,
            keepalive_time,
            max_body: self.max_body.unwrap_or(outer.max_body),
            log_errors: self.log_errors.unwrap_or(outer.log_errors),
            hosts,
        }
    }
}

impl LocCalls {
    fn add_host(&mut self, wasm: &WasmConf, host: &[u8], address: Address) {
        let hosts = self.hosts.get_or_insert_with(|| Arc::new(Hosts::new(&wasm.dispatch.global)));
        // Nobody shares them while their level is being read.
        Arc::make_mut(hosts).add(host, address);
    }

    pub fn inherit(&mut self, parent: &Self) {
        self.settings.inherit(&parent.settings);
        match (&mut self.hosts, &parent.hosts) {
            // Nobody shares them before they are merged.
            (Some(own), Some(outer)) => Arc::make_mut(own).inherit(outer),
            (own, outer) => inherit(own, outer),
        }
    }
}

impl LocConf {
    /// How calls from this location are made.
    pub fn dispatch(&self, wasm: &WasmConf) -> DispatchConf {
        let defaults = &wasm.dispatch.defaults;
        self.calls.settings.within(defaults, self.calls.hosts.as_ref().unwrap_or(&defaults.hosts).clone())
    }
}

impl WasmConf {
    /// How calls from root contexts are made.
    pub fn dispatch(&self) -> DispatchConf {
        self.dispatch.defaults.clone()
    }
}

/// Puts what was written in the place of the defaults, and makes the TLS client.
pub fn settle(cycle: Cycle<'_>, conf: &mut WasmConf) {
    let mut calls = std::mem::take(&mut conf.calls);
    let main = &mut conf.dispatch;
    main.resolver = calls.resolver;
    main.resolver_timeout = calls.resolver_timeout.unwrap_or(main.resolver_timeout);
    main.tls.verify_cert = calls.verify_cert.unwrap_or(false);
    main.tls.verify_host = calls.verify_host.unwrap_or(false);
    main.tls.no_verify_warn = calls.no_verify_warn.unwrap_or(false);
    main.defaults = calls.settings.within(&main.defaults, main.defaults.hosts.clone());
    calls.hosts.inherit(&calls.http_hosts);
    // The only place where they are set.
    _ = main.global.set(calls.hosts);
    // In `nginx -s` nobody calls, and a file that is gone is no reason not to stop a server.
    if conf.block.is_some() && Client::is_supported() && process::kind() != Kind::Signaller {
        open_tls(cycle, conf, calls.trusted.flatten());
    }
}

/// Makes the TLS client. `trusted` is a file in PEM.
fn open_tls(cycle: Cycle<'_>, conf: &mut WasmConf, trusted: Option<(PathBuf, At)>) {
    let path = trusted.as_ref().map(|(path, _)| path.as_os_str().as_encoded_bytes());
    match (Client::new(cycle, path), &trusted) {
        (Ok(client), _) => conf.dispatch.tls.client = Some(client),
        (Err(_), Some((path, at))) => {
            let text = format_args!("[wasm] failed loading trusted certificates \"{}\"", path.display());
            conf.problems.tell(cycle.log(), at, text);
        }
        (Err(_), None) => conf.problems.told(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let (wasm, loc) = (WasmConf::default(), LocConf::default());
        for calls in [wasm.dispatch(), loc.dispatch(&wasm)] {
            let times = [calls.connect_timeout, calls.send_timeout, calls.read_timeout, calls.keepalive_time];
            assert_eq!(times, [Duration::from_secs(60); 4]);
            assert_eq!((calls.buffer_size, calls.header_limit), (1024, 1024 + 4 * 8192));
            assert_eq!((calls.keepalive, calls.max_body, calls.log_errors), (32, 10 << 20, true));
        }
        assert_eq!(wasm.dispatch.resolver_timeout, Duration::from_secs(30));
    }

    #[test]
    fn a_location_says_it_then_the_levels_around_it_then_wasm() {
        let mut wasm = WasmConf::default();
        let said = CallSettings {
            connect_timeout: Some(SECOND),
            send_timeout: Some(SECOND),
            read_timeout: Some(SECOND),
            large_buffers: Some(100),
            ..CallSettings::default()
        };
        wasm.dispatch.defaults = said.within(&wasm.dispatch.defaults, wasm.dispatch.defaults.hosts.clone());
        let mut server = LocConf::default();
        server.calls.settings.send_timeout = Some(SECOND * 2);
        server.calls.settings.read_timeout = Some(SECOND * 2);
        let mut loc = LocConf::default();
        loc.calls.settings.read_timeout = Some(SECOND * 3);
        loc.calls.settings.buffer_size = Some(10);
        loc.calls.inherit(&server.calls);
        let calls = loc.dispatch(&wasm);
        assert_eq!([calls.connect_timeout, calls.send_timeout, calls.read_timeout], [SECOND, SECOND * 2, SECOND * 3]);
        assert_eq!(calls.header_limit, 110);
        assert_eq!(wasm.dispatch().header_limit, 1124);
    }

    #[test]
    fn hosts_are_those_of_the_location_and_global_ones() {
        let wasm = WasmConf::default();
        let address = |text: &str| hosts::address(text.as_bytes()).unwrap();
        let mut server = LocConf::default();
        let mut loc = LocConf::default();
        server.calls.add_host(&wasm, b"server", address("1.1.1.1"));
        loc.calls.inherit(&server.calls);
        let mut nested = LocConf::default();
        nested.calls.add_host(&wasm, b"nested", address("2.2.2.2"));
        nested.calls.inherit(&loc.calls);
        let mut global = List::default();
        global.add(b"global", address("3.3.3.3"));
        wasm.dispatch.global.set(global).unwrap();
        let known =
            |calls: &DispatchConf| ["nested", "server", "global"].map(|h| calls.hosts.addresses(h.as_bytes()).len());
        assert_eq!(known(&nested.dispatch(&wasm)), [1, 1, 1]);
        assert_eq!(known(&loc.dispatch(&wasm)), [0, 1, 1]);
        assert_eq!(known(&LocConf::default().dispatch(&wasm)), [0, 0, 1]);
        assert_eq!(known(&wasm.dispatch()), [0, 0, 1]);
    }
}
