//! Raw functions: exports that a `wasm_call` line names, and the host functions that are theirs. A module needs no
//! Proxy-Wasm for them.
//!
//! These host functions answer nothing: one that cannot do what it is asked for traps, with the reason as its message.
//! They are offered to every module. What they do to a response is for functions that `wasm_call` runs, in the phases
//! before the response's header has left; [`ngx_log`] works anywhere.

#![forbid(unsafe_code)]

use engines::{Linker, Trap};

use crate::proxy_wasm::host::Host;
use crate::proxy_wasm::hostcalls::{HostcallInfo, MODULE, hostcalls};
use crate::proxy_wasm::memory;
use crate::proxy_wasm::state::State;

/// When a function runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Rewrite,
    Access,
    /// Before the content handler of the location, and in its place if the function answers.
    Content,
    HeaderFilter,
    /// Once for each part of the body.
    BodyFilter,
    Log,
}

impl Phase {
    pub const ALL: [Self; 6] =
        [Self::Rewrite, Self::Access, Self::Content, Self::HeaderFilter, Self::BodyFilter, Self::Log];

    /// As nginx.conf has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Access => "access",
            Self::Content => "content",
            Self::HeaderFilter => "header_filter",
            Self::BodyFilter => "body_filter",
            Self::Log => "log",
        }
    }

    /// The response's header has not left: it can be changed, something can be put before its body, and another response
    /// can take its place.
    fn before_header(self) -> bool {
        self <= Self::HeaderFilter
    }
}

/// What is running: whose request, and when.
#[derive(Clone, Copy, Debug)]
pub struct Running<S> {
    pub stream: S,
    pub phase: Phase,
}

/// A response that takes the place of the location's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub status: u16,
    /// For the status line of HTTP/1; empty is the usual one.
    pub reason: &'a [u8],
    pub body: &'a [u8],
}

/// The port: what raw functions see and do of a request's response. Errors are texts for the log.
pub trait Response {
    /// The status; 0 while there is none.
    fn status(&self) -> u16;
    /// Sets it, also for a response that is to come, unless that one brings its own.
    fn set_status(&self, status: u16) -> Result<(), &'static str>;
    /// Adds a line to the response that is sent when the phase ends, or, to one whose header has come, before its body.
    /// Nothing adds nothing, but there is a response then.
    fn say(&self, line: &[u8]) -> Result<(), &'static str>;
    /// Stashes a response that is sent when the phase ends. With one stashed already, that one stays.
    fn answer(&self, answer: Answer<'_>) -> Result<(), &'static str>;
    /// Forgets what was stashed.
    fn discard_answer(&self);
}

/// The running function's stream, if what `name` does is `possible` in its phase.
fn stream<H: Host>(state: &State<H>, name: &str, possible: impl Fn(Phase) -> bool) -> Result<H::Stream, Trap> {
    match &state.raw {
        Some(running) if possible(running.phase) => Ok(running.stream),
        Some(running) => Err(refused(name, &format!("not possible in phase \"{}\"", running.phase.name()))),
        None => Err(refused(name, "possible in a function of \"wasm_call\" only")),
    }
}

#[cold]
fn refused(name: &str, why: &str) -> Trap {
    Trap::host(format!("{name}: {why}"))
}

fn bytes<'a>(memory: &'a [u8], name: &str, data: u32, size: u32) -> Result<&'a [u8], Trap> {
    memory::bytes(memory, data, size).map_err(|_| refused(name, "out of bounds memory access"))
}

/// A status that a response can have.
fn status(name: &str, status: u32) -> Result<u16, Trap> {
    let known = u16::try_from(status).ok().filter(|status| (200..=999).contains(status));
    known.ok_or_else(|| refused(name, &format!("invalid status {status}")))
}

/// A reason phrase: a byte that ends a line would begin a header.
fn reason<'a>(name: &str, reason: &'a [u8]) -> Result<&'a [u8], Trap> {
    let printable = reason.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t');
    if printable { Ok(reason) } else { Err(refused(name, "control character in the reason")) }
}

hostcalls! {
    /// Writes a line to the request's log, at one of nginx's levels: 1 (emerg) to 8 (debug).
    V0_1_0 fn ngx_log(caller, level: u32, message_data: u32, message_size: u32) () {
        let (memory, state) = caller.split();
        let message = bytes(memory, "ngx_log", message_data, message_size)?;
        let known = u8::try_from(level).ok().filter(|level| (1..=8).contains(level));
        let level = known.ok_or_else(|| refused("ngx_log", &format!("invalid level {level}")))?;
        let stream = state.raw.as_ref().map(|running| running.stream).or_else(|| state.stream());
        state.host.raw_log(stream.as_ref(), level, message);
        Ok(())
    };

    /// The status of the response; 0 while it has none.
    V0_1_0 fn ngx_http_resp_get_status(caller) u32 {
        let stream = stream(caller.data(), "ngx_http_resp_get_status", |_| true)?;
        Ok(u32::from(stream.status()))
    };

    /// Sets the status of the response.
    V0_1_0 fn ngx_http_resp_set_status(caller, new_status: u32) () {
        let name = "ngx_http_resp_set_status";
        let stream = stream(caller.data(), name, Phase::before_header)?;
        stream.set_status(status(name, new_status)?).map_err(|why| refused(name, why))
    };

    /// Adds a line to the response.
    V0_1_0 fn ngx_http_resp_say(caller, body_data: u32, body_size: u32) () {
        let name = "ngx_http_resp_say";
        let (memory, state) = caller.split();
        let stream = stream(state, name, Phase::before_header)?;
        stream.say(bytes(memory, name, body_data, body_size)?).map_err(|why| refused(name, why))
    };

    /// Stashes a response, to be sent when the phase ends.
    V0_1_0 fn ngx_http_local_response(
        caller, new_status: u32, reason_data: u32, reason_size: u32, body_data: u32, body_size: u32
    ) () {
        let name = "ngx_http_local_response";
        let (memory, state) = caller.split();
        let stream = stream(state, name, Phase::before_header)?;
        let answer = Answer {
            status: status(name, new_status)?,
            reason: reason(name, bytes(memory, name, reason_data, reason_size)?)?,
            body: bytes(memory, name, body_data, body_size)?,
        };
        stream.answer(answer).map_err(|why| refused(name, why))
    };

    /// Forgets a response that was stashed; when there is none, that is fine in any phase.
    V0_1_0 fn ngx_http_discard_local_response(caller) () {
        stream(caller.data(), "ngx_http_discard_local_response", |_| true)?.discard_answer();
        Ok(())
    };
}

/// Gives these functions to a linker.
pub(crate) fn define_all<H: Host>(linker: &mut impl Linker<State<H>>) {
    define(linker, MODULE);
}

/// Every raw host function.
pub fn table() -> impl Iterator<Item = HostcallInfo> {
    TABLE.iter().copied()
}
