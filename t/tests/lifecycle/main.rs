//! Contexts and the order of their callbacks.

mod aborts;
mod after_the_end;
mod context;
mod request;
mod roots;
mod tick;
