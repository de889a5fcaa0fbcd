//! Which filters share an instance.

mod modes;
mod roots;
