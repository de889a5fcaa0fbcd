//! One filter written with each SDK: what it does and says is the same, on each engine.

mod heard;
mod suite;
