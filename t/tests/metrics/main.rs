//! Metrics that filters define.

mod config;
mod kept;
mod kinds;
mod limits;
