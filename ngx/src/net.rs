//! Connections to peers (src/event/ngx_event_connect.c), on which a client of any protocol is built.
//!
//! Nothing is polled from inside nginx's handlers: they only wake, and the waker of the layer above posts an event.

mod address;
mod connection;
mod idle;
mod state;
mod tls;

pub use self::{
    address::{Address, parse_ip},
    connection::Connection,
};
