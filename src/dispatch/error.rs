//! Why a call has no answer.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

/// The direction in which nothing moved for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stalled {
    Reading,
    Writing,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reading => "timed out reading",
            Self::Writing => "timed out writing",
        })
    }
}

impl std::error::Error for Stalled {}

impl From<Stalled> for io::Error {
    fn from(stalled: Stalled) -> Self {
        Self::new(io::ErrorKind::TimedOut, stalled)
    }
}

/// Why a call that was begun has no answer. The text is that of the log line, after `dispatch failed: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("tcp socket - no resolver defined to resolve \"{0}\"")]
    NoResolver(String),
    #[error("tcp socket - resolver error: {0}")]
    Resolver(String),
    #[error("tcp socket - no live peers in upstream \"{0}\"")]
    NoPeer(String),
    #[error("tcp socket - timed out connecting to \"{0}\"")]
    ConnectTimeout(String),
    #[error("tcp socket - {0}")]
    Tls(String),
    #[error("tcp socket - timed out reading from \"{0}\"")]
    ReadTimeout(String),
    #[error("tcp socket - timed out writing to \"{0}\"")]
    SendTimeout(String),
    /// The call's own limit.
    #[error("tcp socket - timed out: no response from \"{0}\" within {limit} ms", limit = .1.as_millis())]
    Timeout(String, Duration),
    #[error("tcp socket - {0}")]
    Broken(String),
    #[error("tcp socket - connection closed by \"{0}\" before the response")]
    Closed(String),
    #[error("tcp socket - response of \"{0}\" is cut short")]
    CutShort(String),
    #[error("tcp socket - response of \"{0}\" is larger than \"proxy_wasm_dispatch_max_body\"")]
    TooLarge(String),
    #[error("tcp socket - invalid response: {0}")]
    Invalid(String),
    #[error("tcp socket - \"{0}\" speaks no HTTP/2")]
    NoHttp2(String),
}

impl Failure {
    /// What map 6 says (`:dispatch_status`), in ngx_wasm_module's words.
    pub(super) fn dispatch_status(&self) -> &'static str {
        match self {
            Self::NoResolver(_) | Self::Resolver(_) => "resolver failure",
            Self::ConnectTimeout(_) | Self::ReadTimeout(_) | Self::SendTimeout(_) | Self::Timeout(..) => "timeout",
            Self::Tls(_) => "tls handshake failure",
            Self::NoPeer(_) | Self::Broken(_) | Self::Closed(_) => "broken connection",
            Self::CutShort(_) | Self::TooLarge(_) => "reader failure",
            Self::Invalid(_) | Self::NoHttp2(_) => "invalid response",
        }
    }

    /// The gRPC status of a call that failed so (gRPC's "Status codes and their use").
    pub(super) fn grpc_status(&self) -> u32 {
        match self {
            Self::ConnectTimeout(_) | Self::ReadTimeout(_) | Self::SendTimeout(_) | Self::Timeout(..) => 4,
            Self::TooLarge(_) => 8,
            Self::CutShort(_) | Self::Invalid(_) => 13,
            _ => 14,
        }
    }

    /// Whether an idle connection that was used again may be the reason, and no byte of an answer came: the peer closed it
    /// in the same moment.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Closed(_))
    }

    /// What a connection to `peer` came to, while a request was sent on it or its response read.
    pub(super) fn of_hyper(error: &hyper::Error, peer: &str) -> Self {
        if let Some(error) = io_error(error) {
            return Self::of_io(error, peer);
        }
        if let Some(error) = h2_error(error) {
            return Self::of_h2(error, peer);
        }
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return Self::Closed(peer.to_owned());
        }
        Self::Invalid(format!(
            "{} from \"{peer}\"",
            error.source().map_or_else(|| error.to_string(), |it| it.to_string())
        ))
    }

    pub(super) fn of_io(error: &io::Error, peer: &str) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(Stalled::Reading) => Self::ReadTimeout(peer.to_owned()),
            Some(Stalled::Writing) => Self::SendTimeout(peer.to_owned()),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::CutShort(peer.to_owned()),
            None if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
                Self::Invalid(format!("{error} from \"{peer}\""))
            }
            None => Self::Broken(system(error)),
        }
    }

    fn of_h2(error: &h2::Error, peer: &str) -> Self {
        if let Some(error) = error.get_io() {
            return Self::of_io(error, peer);
        }
        if error.is_reset() && error.is_remote() {
            let reason = error.reason().unwrap_or(h2::Reason::NO_ERROR);
            return Self::Broken(format!("stream reset by \"{peer}\": {}", reason.description()));
        }
        if error.is_go_away() && error.is_remote() {
            return Self::Closed(peer.to_owned());
        }
        Self::Invalid(format!("{error} from \"{peer}\""))
    }
}

/// A system call's error in nginx's words: `Connection refused`.
pub(super) fn system(error: &io::Error) -> String {
    let text = error.to_string();
    let known = error.raw_os_error().map(|number| format!(" (os error {number})"));
    known.and_then(|known| text.strip_suffix(&known).map(str::to_owned)).unwrap_or(text)
}

fn io_error(error: &hyper::Error) -> Option<&io::Error> {
    sources(error).find_map(|source| source.downcast_ref())
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    sources(error).find_map(|source| source.downcast_ref())
}

fn sources(error: &hyper::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error: &&(dyn std::error::Error + 'static)| (*error).source())
}
