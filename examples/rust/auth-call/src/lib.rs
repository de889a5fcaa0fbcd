//! Asks a service whether a request may pass. The service gets its method, path and Authorization header; 2xx lets it on,
//! with the service's `x-auth-*` headers added; 401 and 403 are answered to the client as they are; anything else is 503.
//! The configuration is `SERVICE PATH TIMEOUT`: the name of an `upstream {}` block or `HOST:PORT`, what to ask it for, and
//! milliseconds.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::rc::Rc;
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_context_id| Box::new(Root { service: Rc::default() }));
}}

/// Whom to ask, and how.
#[derive(Default)]
struct Service {
    name: String,
    path: String,
    timeout: Duration,
}

impl Service {
    fn parse(configuration: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(configuration).ok()?.split_whitespace();
        let (name, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let timeout = Duration::from_millis(words.next()?.parse().ok()?);
        words.next().is_none().then_some(Self { name, path, timeout })
    }
}

/// Lives as long as the worker; reads the configuration once.
struct Root {
    service: Rc<Service>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let Some(service) = Service::parse(&self.get_plugin_configuration().unwrap_or_default()) else {
            log::error!("the configuration must be SERVICE PATH TIMEOUT");
            return false;
        };
        self.service = Rc::new(service);
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(AuthCall { service: self.service.clone() }))
    }
}

/// Lives as long as its request.
struct AuthCall {
    service: Rc<Service>,
}

impl HttpContext for AuthCall {
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        // What only the service may say, a client must not.
        for (name, _) in self.get_http_request_headers_bytes() {
            if name.starts_with("x-auth-") {
                self.set_http_request_header(&name, None);
            }
        }
        let header = |name| self.get_http_request_header(name).unwrap_or_default();
        let (method, path, authorization) = (header(":method"), header(":path"), header("authorization"));
        let mut headers = vec![
            (":method", "GET"),
            (":path", self.service.path.as_str()),
            (":authority", self.service.name.as_str()),
            ("x-original-method", method.as_str()),
            ("x-original-path", path.as_str()),
        ];
        if !authorization.is_empty() {
            headers.push(("authorization", authorization.as_str()));
        }
        match self.dispatch_http_call(&self.service.name, headers, None, vec![], self.service.timeout) {
            // The request waits, and goes on by itself when the call was answered.
            Ok(_token) => Action::Pause,
            Err(status) => self.unavailable(&format!("no call to {}: {status:?}", self.service.name)),
        }
    }
}

impl Context for AuthCall {
    fn on_http_call_response(&mut self, _token: u32, _num_headers: usize, body_size: usize, _num_trailers: usize) {
        // None when the service could not be reached.
        let status = self.get_http_call_response_header(":status").and_then(|status| status.parse().ok());
        match status {
            Some(200..=299) => {
                for (name, value) in self.get_http_call_response_headers_bytes() {
                    if name.starts_with("x-auth-") {
                        self.add_http_request_header_bytes(&name, &value);
                    }
                }
                // Nothing else to do: nginx lets the request on.
            }
            Some(status @ (401 | 403)) => self.refuse(status, body_size),
            Some(status) => {
                self.unavailable(&format!("{} answered {status}", self.service.name));
            }
            None => {
                let why = self.get_http_call_response_header(":dispatch_status").unwrap_or_default();
                self.unavailable(&format!("{} did not answer: {why}", self.service.name));
            }
        }
    }
}

impl AuthCall {
    /// The service's answer is the client's: body, and what tells the client how to log in.
    fn refuse(&self, status: u32, body_size: usize) {
        let headers: Vec<(String, String)> = ["content-type", "www-authenticate"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.get_http_call_response_header(name)?)))
            .collect();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = self.get_http_call_response_body(0, body_size);
        self.send_http_response(status, headers, body.as_deref());
    }

    /// Nobody passes unasked.
    fn unavailable(&self, why: &str) -> Action {
        log::error!("{why}");
        self.send_http_response(503, vec![("content-type", "text/plain")], Some(b"authorisation is unavailable\n"));
        Action::Pause
    }
}
