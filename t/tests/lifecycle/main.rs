//! Contexts and the order of their callbacks.

mod context;
mod request;
mod roots;
mod tick;
