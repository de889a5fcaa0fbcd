//! What is checked when the configuration is read, and what is accepted.

mod accepted;
mod all_at_once;
mod dispatch;
mod filter_interface;
mod filter_start;
mod flags;
mod inheritance;
mod module_options;
mod modules;
mod values;
