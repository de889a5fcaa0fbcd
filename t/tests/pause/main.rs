//! Filters that hold a request or a response, and let it go.

mod request;
mod response;
