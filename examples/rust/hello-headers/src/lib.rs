//! Adds a header to the request that the upstream sees, and one to the response that the client sees.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    // The filter needs no configuration, so it needs no root context: one HttpContext for each request is enough.
    proxy_wasm::set_http_context(|_context_id, _root_id| Box::new(HelloHeaders));
}}

struct HelloHeaders;

impl Context for HelloHeaders {}

impl HttpContext for HelloHeaders {
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        self.set_http_request_header("x-hello", Some("upstream"));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        self.set_http_response_header("x-hello", Some("client"));
        Action::Continue
    }
}
