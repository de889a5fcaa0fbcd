//! HTTP/2: each stream is a request with contexts of its own.

mod abort;
mod exchange;
mod local;
mod streams;
