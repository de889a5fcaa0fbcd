//! Bodies: what a filter makes of them is what the other side gets.

mod buffers;
mod collect;
mod matrix;
mod memory;
mod request;
mod response;
mod sources;
mod store;
mod unbuffered;
mod unbuffered_ends;
mod untouched;
mod upstreams;
