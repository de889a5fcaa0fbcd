//! `nginx -s reload`.

mod modules;
mod requests;
