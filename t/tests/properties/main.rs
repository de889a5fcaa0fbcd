//! Properties.

mod envoy_format;
mod kept;
mod maps;
mod request;
mod response;
mod tls;
mod upstream;
mod variables;
