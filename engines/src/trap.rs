//! How a call ends that does not return.

use std::{borrow::Cow, fmt};

/// Why a call did not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// The guest did something that WebAssembly forbids, or asked for it with `unreachable`.
    Guest,
    /// The call exceeded its time limit.
    Deadline,
    /// A host function refused to go on.
    Host,
    /// A host function panicked: a bug of ours.
    Panic,
    /// The guest asked to end, with this code.
    Exit(i32),
}

/// The end of a call that did not return. One pointer wide, so that a `Result<u32, Trap>` is two registers.
#[derive(Clone)]
pub struct Trap(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: TrapKind,
    message: Cow<'static, str>,
    backtrace: Option<String>,
}

impl Trap {
    /// A host function's refusal; the message goes into the log as it is.
    #[cold]
    pub fn host(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(TrapKind::Host, message)
    }

    /// The guest's own end, `proc_exit` in WASI's terms.
    #[cold]
    pub fn exit(code: i32) -> Self {
        Self::new(TrapKind::Exit(code), format!("exited with code {code}"))
    }

    /// Why the call ended.
    pub fn kind(&self) -> TrapKind {
        self.0.kind
    }

    /// The guest's frames, innermost first, a line each. Only with [`Config::backtraces`](crate::Config::backtraces)
    /// and where the engine keeps track of them.
    pub fn backtrace(&self) -> Option<&str> {
        self.0.backtrace.as_deref()
    }

    #[cold]
    fn new(kind: TrapKind, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self(Box::new(Inner { kind, message, backtrace: None }))
    }
}

/// What the engines make traps of.
#[cfg(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi"))]
impl Trap {
    #[cold]
    pub(crate) fn panic(payload: Box<dyn std::any::Any + Send>) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        let trap = Self::new(TrapKind::Panic, format!("panic in a host function: {text}"));
        // Dropping a payload can panic as well; one that is neither text nor ours is not worth that risk.
        std::mem::forget(payload);
        trap
    }

    /// `reason` is an engine's message about the guest.
    #[cold]
    pub(crate) fn guest(reason: impl fmt::Display) -> Self {
        Self::new(TrapKind::Guest, format!("wasm trap: {reason}"))
    }

    #[cold]
    pub(crate) fn deadline() -> Self {
        Self::new(TrapKind::Deadline, "wasm trap: interrupt: call exceeded its time limit")
    }

    /// The answer to a call into an instance that has trapped before.
    #[cold]
    pub(crate) fn dead() -> Self {
        Self::new(TrapKind::Host, "instance cannot be used after a trap")
    }

    /// Adds the frames unless a nested call has noted them already: those reach further in.
    #[cold]
    #[cfg(any(feature = "wasmtime", feature = "wasmer"))]
    pub(crate) fn with_backtrace(mut self, backtrace: impl FnOnce() -> Option<String>) -> Self {
        if self.0.backtrace.is_none() {
            self.0.backtrace = backtrace();
        }
        self
    }
}

/// An engine's message without its line breaks: a message is a line of the log.
#[cold]
#[cfg(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi"))]
pub(crate) fn one_line(message: impl fmt::Display) -> String {
    message.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)?;
        self.0.backtrace.iter().try_for_each(|lines| write!(f, "\n{lines}"))
    }
}

impl std::error::Error for Trap {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_with_a_trap_stays_in_registers() {
        assert_eq!(size_of::<Trap>(), size_of::<usize>());
        assert!(size_of::<Result<u32, Trap>>() <= 2 * size_of::<usize>());
    }
}
