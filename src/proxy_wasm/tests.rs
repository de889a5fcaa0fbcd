//! The host against guests written as text, on every engine that is compiled in, over a server of plain memory.

mod buffers;
mod calls;
mod ended;
mod foreign;
mod grpc;
mod guest;
mod lifecycle;
mod maps;
mod metrics;
mod properties;
mod raw;
mod server;
mod shared;
mod start;
mod streams;
mod wasi;
mod wild;

use std::sync::Arc;
use std::time::Duration;

use engines::{ImportError, Ticker, WasmEngine};

use self::server::{Server, TestHost, TestStream, stream};
use super::abi::Action;
use super::vm::{Callback, DONE_PATIENCE, FilterConfig, Program, Vm, VmConfig, VmError, VmKind};

/// The longest that anything here may run.
const LIMIT: Option<Duration> = Some(Duration::from_secs(2));

type Loader = dyn Fn(&[u8], VmConfig) -> Result<Arc<dyn Program<TestHost>>, Vec<ImportError>>;

/// An engine under test.
struct Engine {
    load: Box<Loader>,
    _ticker: Option<Ticker>,
}

impl Engine {
    fn new<E: WasmEngine>() -> Self {
        let engine = Arc::new(E::new(&engines::Config::default()).expect("the engine starts"));
        let ticker = engine.ticker(Duration::from_secs(1));
        let load = move |wasm: &[u8], config: VmConfig| {
            let module = engine.compile(wasm).expect("the guest compiles");
            super::load::<E, TestHost>(Arc::clone(&engine), &module, config)
        };
        Self { load: Box::new(load), _ticker: ticker }
    }

    fn program(&self, wasm: &[u8]) -> Arc<dyn Program<TestHost>> {
        self.program_that_waits(wasm, DONE_PATIENCE)
    }

    fn program_that_waits(&self, wasm: &[u8], done_patience: Duration) -> Arc<dyn Program<TestHost>> {
        let config = VmConfig {
            name: "f".into(),
            config: b"vm config".to_vec(),
            start_limit: LIMIT,
            done_patience,
            functions: FUNCTIONS.map(str::to_owned).to_vec(),
        };
        (self.load)(wasm, config).expect("the guest links")
    }

    /// A VM of the guest with one root, number 1.
    fn vm(&self, wasm: &[u8]) -> (Box<dyn Vm<TestHost>>, Server) {
        self.vm_of_kind(wasm, VmKind::Root)
    }

    fn vm_of_kind(&self, wasm: &[u8], kind: VmKind) -> (Box<dyn Vm<TestHost>>, Server) {
        let server = Server::default();
        let mut vm = self.program(wasm).start(server.host(), kind).expect("the guest starts");
        assert_eq!(vm.add_root(filter()).expect("the root starts"), 1);
        (vm, server)
    }

    /// Runs the request headers callback of a guest for a new stream, and gives the lines that it logged.
    fn run(&self, wasm: &[u8], stream: TestStream) -> Vec<String> {
        let (mut vm, server) = self.vm(wasm);
        let context = vm.open(1, stream);
        server.take();
        vm.call(context, HEADERS, LIMIT).expect("the callback returns");
        server.take()
    }
}

/// The raw functions of guests that have some.
const FUNCTIONS: [&str; 3] = ["f", "g", "h"];

const HEADERS: Callback = Callback::RequestHeaders { count: 3, end_of_stream: true };

fn filter() -> Arc<FilterConfig> {
    Arc::new(FilterConfig { name: "f".into(), root_id: b"my root".to_vec(), config: b"plugin config".to_vec() })
}

/// Mounts tests, functions of an [`Engine`], once for each engine.
macro_rules! on_every_engine {
    ($($test:ident)*) => {
        #[cfg(feature = "wasmtime")]
        mod wasmtime {
            $( #[test] fn $test() { super::$test(&crate::proxy_wasm::tests::Engine::new::<engines::Wasmtime>()) } )*
        }
        #[cfg(feature = "wasmi")]
        mod wasmi {
            $( #[test] fn $test() { super::$test(&crate::proxy_wasm::tests::Engine::new::<engines::Wasmi>()) } )*
        }
    };
}
use on_every_engine;
