//! The status page.

mod chromium;
mod formats;
mod host;
mod json;
mod parser;
mod prometheus;
