//! Why a call is not even begun.

/// Why a call is not even begun: the guest gets a status, and the log the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no :method")]
    NoMethod,
    #[error("no :path")]
    NoPath,
    #[error("no :authority")]
    NoAuthority,
    #[error("invalid {0} \"{1}\"")]
    Invalid(&'static str, String),
    #[error("invalid upstream \"{0}\"")]
    Upstream(String),
    #[error("no service")]
    NoService,
}
