//! Lets a request pass only with the right `x-api-key` header: none is answered with 401, a wrong one with 403, both in
//! JSON and without asking the upstream. The configuration is the key.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_context_id| Box::new(Root { key: Rc::from("") }));
}}

struct Root {
    key: Rc<str>,
}

impl Context for Root {}

impl RootContext for Root {
    /// Without a key the filter would let nobody in, or everybody: it refuses to start.
    fn on_configure(&mut self, _size: usize) -> bool {
        let Some(key) = self.get_plugin_configuration().and_then(|bytes| String::from_utf8(bytes).ok()) else {
            log::error!("the configuration must be the key");
            return false;
        };
        self.key = key.into();
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(ApiKey { key: self.key.clone() }))
    }
}

struct ApiKey {
    key: Rc<str>,
}

impl Context for ApiKey {}

impl HttpContext for ApiKey {
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        match self.get_http_request_header("x-api-key") {
            Some(given) if same(given.as_bytes(), self.key.as_bytes()) => {
                // The upstream has no use for the key.
                self.set_http_request_header("x-api-key", None);
                Action::Continue
            }
            Some(_) => self.refuse(403, "wrong key"),
            None => self.refuse(401, "no x-api-key header"),
        }
    }
}

impl ApiKey {
    fn refuse(&self, status: u32, why: &str) -> Action {
        log::info!("refused: {why}");
        let body = format!("{{\"error\":\"{why}\"}}\n");
        self.send_http_response(status, vec![("content-type", "application/json")], Some(body.as_bytes()));
        // The response is on its way: nothing else shall happen to this request.
        Action::Pause
    }
}

/// Compares in a time that tells nothing about where two keys differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
