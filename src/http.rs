//! Proxy-Wasm over nginx's http subsystem: phases, output filters, and what a filter sees of a request.

mod exchange;
mod output;
mod phases;
mod properties;
mod reply;
mod stream;

pub use self::output::{body_filter, header_filter};
pub use self::phases::install;
pub use self::stream::Stream;
