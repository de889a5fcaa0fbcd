//! Header maps: what a filter changes is what everybody sees.

mod early;
mod maps;
mod pseudo;
mod request;
mod response;
mod sdk;
mod typed;
mod whole;
