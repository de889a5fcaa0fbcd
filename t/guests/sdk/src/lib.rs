//! A filter as one writes it with the SDK, which panics on every status that the specification does not foresee: it
//! uses all that the SDK offers for HTTP, each once.

use std::time::UNIX_EPOCH;

use log::{debug, error, info, trace, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Root { greeting: String::new() }));
}}

struct Root {
    greeting: String,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_vm_start(&mut self, size: usize) -> bool {
        let given = self.get_vm_configuration().unwrap_or_default();
        info!("vm configuration: {}", String::from_utf8_lossy(&given));
        given.len() == size
    }

    fn on_configure(&mut self, size: usize) -> bool {
        let given = self.get_plugin_configuration().unwrap_or_default();
        self.greeting = String::from_utf8_lossy(&given).into_owned();
        given.len() == size
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { id, greeting: self.greeting.clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    id: u32,
    greeting: String,
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        info!("done {}", self.id);
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, count: usize, end: bool) -> Action {
        trace!("a trace");
        debug!("a debug");
        warn!("a warning");
        error!("an error");
        info!("{count} request headers, end {end}, {} listed", self.get_http_request_headers().len());
        assert!(self.get_current_time() > UNIX_EPOCH);
        assert_eq!(self.get_http_request_header("x-not-there"), None);
        assert_eq!(self.get_property(vec!["not", "there"]), None);
        let path = self.get_http_request_header(":path").unwrap_or_default();
        if path == "/denied" {
            self.send_http_response(403, vec![("x-by", "sdk")], Some(b"denied\n"));
            return Action::Pause;
        }
        self.set_property(vec!["wasmx", "greeting"], Some(self.greeting.as_bytes()));
        self.set_http_request_header("x-greeting", Some(&self.greeting));
        self.add_http_request_header("x-many", "1");
        self.add_http_request_header("x-many", "2");
        self.set_http_request_header("x-unwanted", None);
        self.remove_http_request_header("x-unwanted-too");
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if !end {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        self.set_http_request_body(0, size, String::from_utf8_lossy(&body).to_uppercase().as_bytes());
        Action::Continue
    }

    fn on_http_response_headers(&mut self, count: usize, end: bool) -> Action {
        let all = self.get_http_response_headers();
        info!("{count} response headers, end {end}, {} listed", all.len());
        let greeting = self.get_property(vec!["wasmx", "greeting"]).unwrap_or_default();
        self.add_http_response_header("x-greeting", &String::from_utf8_lossy(&greeting));
        self.add_http_response_header("x-status", &self.get_http_response_header(":status").unwrap_or_default());
        self.remove_http_response_header("x-secret");
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _end: bool) -> Action {
        let body = self.get_http_response_body(0, size).unwrap_or_default();
        self.set_http_response_body(0, size, String::from_utf8_lossy(&body).replace("world", "wasm").as_bytes());
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        info!("{count} response trailers, {} listed", self.get_http_response_trailers().len());
        assert_eq!(self.get_http_response_trailer("x-not-there"), None);
        let status = self.get_http_response_trailer("grpc-status").unwrap_or_default();
        self.set_http_response_trailer("x-greeting", Some(&self.greeting));
        self.add_http_response_trailer("x-status", &status);
        self.remove_http_response_trailer("x-secret");
        Action::Continue
    }

    fn on_log(&mut self) {
        let status = self.get_http_response_header(":status").unwrap_or_default();
        info!("logged {} {status}", self.get_http_request_header(":path").unwrap_or_default());
    }
}
