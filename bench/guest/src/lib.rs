//! What `make bench` measures: the work that the configuration names, for each request.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::hint::black_box;
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Root { work: Work::Empty }));
}}

#[derive(Clone, Copy)]
enum Work {
    /// The SDK's own cost and that of the callbacks.
    Empty,
    /// One header set on the response.
    SetHeader,
    /// All request headers fetched.
    AllHeaders,
    /// 20 times add, get and remove a request header.
    HeaderCalls,
    /// The response body read, chunk by chunk.
    ReadBody,
    /// The same, and each byte of it looked at: what the guest's own code costs.
    HashBody,
    /// A call before the request goes on.
    Call,
}

struct Root {
    work: Work,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        self.work = match self.get_plugin_configuration().unwrap_or_default().as_slice() {
            b"empty" => Work::Empty,
            b"set-header" => Work::SetHeader,
            b"all-headers" => Work::AllHeaders,
            b"header-calls" => Work::HeaderCalls,
            b"read-body" => Work::ReadBody,
            b"hash-body" => Work::HashBody,
            b"call" => Work::Call,
            _ => return false,
        };
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Filter { work: self.work }))
    }
}

struct Filter {
    work: Work,
}

impl Context for Filter {
    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        if self.get_http_call_response_header(":status").as_deref() == Some("200") {
            self.resume_http_request();
        }
    }
}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        match self.work {
            Work::Call => {
                let headers = vec![(":method", "GET"), (":path", "/"), (":authority", "peer")];
                let called = self.dispatch_http_call("peer", headers, None, vec![], Duration::from_secs(5));
                return if called.is_ok() { Action::Pause } else { Action::Continue };
            }
            Work::AllHeaders => {
                black_box(self.get_http_request_headers());
            }
            Work::HeaderCalls => {
                for _ in 0..20 {
                    self.add_http_request_header("x-bench", "1");
                    black_box(self.get_http_request_header("x-bench"));
                    self.set_http_request_header("x-bench", None);
                }
            }
            Work::Empty | Work::SetHeader | Work::ReadBody | Work::HashBody => {}
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let Work::SetHeader = self.work {
            self.set_http_response_header("x-bench", Some("1"));
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, body_size: usize, _: bool) -> Action {
        match self.work {
            Work::ReadBody => {
                black_box(self.get_http_response_body(0, body_size));
            }
            Work::HashBody => {
                black_box(fnv1a(&self.get_http_response_body(0, body_size).unwrap_or_default()));
            }
            _ => {}
        }
        Action::Continue
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
