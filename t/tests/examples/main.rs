//! The filters of `examples/`, as somebody uses them who copies from there.

mod echo;
mod rate_limit;
