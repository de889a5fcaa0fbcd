//! The status page: what filters count and what the host measures of them, as Prometheus text, as JSON, and as a page to
//! look at. What is shown is gathered into a [`Report`]; the rest names no nginx.

pub mod html;
pub mod json;
pub mod prometheus;
#[cfg(test)]
mod tests;

#[cfg(feature = "nginx")]
mod page;

#[cfg(feature = "nginx")]
pub use page::Page;

use std::time::Duration;

use crate::metrics::{Metric, Usage};

/// How the page is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, version 0.0.4.
    #[default]
    Prometheus,
    Json,
    Html,
}

impl Format {
    /// By the name that it has in nginx.conf and in the query.
    pub fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"prometheus" => Some(Self::Prometheus),
            b"json" => Some(Self::Json),
            b"html" => Some(Self::Html),
            _ => None,
        }
    }

    /// The format that a query asks for in place of this one; `None` when there is none of that name.
    pub fn or_asked(self, query: &[u8]) -> Option<Self> {
        let asked = query.split(|&byte| byte == b'&').find_map(|part| part.strip_prefix(b"format="));
        asked.map_or(Some(self), Self::named)
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// A zone of shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneUse {
    pub name: String,
    /// What it is for, `metrics` or the directive that makes it.
    pub kind: &'static str,
    /// Bytes.
    pub size: u64,
    pub used: u64,
}

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub version: &'static str,
    pub nginx: &'static str,
    /// Since 1970.
    pub time: Duration,
    pub workers: usize,
    /// The engines in use.
    pub engines: Vec<&'static str>,
    pub filters: Vec<Usage>,
    /// Those of filters.
    pub metrics: Vec<Metric>,
    pub zones: Vec<ZoneUse>,
}
