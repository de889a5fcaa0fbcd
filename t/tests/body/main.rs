//! Bodies: what a filter makes of them is what the other side gets.

mod buffers;
mod collect;
mod request;
mod response;
mod sources;
mod unbuffered;
