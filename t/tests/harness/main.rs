//! The harness itself, with an nginx that has no module.

mod exchange;
mod judgement;
mod life;
