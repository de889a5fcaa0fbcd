//! nginx's HTTP: requests, their headers and bodies, phases and filters.

mod body;
mod chain;
mod headers;
mod headers_in;
mod headers_out;
mod path;
mod response;
