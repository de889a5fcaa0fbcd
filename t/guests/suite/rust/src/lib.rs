//! The suite in Rust: one small filter for each family of host functions, and the first word of the configuration says
//! which. `../go` and `../assemblyscript` are the same filter, and shall be seen to do the same, log lines and all.

use std::time::Duration;

use log::{error, info};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType, Status};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Clone, Copy, Default, PartialEq)]
enum What {
    #[default]
    Headers,
    Body,
    Reply,
    Call,
    Shared,
    Metrics,
    Tick,
}

#[derive(Clone, Copy, Default)]
struct Metrics {
    counter: u32,
    gauge: u32,
    histogram: u32,
}

#[derive(Default)]
struct Root {
    what: What,
    upstream: String,
    metrics: Metrics,
    ticks: u32,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = String::from_utf8(self.get_plugin_configuration().unwrap_or_default()).unwrap_or_default();
        let (word, rest) = configuration.split_once(' ').unwrap_or((&configuration, ""));
        info!("configured: {configuration}");
        self.upstream = rest.to_owned();
        self.what = match word {
            "headers" => What::Headers,
            "body" => What::Body,
            "reply" => What::Reply,
            "call" => What::Call,
            "shared" => What::Shared,
            "metrics" => What::Metrics,
            "tick" => What::Tick,
            _ => {
                error!("unknown: {word}");
                return false;
            }
        };
        match self.what {
            What::Metrics => {
                let define = |kind, name| hostcalls::define_metric(kind, name).unwrap();
                self.metrics = Metrics {
                    counter: define(MetricType::Counter, "suite_requests"),
                    gauge: define(MetricType::Gauge, "suite_level"),
                    histogram: define(MetricType::Histogram, "suite_sizes"),
                };
            }
            What::Tick => self.set_tick_period(Duration::from_millis(20)),
            _ => {}
        }
        true
    }

    fn on_tick(&mut self) {
        self.ticks += 1;
        info!("tick {}", self.ticks);
        if self.ticks == 3 {
            self.set_tick_period(Duration::ZERO);
            info!("no more ticks");
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { what: self.what, upstream: self.upstream.clone(), metrics: self.metrics }))
    }
}

struct Stream {
    what: What,
    upstream: String,
    metrics: Metrics,
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _token: u32, headers: usize, body_size: usize, trailers: usize) {
        let status = self.get_http_call_response_header(":status").unwrap_or_default();
        let body = self.get_http_call_response_body(0, body_size).unwrap_or_default();
        let body = String::from_utf8_lossy(&body);
        info!("answer: {headers} headers, {body_size} bytes, {trailers} trailers, status {status}");
        if headers == 0 {
            self.send_http_response(502, vec![], Some(b"no answer\n"));
        } else if status == "200" {
            self.set_http_request_header("x-checked", Some(&body));
            self.resume_http_request();
        } else {
            self.send_http_response(403, vec![], Some(format!("refused: {status} {body}\n").as_bytes()));
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, count: usize, end: bool) -> Action {
        match self.what {
            What::Headers => self.change_request(count, end),
            What::Reply => self.reply(),
            What::Call => self.call(),
            What::Shared => self.share(),
            What::Metrics => self.measure(),
            What::Body | What::Tick => Action::Continue,
        }
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if self.what != What::Body {
            return Action::Continue;
        }
        info!("request body: {size} bytes, end {end}");
        if !end {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        self.set_http_request_body(0, size, &body.to_ascii_uppercase());
        Action::Continue
    }

    fn on_http_response_headers(&mut self, count: usize, end: bool) -> Action {
        if self.what == What::Body {
            self.set_http_response_header("content-length", None);
        }
        if self.what != What::Headers {
            return Action::Continue;
        }
        let status = self.get_http_response_header(":status").unwrap_or_default();
        info!("response: {count} headers, end {end}, status {status}");
        for (name, value) in self.get_http_response_headers() {
            info!("response header {name}={value}");
        }
        self.set_http_response_header(":status", Some("201"));
        self.set_http_response_header("content-type", Some("text/suite"));
        self.add_http_response_header("x-many", "1");
        self.add_http_response_header("x-many", "2");
        self.set_http_response_header("x-secret", None);
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        if self.what != What::Body {
            return Action::Continue;
        }
        // How an upstream's bytes come in pieces is nginx's affair: only the whole is told.
        if !end {
            return Action::Pause;
        }
        info!("response body: {size} bytes");
        let body = self.get_http_response_body(0, size).unwrap_or_default();
        self.set_http_response_body(0, size, &[b"<", body.as_slice(), b">"].concat());
        Action::Continue
    }

    fn on_log(&mut self) {
        let method = self.get_http_request_header(":method").unwrap_or_default();
        let status = self.get_http_response_header(":status").unwrap_or_default();
        info!("logged {method} {status}");
    }
}

impl Stream {
    fn change_request(&self, count: usize, end: bool) -> Action {
        info!("request: {count} headers, end {end}");
        for (name, value) in self.get_http_request_headers() {
            info!("request header {name}={value}");
        }
        let missing = self.get_http_request_header("x-missing").unwrap_or_default();
        info!("missing: {missing:?}");
        self.set_http_request_header(":path", Some("/changed?by=filter"));
        self.set_http_request_header("x-replaced", Some("new"));
        self.add_http_request_header("x-added", "1");
        self.add_http_request_header("x-added", "2");
        self.set_http_request_header("x-removed", None);
        Action::Continue
    }

    fn reply(&self) -> Action {
        let method = self.get_http_request_header(":method").unwrap_or_default();
        let path = self.get_http_request_header(":path").unwrap_or_default();
        let headers = vec![("content-type", "text/suite"), ("x-many", "1"), ("x-many", "2")];
        self.send_http_response(418, headers, Some(format!("{method} {path}: no\n").as_bytes()));
        Action::Pause
    }

    fn call(&self) -> Action {
        let headers =
            vec![(":method", "POST"), (":path", "/check?it=1"), (":authority", "checker"), ("x-from", "suite")];
        let timeout = Duration::from_secs(5);
        if self.dispatch_http_call(&self.upstream, headers, Some(b"may it pass?"), vec![], timeout).is_err() {
            info!("no call");
            self.send_http_response(500, vec![], Some(b"no call\n"));
        }
        Action::Pause
    }

    fn share(&self) -> Action {
        let (value, cas) = self.get_shared_data("suite");
        let count = value.as_deref().and_then(|value| str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0u32) + 1;
        let found = value.is_some();
        self.set_shared_data("suite", Some(count.to_string().as_bytes()), cas).unwrap();
        let mismatch = self.set_shared_data("suite", Some(b"never"), cas.or(Some(7777))) == Err(Status::CasMismatch);
        info!("found {found}, count {count}, stale refused {mismatch}");
        self.send_http_response(200, vec![], Some(format!("count {count}\n").as_bytes()));
        Action::Pause
    }

    fn measure(&self) -> Action {
        let Metrics { counter, gauge, histogram } = self.metrics;
        hostcalls::increment_metric(counter, 2).unwrap();
        hostcalls::increment_metric(gauge, 5).unwrap();
        hostcalls::increment_metric(gauge, -8).unwrap();
        hostcalls::record_metric(histogram, 3).unwrap();
        let value = |id| hostcalls::get_metric(id).unwrap() as i64;
        let body = format!("counter {}, gauge {}\n", value(counter), value(gauge));
        self.send_http_response(200, vec![], Some(body.as_bytes()));
        Action::Pause
    }
}
