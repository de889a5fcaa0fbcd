//! Replaces a text in the body of the response, whatever its length. The configuration is `FROM=TO`.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_context_id| Box::new(Root::default()));
}}

/// Lives as long as the worker; reads the configuration once.
#[derive(Default)]
struct Root {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Context for Root {}

impl RootContext for Root {
    /// A configuration that is no `FROM=TO` is refused, and `nginx -t` says so.
    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        let mut parts = configuration.splitn(2, |&byte| byte == b'=').map(<[u8]>::to_vec);
        (self.from, self.to) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        !self.from.is_empty()
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(RewriteBody { from: self.from.clone(), to: self.to.clone(), held: Vec::new() }))
    }
}

/// Lives as long as its request.
struct RewriteBody {
    from: Vec<u8>,
    to: Vec<u8>,
    /// The end of the last chunk, in which FROM may have begun.
    held: Vec<u8>,
}

impl Context for RewriteBody {}

impl HttpContext for RewriteBody {
    /// Compressed bytes can't be searched: ask the upstream for plain ones.
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        self.set_http_request_header("accept-encoding", None);
        Action::Continue
    }

    /// The length will change: drop it, and nginx sends the body in chunks.
    fn on_http_response_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        self.set_http_response_header("content-length", None);
        Action::Continue
    }

    /// The body comes in chunks, as nginx gets it, and goes on as it is changed: nothing waits for its end.
    fn on_http_response_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        if let Some(chunk) = self.get_http_response_body(0, body_size) {
            self.held.extend(chunk);
        }
        let changed = self.replace(end_of_stream);
        self.set_http_response_body(0, body_size, &changed);
        Action::Continue
    }
}

impl RewriteBody {
    /// Takes what is held, changed, but for the last bytes in which FROM may begin to show.
    fn replace(&mut self, all: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len());
        let mut rest = self.held.as_slice();
        while rest.len() >= self.from.len() {
            if let Some(after) = rest.strip_prefix(self.from.as_slice()) {
                out.extend_from_slice(&self.to);
                rest = after;
            } else {
                out.push(rest[0]);
                rest = &rest[1..];
            }
        }
        if all {
            out.extend_from_slice(rest);
            rest = &[];
        }
        self.held = rest.to_vec();
        out
    }
}
