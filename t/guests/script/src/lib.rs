//! A filter that does what its configuration says: the tests tell it what to do where.
//!
//! A configuration is a list of statements, parted by `;` or a newline. `NAME:` before a statement says in which
//! callback it and those after it run: `vm_start` (from the configuration of the module), `configure`, `tick`, `queue_ready`, `create`,
//! `request_headers`, `request_body`, `request_trailers`, `response_headers`, `response_body`, `response_trailers`,
//! `done`, `log`, `delete`; of calls, in the context that called: `call_response`, `grpc_initial`, `grpc_message`,
//! `grpc_trailing`, `grpc_close` (`calls.rs`). Statements before any `NAME:` run in `configure`. `ops.rs` has the statements.
//!
//! Each call of the host is logged at info: the statement, ` -> `, the status, and what came back.

mod calls;
mod driven;
mod host;
mod metrics;
mod ops;
mod program;
mod shared;
mod trouble;
mod wild;

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use calls::Call;
use ops::Turn;
use program::Program;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|id| Box::new(Root { id, program: Rc::default() }));
}}

thread_local! {
    /// The stream contexts that are alive, for `each`.
    static LIVE: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// The callbacks of calls, which are the same for every context.
macro_rules! of_calls {
    ($context:ident => $turn:expr) => {
        fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, trailers: usize) {
            let $context = self;
            let call = Call { headers, trailers, ..calls::of(token, true) };
            $turn.run_for(call, "call_response", size);
        }

        // Of a message, or of an end that is none in order.
        fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
            let $context = self;
            let call = Call { status, ..calls::of(token, true) };
            $turn.run_for(call, if status == 0 { "grpc_message" } else { "grpc_close" }, size);
        }

        fn on_grpc_stream_initial_metadata(&mut self, token: u32, count: u32) {
            let $context = self;
            $turn.run_for(calls::of(token, false), "grpc_initial", count as usize);
        }

        fn on_grpc_stream_message(&mut self, token: u32, size: usize) {
            let $context = self;
            $turn.run_for(calls::of(token, false), "grpc_message", size);
        }

        fn on_grpc_stream_trailing_metadata(&mut self, token: u32, count: u32) {
            let $context = self;
            $turn.run_for(calls::of(token, false), "grpc_trailing", count as usize);
        }

        fn on_grpc_stream_close(&mut self, token: u32, status: u32) {
            let $context = self;
            let call = Call { status, ..calls::of(token, true) };
            $turn.run_for(call, "grpc_close", 0);
        }
    };
}

struct Root {
    id: u32,
    program: Rc<Program>,
}

impl Context for Root {
    fn on_done(&mut self) -> bool {
        Turn::new(self.id, &self.program).run("root_done", 0, true).verdict
    }

    of_calls!(root => Turn::new(root.id, &root.program));
}

impl RootContext for Root {
    fn on_vm_start(&mut self, size: usize) -> bool {
        let program = Rc::new(Program::parse(&self.get_vm_configuration().unwrap_or_default()));
        Turn::new(self.id, &program).run("vm_start", size, true).verdict
    }

    fn on_configure(&mut self, size: usize) -> bool {
        self.program = Rc::new(Program::parse(&self.get_plugin_configuration().unwrap_or_default()));
        Turn::new(self.id, &self.program).run("configure", size, true).verdict
    }

    fn on_queue_ready(&mut self, queue: u32) {
        Turn::new(self.id, &self.program).run("queue_ready", queue as usize, true);
    }

    fn on_tick(&mut self) {
        Turn::new(self.id, &self.program).run("tick", 0, true);
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        LIVE.with_borrow_mut(|live| live.push(id));
        driven::created();
        let mut stream = Stream { turn: Turn::new(id, &self.program) };
        stream.turn.run("create", 0, true);
        Some(Box::new(stream))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    turn: Turn,
}

impl Stream {
    fn run(&mut self, callback: &str, size: usize, end: bool) -> Action {
        if self.turn.run(callback, size, end).pause { Action::Pause } else { Action::Continue }
    }
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        self.turn.run("done", 0, true).verdict
    }

    of_calls!(stream => &mut stream.turn);
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, count: usize, end: bool) -> Action {
        self.run("request_headers", count, end)
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.run("request_body", size, end)
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        self.run("request_trailers", count, true)
    }

    fn on_http_response_headers(&mut self, count: usize, end: bool) -> Action {
        self.run("response_headers", count, end)
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        self.run("response_body", size, end)
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        self.run("response_trailers", count, true)
    }

    fn on_log(&mut self) {
        self.run("log", 0, true);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.turn.run("delete", 0, true);
        LIVE.with_borrow_mut(|live| live.retain(|id| *id != self.turn.id));
        driven::deleted();
    }
}
