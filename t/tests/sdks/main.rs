//! One filter written with each SDK: what it does and says is the same, on each engine.

mod calls;
mod heard;
mod suite;
