//! Trailers: fields that follow a body.

mod added;
mod grpc;
mod large;
mod pause;
mod proxied;
mod request;
