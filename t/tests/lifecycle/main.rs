//! Contexts and the order of their callbacks.

mod aborts;
mod after_the_end;
mod connection;
mod context;
mod redirects;
mod request;
mod roots;
mod subrequests;
mod tick;
