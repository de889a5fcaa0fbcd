//! Filters that hold a request or a response, and let it go.

mod headers_only;
mod patience;
mod request;
mod response;
