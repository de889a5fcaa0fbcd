//! HTTP calls from filters.

mod auth_example;
mod callers;
mod failures;
mod holds;
mod keepalive;
mod life;
mod load;
mod names;
mod pauses;
mod peers;
mod refused;
mod request;
mod response;
mod service;
mod timeouts;
mod tls;

use wasmx_t::{Lines, Nginx};

/// A statement that asks `upstream` for a path.
fn get(upstream: &str, path: &str) -> String {
    format!("call {upstream} 10000 :method=GET :path={path} :authority=peer.example")
}

/// Answers the client with what the last call brought: the body, or why there is none.
const TELL: &str = "call_response: answered quietly body call 0 2000000; answered reply 200 {it}
                    failed get call :dispatch_status; failed reply 502 {it}";

/// A location that makes calls and answers with what came back.
fn telling(nginx: Nginx, path: &str, calls: &str, lines: impl Lines) -> Nginx {
    nginx.script(path, &format!("request_headers: {calls}; pause; {TELL}"), lines)
}

/// The data of a filter in text form that asks `peer` for /x: the peer's name at 0, and headers at 256; and what calls it.
fn in_text_form(peer: &wasmx_t::Peer) -> (String, String) {
    let name = peer.name();
    let lengths = r"\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\02\00\00\00\0a\00\00\00\01\00\00\00";
    let headers = format!(r"{lengths}:method\00GET\00:path\00/x\00:authority\00a\00");
    let size = 4 + 3 * 8 + ":method GET :path /x :authority a ".len();
    let data = format!(r#"(data (i32.const 0) "{name}") (data (i32.const 256) "{headers}")"#);
    let call = format!(
        "(call $call (i32.const 0) (i32.const {}) (i32.const 256) (i32.const {size}) (i32.const 0) (i32.const 0)
           (i32.const 0) (i32.const 0) (i32.const 10000) (i32.const 1024))",
        name.len()
    );
    (data, call)
}
