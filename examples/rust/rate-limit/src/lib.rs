//! Limits how often a client may ask, by its address: `second=5 minute=100 hour=1000`, of which each may be left out.
//!
//! A request over a limit is answered with 429 and asks no upstream. Every response tells where its client stands, with
//! the header fields that most clients know: `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (in seconds),
//! of the limit that has the least left. Later drafts of the IETF put the same into two structured fields.
//!
//! The counts are in shared data, which all workers see: one entry for each address, written over for ever, with a window
//! and the requests in it for each limit. Give them a zone, from which the longest unused go when it is full:
//! `wasm { shm_kv rates 10m eviction=lru; }`. Two requests that are an address's first at the very same moment may count
//! as one.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::time::UNIX_EPOCH;

/// The windows and their seconds. They begin when the clock says so, not with a client's first request.
const WINDOWS: [(&str, u64); 3] = [("hour", 3600), ("minute", 60), ("second", 1)];

/// For each window a number: the requests that it has room for (0: no limit), or those in it.
type Numbers = [u32; WINDOWS.len()];

/// How often a count is tried again that another worker changed meanwhile.
const TRIES: usize = 20;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_context_id| Box::new(Root::default()));
}}

#[derive(Default)]
struct Root {
    limits: Numbers,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        let limits = parse(&String::from_utf8_lossy(&configuration));
        if limits.is_none() {
            log::error!("the configuration must be like \"second=5 minute=100 hour=1000\"");
        }
        self.limits = limits.unwrap_or_default();
        limits.is_some()
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(RateLimit { limits: self.limits, fields: None }))
    }
}

/// `None` when there is no limit in it, or something else.
fn parse(configuration: &str) -> Option<Numbers> {
    let mut limits = Numbers::default();
    for part in configuration.split_whitespace() {
        let (name, limit) = part.split_once('=')?;
        let index = WINDOWS.iter().position(|(window, _)| *window == name)?;
        limits[index] = limit.parse().ok().filter(|&limit| limit > 0)?;
    }
    (limits != Numbers::default()).then_some(limits)
}

struct RateLimit {
    limits: Numbers,
    /// For the response: RateLimit-Limit, -Remaining, -Reset.
    fields: Option<[(&'static str, String); 3]>,
}

impl Context for RateLimit {}

impl HttpContext for RateLimit {
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        let Some(standing) = self.count() else {
            // A limit that does not work shall not be an outage.
            log::warn!("no count: the request passes");
            return Action::Continue;
        };
        let fields = [
            ("ratelimit-limit", standing.limit.to_string()),
            ("ratelimit-remaining", standing.left.saturating_sub(1).to_string()),
            ("ratelimit-reset", standing.reset.to_string()),
        ];
        if standing.left > 0 {
            self.fields = Some(fields);
            return Action::Continue;
        }
        let mut headers = vec![("content-type", "application/json"), ("retry-after", &fields[2].1)];
        headers.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
        let body = format!("{{\"error\":\"more than {} requests in this {}\"}}\n", standing.limit, standing.window);
        self.send_http_response(429, headers, Some(body.as_bytes()));
        Action::Pause
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        for (name, value) in self.fields.iter().flatten() {
            self.set_http_response_header(name, Some(value));
        }
        Action::Continue
    }
}

/// Where a client stands with one limit; `left` counts the request that asks.
struct Standing {
    window: &'static str,
    limit: u32,
    left: u32,
    reset: u64,
}

impl RateLimit {
    /// Counts the request, unless it is over a limit. `None` when there is no address, or too much going on.
    fn count(&self) -> Option<Standing> {
        let address = self.get_property(vec!["source", "address"])?;
        let key = format!("rates/{}", without_port(&String::from_utf8_lossy(&address)));
        let now = self.get_current_time().duration_since(UNIX_EPOCH).ok()?.as_secs();
        (0..TRIES).find_map(|_| {
            let (entry, cas) = self.get_shared_data(&key);
            let counts = read(&entry.unwrap_or_default(), now);
            let standing = self.standing(&counts, now)?;
            if standing.left > 0 {
                self.set_shared_data(&key, Some(&one_more(&counts, now)), cas).ok()?;
            }
            Some(standing)
        })
    }

    /// With the limit that has the least left; of several such, the one of the longest window.
    fn standing(&self, counts: &Numbers, now: u64) -> Option<Standing> {
        let all = WINDOWS.iter().zip(self.limits).zip(counts).map(|((&(window, seconds), limit), count)| Standing {
            window,
            limit,
            left: limit.saturating_sub(*count),
            reset: seconds - now % seconds,
        });
        all.filter(|standing| standing.limit > 0).min_by_key(|standing| standing.left)
    }
}

/// An entry has two numbers for each window, little endian: which window it is, and the requests in it. Those of a window
/// that is over count as none.
fn read(entry: &[u8], now: u64) -> Numbers {
    let mut counts = Numbers::default();
    for ((slot, (_, seconds)), count) in entry.chunks_exact(8).zip(WINDOWS).zip(&mut counts) {
        if slot[..4] == number(now, seconds) {
            *count = u32::from_le_bytes([slot[4], slot[5], slot[6], slot[7]]);
        }
    }
    counts
}

/// The entry with one request more in each window.
fn one_more(counts: &Numbers, now: u64) -> Vec<u8> {
    let slots = counts.iter().zip(WINDOWS);
    slots.flat_map(|(count, (_, seconds))| [number(now, seconds), (count + 1).to_le_bytes()].concat()).collect()
}

fn number(now: u64, seconds: u64) -> [u8; 4] {
    ((now / seconds) as u32).to_le_bytes()
}

/// Envoy has the port in it, and so has nginx with `proxy_wasm_property_format envoy`: `[::1]:443`, `127.0.0.1:443`.
fn without_port(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') || !host.contains(':') => host,
        _ => address,
    }
}
