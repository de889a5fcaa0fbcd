//! A filter that fails costs what it must, and never a worker.

mod callbacks;
mod limits;
mod neighbours;
mod policy;
mod reload;
mod wild;
