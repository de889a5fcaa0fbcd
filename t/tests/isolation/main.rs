//! Which filters share an instance.

mod modes;
mod reuse;
mod roots;
