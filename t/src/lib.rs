//! The harness: real nginx, real sockets, real filters.
//!
//! A test writes an nginx.conf, starts nginx in a folder of its own, speaks HTTP to it and looks at what comes back.
//! It knows nothing of the module's insides: only its `.so`.
//!
//! ```no_run
//! use wasmx_t::{Engine, Nginx, Upstream, guest};
//!
//! let up = Upstream::new().ok("never");
//! let ng = Nginx::new(Engine::Wasmtime)
//!     .wasm("script", guest("script"))
//!     .location("/", ("proxy_wasm script 'request_headers: reply 403 no';", up.pass()))
//!     .start();
//! ng.get("/").status(403).body("no");
//! up.saw_nothing();
//! ```
//!
//! When a [`Running`] nginx goes out of scope it is told to quit, and the test fails unless every worker ended with 0
//! and the error log is free of `[alert]`, `[emerg]`, `[crit]` and panics (see [`Nginx::allow`]). A failed test prints
//! the configuration, the error log and the exchange, and leaves its folder under `target/t/`.
//!
//! Environment: `WASMX_FLAVOUR` = `release`, `debug` or `debian` chooses nginx and the module built for it, or
//! `WASMX_NGINX_BIN` and `WASMX_MODULE` name them; `WASMX_ENGINES` lists the engines in the module;
//! `WASMX_PATIENCE` is the time in seconds after which a thing waited for will not come.

mod client;
mod dns;
mod engine;
mod grpc;
mod guests;
mod http1;
mod http2;
mod log;
mod nginx;
mod nobody;
mod paths;
mod peer;
mod sdk;
mod tls;
mod upstream;
mod wait;

pub use client::{Connection, Request, Response, ask};
pub use dns::Dns;
pub use engine::{Engine, on};
pub use grpc::GrpcServer;
pub use guests::{example, filter, guest};
pub use http2::{Http2, Http2Request, Http2Stream};
pub use log::Log;
pub use nginx::{ConfTest, Lines, Nginx, Running, many_descriptors};
pub use nobody::{Full, Nobody};
pub use paths::{Flavour, module, workspace};
pub use peer::{Answer, Asked, Gate, Peer};
pub use sdk::{Sdk, with};
pub use tls::{Authority, Certificate};
pub use upstream::{Reply, Seen, Tap, Upstream};
pub use wait::{eventually, patience};
