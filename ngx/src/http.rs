//! nginx's HTTP: requests, their headers and bodies, phases and filters.

mod body;
mod chain;
pub(crate) mod conf;
mod filter;
pub(crate) mod handle;
mod headers;
mod headers_in;
mod headers_out;
mod output;
mod path;
mod peer;
mod phase;
mod request;
mod request_body;
mod request_body_handlers;
mod response;
mod trailers;
mod variable;

pub use self::{
    body::{BodyError, BodyHandler, BodyRead},
    chain::{Buf, Bufs, Chain, Lent},
    conf::{HttpCell, HttpContext, HttpModule, Merge},
    filter::{FilterCell, FilterContext, HttpFilter, next_body_filter, next_header_filter, next_request_body_filter},
    handle::{Handle, Hold},
    headers::HeaderError,
    headers_in::RequestHeaders,
    headers_out::ResponseHeaders,
    output::{Output, Piece},
    phase::{Phase, PhaseHandler},
    request::Request,
    request_body::{AskUpstream, CreateRequest},
    request_body_handlers::BodyHandlers,
    trailers::ResponseTrailers,
    variable::{VariableError, VariableIndex},
};

/// NGX_HTTP_CLOSE: the connection is closed without a response.
pub const CLOSE: u16 = 444;
