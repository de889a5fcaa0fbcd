//! Proxy-Wasm over nginx's http subsystem: phases, output filters, and what a filter sees of a request.

mod body;
mod early;
mod exchange;
mod hold;
mod maps;
mod output;
mod part;
mod phases;
mod properties;
mod reply;
mod request_body;
mod stream;
mod trailers;

pub use self::output::{body_filter, header_filter};
pub use self::phases::install;
pub use self::request_body::request_body_filter;
pub use self::stream::Stream;

/// Replaces `len` bytes from `start`, both cut to what there is.
fn splice(bytes: &mut Vec<u8>, start: usize, len: usize, data: &[u8]) {
    let start = start.min(bytes.len());
    let end = start.saturating_add(len).min(bytes.len());
    bytes.splice(start..end, data.iter().copied());
}
