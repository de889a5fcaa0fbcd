//! Lines of the error log: what administrators and their tools match on.

mod filters;
mod host;
