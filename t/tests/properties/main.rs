//! Properties.

mod envoy_format;
mod kept;
mod request;
mod response;
mod variables;
