//! Statements of HTTP and gRPC calls.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use proxy_wasm::hostcalls;

use crate::host::given;
use crate::program::{bytes, number, word};

// What the SDK does not do, or does otherwise: it panics at statuses that it does not expect.
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_http_call(
        upstream: *const u8,
        upstream_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_grpc_send(token: u32, message: *const u8, message_size: usize, end: u32) -> u32;
    fn proxy_grpc_cancel(token: u32) -> u32;
    fn proxy_grpc_close(token: u32) -> u32;
    fn proxy_get_status(code: *mut u32, data: *mut *mut u8, size: *mut usize) -> u32;
}

thread_local! {
    /// The calls of all contexts that are not answered yet: which context, what name, what token.
    static CALLS: RefCell<HashMap<u32, (u32, String)>> = RefCell::default();
}

/// What a callback of a call is about.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub name: String,
    pub headers: usize,
    pub trailers: usize,
    /// The status of a gRPC call that ended.
    pub status: u32,
}

/// Whether a statement is one of these:
///
/// `call UPSTREAM TIMEOUT NAME=VALUE ... [| BODY [| NAME=VALUE ...]]`: headers, body, trailers; TIMEOUT in milliseconds.
/// `call_raw UPSTREAM TIMEOUT HEADERS [| BODY [| TRAILERS]]`, with maps in their wire form: for what is refused.
/// `call_status`: its code and text. The answer comes in `call_response`, in the context that called, where `{call}` is
/// the call's `:path`, `{headers}`, `{size}` and `{trailers}` are the numbers that the callback got, map and buffer
/// `call` have the answer, map `call_trailers` its trailers; `answered STATEMENT`, `failed STATEMENT` and
/// `of NAME STATEMENT` are conditions.
///
/// `grpc_call NAME UPSTREAM TIMEOUT SERVICE METHOD [METADATA=VALUE ...] [| MESSAGE]`,
/// `grpc_stream NAME UPSTREAM SERVICE METHOD [METADATA=VALUE ...]`,
/// `grpc_send NAME MESSAGE`, `grpc_send_last NAME MESSAGE` (which ends the sending), `grpc_cancel NAME`, `grpc_close NAME`;
/// NAME may be a token's number. Answers come in `grpc_initial`, `grpc_message`, `grpc_trailing` and `grpc_close`, where
/// `{call}` is NAME, `{status}` the status of `grpc_close`; maps `grpc_initial` and `grpc_trailing` and buffer `grpc` have
/// the rest. The SDK has no initial or trailing metadata for `grpc_call`, and of its end no more than one callback.
///
/// UPSTREAM `-` is no name. A body or message `fill N` is N bytes. Everywhere `%XX` is a byte.
pub fn knows(verb: &str) -> bool {
    matches!(
        verb,
        "call"
            | "call_raw"
            | "call_status"
            | "grpc_call"
            | "grpc_stream"
            | "grpc_send"
            | "grpc_send_last"
            | "grpc_cancel"
            | "grpc_close"
    )
}

/// The statements that give something.
pub const GIVING: [&str; 1] = ["call_status"];

/// Runs one for a context: the status, and what it gives.
pub fn run(context: u32, verb: &str, rest: &str) -> (u32, Vec<u8>) {
    match verb {
        "call" => (http(context, rest), Vec::new()),
        "call_raw" => (raw(rest), Vec::new()),
        "call_status" => status(),
        "grpc_call" => (grpc_call(context, rest), Vec::new()),
        "grpc_stream" => (grpc_stream(context, rest), Vec::new()),
        "grpc_send" | "grpc_send_last" => {
            let (name, message) = word(rest);
            let message = content(message);
            let end = u32::from(verb == "grpc_send_last");
            // SAFETY: address and size are those of `message`.
            (unsafe { proxy_grpc_send(token(context, name), message.as_ptr(), message.len(), end) }, Vec::new())
        }
        // SAFETY: neither takes an address.
        "grpc_cancel" => (unsafe { proxy_grpc_cancel(token(context, rest)) }, Vec::new()),
        // SAFETY: as above.
        _ => (unsafe { proxy_grpc_close(token(context, rest)) }, Vec::new()),
    }
}

/// The call of a token that is told of, and no more after it if it is the `last`.
pub fn of(token: u32, last: bool) -> Call {
    let known = CALLS.with_borrow_mut(|calls| if last { calls.remove(&token) } else { calls.get(&token).cloned() });
    Call { name: known.map_or_else(|| format!("unknown {token}"), |(_, name)| name), ..Call::default() }
}

fn http(context: u32, rest: &str) -> u32 {
    let (upstream, rest) = word(rest);
    let (timeout, rest) = number(rest);
    let (headers, body, trailers) = parts(rest);
    let (headers, trailers) = (pairs(headers), pairs(trailers));
    let name = headers.iter().find(|(name, _)| name == ":path").map_or("", |(_, path)| path);
    let body = body.map(content);
    let sent = hostcalls::dispatch_http_call(
        &self::upstream(upstream),
        borrowed(&headers),
        body.as_deref(),
        borrowed(&trailers),
        Duration::from_millis(timeout.into()),
    );
    keep(context, name, sent)
}

fn raw(rest: &str) -> u32 {
    let (upstream, rest) = word(rest);
    let (timeout, rest) = number(rest);
    let (headers, body, trailers) = parts(rest);
    let (upstream, headers, trailers) = (self::upstream(upstream), bytes(headers), bytes(trailers));
    let body = body.map(content).unwrap_or_default();
    let mut token = 0;
    // SAFETY: addresses and sizes are those of `upstream`, `headers`, `body` and `trailers`, the last of a variable.
    unsafe {
        proxy_http_call(
            upstream.as_ptr(),
            upstream.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout,
            &mut token,
        )
    }
}

fn status() -> (u32, Vec<u8>) {
    let mut code = 0;
    // SAFETY: the addresses are those of variables.
    let (status, message) = given(|data, size| unsafe { proxy_get_status(&mut code, data, size) });
    (status, [code.to_string().as_bytes(), b" ", &message].concat())
}

fn grpc_call(context: u32, rest: &str) -> u32 {
    let (name, rest) = word(rest);
    let (upstream, rest) = word(rest);
    let (timeout, rest) = number(rest);
    let (service, rest) = word(rest);
    let (method, rest) = word(rest);
    let (metadata, message, _) = parts(rest);
    let (metadata, message) = (binary_pairs(metadata), message.map(content));
    let sent = hostcalls::dispatch_grpc_call(
        &self::upstream(upstream),
        service,
        method,
        metadata.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect(),
        message.as_deref(),
        Duration::from_millis(timeout.into()),
    );
    keep(context, name, sent)
}

fn grpc_stream(context: u32, rest: &str) -> u32 {
    let (name, rest) = word(rest);
    let (upstream, rest) = word(rest);
    let (service, rest) = word(rest);
    let (method, metadata) = word(rest);
    let metadata = binary_pairs(metadata);
    let metadata = metadata.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    keep(context, name, hostcalls::open_grpc_stream(&self::upstream(upstream), service, method, metadata))
}

fn keep(context: u32, name: &str, sent: Result<u32, proxy_wasm::types::Status>) -> u32 {
    match sent {
        Ok(token) => {
            CALLS.with_borrow_mut(|calls| calls.insert(token, (context, name.to_owned())));
            0
        }
        Err(status) => status as u32,
    }
}

/// The token of a call by its name in this context, or in another one if it has none of that name, or by its number.
fn token(context: u32, name: &str) -> u32 {
    if let Ok(token) = name.parse() {
        return token;
    }
    CALLS.with_borrow(|calls| {
        let mut named = calls.iter().filter(|(_, (_, known))| known == name).map(|(token, (of, _))| (*of, *token));
        let first = named.next();
        let own = first.into_iter().chain(named).max_by_key(|(of, token)| (*of == context, *token));
        own.map_or(u32::MAX, |(_, token)| token)
    })
}

/// What stands before and after the first bar; after one at the end, nothing.
fn parted(text: &str) -> Option<(&str, &str)> {
    text.split_once(" | ").or_else(|| Some((text.strip_suffix(" |")?, "")))
}

/// Up to two ` | ` part what is sent.
fn parts(rest: &str) -> (&str, Option<&str>, &str) {
    // With nothing before the first, its blank is gone; with nothing at all, both are.
    if rest == "|" {
        return ("", Some(""), "");
    }
    let rest = if let Some(after) = rest.strip_prefix("| ") { return split("", after) } else { rest };
    match parted(rest) {
        Some((first, after)) => split(first, after),
        None => (rest, None, ""),
    }
}

fn split<'a>(first: &'a str, after: &'a str) -> (&'a str, Option<&'a str>, &'a str) {
    match parted(after) {
        Some((body, trailers)) => (first, Some(body), trailers),
        None => (first, Some(after), ""),
    }
}

fn content(text: &str) -> Vec<u8> {
    match text.strip_prefix("fill ").and_then(|size| size.trim().parse().ok()) {
        Some(size) => vec![b'x'; size],
        None => bytes(text),
    }
}

/// `-` is none.
fn upstream(escaped: &str) -> String {
    if escaped == "-" { String::new() } else { text(escaped) }
}

fn text(escaped: &str) -> String {
    String::from_utf8_lossy(&bytes(escaped)).into_owned()
}

fn binary_pairs(named: &str) -> Vec<(String, Vec<u8>)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (text(name), bytes(value))
    };
    named.split_whitespace().map(pair).collect()
}

fn pairs(named: &str) -> Vec<(String, String)> {
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    binary_pairs(named).into_iter().map(|(name, value)| (name, text(value))).collect()
}

fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
