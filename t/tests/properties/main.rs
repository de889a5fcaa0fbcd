//! Properties.

mod envoy_format;
mod request;
mod response;
mod variables;
