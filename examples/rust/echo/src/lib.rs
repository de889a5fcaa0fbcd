//! Answers every request with what it was, as JSON: to see what arrives at an upstream, without one. No configuration.
//!
//! ```json
//! {"method":"POST","path":"/a?b=c","headers":{"host":"example.org","x-twice":["1","2"]},"body":"text"}
//! ```

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};
use serde_json::{Map, Value, json};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_http_context(|_context_id, _root_id| Box::new(Echo));
}}

struct Echo;

impl Context for Echo {}

impl HttpContext for Echo {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        if end_of_stream { self.answer(b"") } else { Action::Continue }
    }

    /// nginx gives the body whole, unless `proxy_request_buffering off` has it come in parts: then a pause collects them.
    fn on_http_request_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        if !end_of_stream {
            return Action::Pause;
        }
        self.answer(&self.get_http_request_body(0, body_size).unwrap_or_default())
    }
}

impl Echo {
    fn answer(&self, body: &[u8]) -> Action {
        let answer = json!({
            "method": self.header(":method"),
            "path": self.header(":path"),
            "headers": self.headers(),
            // JSON is text: bytes that are none are replaced.
            "body": text(body),
        });
        let headers = vec![("content-type", "application/json"), ("cache-control", "no-store")];
        self.send_http_response(200, headers, Some(format!("{answer}\n").as_bytes()));
        Action::Pause
    }

    /// As bytes: what a client sends need not be UTF-8, and the SDK panics where it asks for text and gets none.
    fn header(&self, name: &str) -> String {
        text(&self.get_http_request_header_bytes(name).unwrap_or_default())
    }

    /// A name with several values has an array of them.
    fn headers(&self) -> Map<String, Value> {
        let mut headers = Map::new();
        for (name, value) in self.get_http_request_headers_bytes() {
            // What begins with a colon is the request line, in which HTTP/2 has its headers.
            if name.starts_with(':') {
                continue;
            }
            let value = Value::from(text(&value));
            match headers.get_mut(&name) {
                None => drop(headers.insert(name, value)),
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        headers
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
