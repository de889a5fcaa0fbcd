//! HTTP calls from filters.

mod auth_example;
mod callers;
mod failures;
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
