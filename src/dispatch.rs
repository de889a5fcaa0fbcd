//! HTTP and gRPC calls of filters: hyper's HTTP over connections, names, balancers and TLS of nginx.
//!
//! From the guest inwards: `request`, `target`, `service` and `frames` are what it asks for, `connect` and `pool` how a
//! connection is come by, `call` and `grpc` what happens on it, `error` why there is no answer. All of it runs on the event
//! loop (`executor`), and ends when the guest that asked is gone.

#[cfg(feature = "nginx")]
mod body;
#[cfg(feature = "nginx")]
mod call;
#[cfg(feature = "nginx")]
mod calls;
#[cfg(feature = "nginx")]
mod connect;
#[cfg(feature = "nginx")]
mod error;
#[cfg(feature = "nginx")]
mod executor;
#[cfg(feature = "nginx")]
mod grpc;
#[cfg(feature = "nginx")]
mod http1;
#[cfg(feature = "nginx")]
mod http2;
#[cfg(feature = "nginx")]
mod pool;
#[cfg(feature = "nginx")]
mod sleep;
#[cfg(feature = "nginx")]
mod wire;

// What needs no nginx: its tests run without one.
mod frames;
mod refusal;
mod request;
mod service;
mod target;

#[cfg(feature = "nginx")]
pub use self::calls::{CallId, Caller, Dispatch};
