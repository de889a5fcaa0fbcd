//! The handlers of the directives.

use std::fs::File;
use std::time::Duration;

use ngx::Conf;
use ngx::process::{self, Kind};
use ngx::ssl::Client;

use super::CallSettings;
use super::hosts::{self, Address};
use crate::conf::problems::{At, duplicate, set, set_switch, system, words};
use crate::conf::wasm_block;
use crate::conf::{LocConf, WasmConf, values};

/// The name server when nobody names one.
const DEFAULT_RESOLVER: &[u8] = b"8.8.8.8";
/// How long a connection may be idle, when only their number is given.
const IDLE: Duration = Duration::from_secs(60);

/// The handler of a directive that may stand on any level.
pub type Handler = fn(Conf<'_>, &mut CallSettings) -> Result<(), String>;

/// `resolver ADDRESS … [valid=TIME] [ipv4=on|off] [ipv6=on|off]`
pub fn resolver(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    if std::mem::replace(&mut conf.calls.resolver_named, true) {
        return Err(duplicate(cf));
    }
    match cf.create_resolver(&words(cf)) {
        Ok(resolver) => conf.calls.resolver = Some(resolver),
        Err(_) => conf.problems.told(),
    }
    Ok(())
}

/// At the end of `wasm {}`: the resolver of a block that names none.
pub fn default_resolver(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    // The end of a second block, which is a mistake, finds that of the first.
    if !conf.calls.resolver_named && conf.calls.resolver.is_none() {
        match cf.create_resolver(&[DEFAULT_RESOLVER]) {
            Ok(resolver) => conf.calls.resolver = Some(resolver),
            Err(_) => conf.problems.told(),
        }
    }
    Ok(())
}

/// `resolver_timeout TIME`
pub fn resolver_timeout(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    set(cf, &mut conf.calls.resolver_timeout, |value| time(cf, value))
}

/// `resolver_add ADDRESS HOST` in `wasm {}`
pub fn global_host(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    let (host, address) = known(cf)?;
    conf.calls.hosts.add(host, address);
    Ok(())
}

/// `resolver_add ADDRESS HOST` in `http {}`
pub fn host(cf: Conf<'_>, loc: &mut LocConf, conf: &mut WasmConf) -> Result<(), String> {
    let (host, address) = known(cf)?;
    loc.calls.add_host(conf, host, address);
    conf.calls.http_hosts.add(host, address);
    Ok(())
}

fn known<'a>(cf: Conf<'a>) -> Result<(&'a [u8], Address), String> {
    let address = hosts::address(cf.arg(1).unwrap_or_default())?;
    Ok((hosts::host(cf.arg(2).unwrap_or_default())?, address))
}

/// `socket_connect_timeout TIME`
pub fn connect_timeout(cf: Conf<'_>, calls: &mut CallSettings) -> Result<(), String> {
    set(cf, &mut calls.connect_timeout, |value| time(cf, value))
}

/// `socket_send_timeout TIME`
pub fn send_timeout(cf: Conf<'_>, calls: &mut CallSettings) -> Result<(), String> {
    set(cf, &mut calls.send_timeout, |value| time(cf, value))
}

/// `socket_read_timeout TIME`
pub fn read_timeout(cf: Conf<'_>, calls: &mut CallSettings) -> Result<(), String> {
    set(cf, &mut calls.read_timeout, |value| time(cf, value))
}

/// `socket_buffer_size SIZE`
pub fn buffer_size(cf: Conf<'_>, calls: &mut CallSettings) -> Result<(), String> {
    set(cf, &mut calls.buffer_size, |value| {
        cf.parse_size(value).filter(|&size| size > 0).ok_or_else(|| values::invalid(value))
    })
}

/// `socket_buffer_reuse on|off`
pub fn buffer_reuse(cf: Conf<'_>, calls: &mut CallSettings) -> Result<(), String> {
    set_switch(cf, &mut calls.buffer_reuse)
}

/// `socket_large_buffers NUMBER SIZE`
pub fn large_buffers(cf: Conf<'_>, calls: &mut CallSettings) -> Result<(), String> {
    set(cf, &mut calls.large_buffers, |_| wasm_block::buffers(cf))
}

/// `proxy_wasm_log_dispatch_errors on|off`
pub fn log_errors(cf: Conf<'_>, calls: &mut CallSettings) -> Result<(), String> {
    set_switch(cf, &mut calls.log_errors)
}

/// `proxy_wasm_dispatch_keepalive NUMBER [TIME]`
pub fn keepalive(cf: Conf<'_>, calls: &mut CallSettings) -> Result<(), String> {
    set(cf, &mut calls.keepalive, |value| {
        let number = values::number(value).ok_or_else(|| values::invalid(value))?;
        Ok((number, cf.arg(2).map_or(Ok(IDLE), |value| time(cf, value))?))
    })
}

/// `proxy_wasm_dispatch_max_body SIZE`; 0 is no limit, as nginx's `client_max_body_size` has it.
pub fn max_body(cf: Conf<'_>, calls: &mut CallSettings) -> Result<(), String> {
    set(cf, &mut calls.max_body, |value| {
        let size = cf.parse_size(value).ok_or_else(|| values::invalid(value))?;
        Ok(if size == 0 { usize::MAX } else { size })
    })
}

/// `proxy_wasm_lua_resolver on|off`
pub fn lua_resolver(cf: Conf<'_>, calls: &mut CallSettings) -> Result<(), String> {
    set_switch(cf, &mut calls.lua_resolver)?;
    match calls.lua_resolver {
        Some(true) => Err("[wasm] proxy_wasm_lua_resolver requires lua support".to_owned()),
        _ => Ok(()),
    }
}

/// `tls_trusted_certificate PATH`
pub fn trusted_certificate(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    set(cf, &mut conf.calls.trusted, |path| {
        if path.is_empty() {
            return Ok(None);
        }
        if !Client::is_supported() {
            return Err("[wasm] tls_trusted_certificate requires an nginx with TLS".to_owned());
        }
        let path = cf.full_path(path);
        if process::kind() != Kind::Signaller {
            File::open(&path)
                .map_err(|error| format!("[wasm] open() \"{}\" failed {}", path.display(), system(&error)))?;
        }
        Ok(Some((path, At::of(cf))))
    })
}

/// `tls_verify_cert on|off`
pub fn verify_cert(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    set_switch(cf, &mut conf.calls.verify_cert)
}

/// `tls_verify_host on|off`
pub fn verify_host(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    set_switch(cf, &mut conf.calls.verify_host)
}

/// `tls_no_verify_warn on|off`
pub fn no_verify_warn(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    set_switch(cf, &mut conf.calls.no_verify_warn)
}

fn time(cf: Conf<'_>, value: &[u8]) -> Result<Duration, String> {
    cf.parse_time(value).ok_or_else(|| values::invalid(value))
}
