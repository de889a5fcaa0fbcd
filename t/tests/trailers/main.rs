//! Trailers: fields that follow a body.

mod added;
mod grpc;
mod pause;
mod proxied;
mod request;
