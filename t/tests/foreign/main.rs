//! Foreign functions.

mod functions;
