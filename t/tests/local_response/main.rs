//! Responses that a filter makes itself.

mod late;
mod request;
mod shape;
