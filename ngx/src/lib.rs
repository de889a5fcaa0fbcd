//! nginx as safe Rust.
//!
//! This crate knows nginx and nothing of WebAssembly. Wrappers ([`http::Request`], [`Pool`], [`Log`], [`conf::Conf`])
//! are `Copy` pointers with a lifetime; no Rust reference to a C struct is ever kept, and bytes are lent as `&'a [u8]`.
//! Every function that nginx calls is guarded ([`guard`]): no panic unwinds into C.
//!
//! Rules that nginx has are quoted with the source file they come from.

// Every unsafe block names the invariant it relies on.
#![warn(clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]

use std::fmt;

pub mod conf;
pub mod cycle;
pub mod event;
pub mod features;
pub mod guard;
pub mod http;
pub mod log;
pub mod module;
pub mod net;
pub mod pool;
pub mod process;
pub mod readable;
pub mod resolver;
pub mod shm;
pub mod ssl;
pub mod str;
pub mod sys;
pub mod timer;
pub mod upstream;
pub mod wake;

pub use conf::{Arity, Conf, ConfError, Contexts, Directive};
pub use cycle::Cycle;
pub use event::Posted;
pub use http::{HttpFilter, HttpModule};
pub use log::{Level, Log};
pub use module::CoreModule;
pub use pool::{OwnedPool, Pool};
pub use str::Str;
pub use timer::Timer;

/// What nginx's functions return: one of src/core/ngx_core.h's codes, or an HTTP status.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub isize);

impl Status {
    pub const OK: Self = Status(0);
    pub const ERROR: Self = Status(-1);
    pub const AGAIN: Self = Status(-2);
    pub const BUSY: Self = Status(-3);
    pub const DONE: Self = Status(-4);
    pub const DECLINED: Self = Status(-5);
    pub const ABORT: Self = Status(-6);

    /// An HTTP status, as phase handlers and `finalize` take it.
    pub const fn http(code: u16) -> Self {
        Status(code as isize)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Status::OK => f.write_str("OK"),
            Status::ERROR => f.write_str("ERROR"),
            Status::AGAIN => f.write_str("AGAIN"),
            Status::BUSY => f.write_str("BUSY"),
            Status::DONE => f.write_str("DONE"),
            Status::DECLINED => f.write_str("DECLINED"),
            Status::ABORT => f.write_str("ABORT"),
            Status(code) => write!(f, "{code}"),
        }
    }
}

/// It failed, and what failed is in the log already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl From<Result<(), Failed>> for Status {
    fn from(result: Result<(), Failed>) -> Self {
        match result {
            Ok(()) => Status::OK,
            Err(Failed) => Status::ERROR,
        }
    }
}
