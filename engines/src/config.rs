//! What an engine is made from.

use std::fmt;

/// What an engine is made from. [`Default`] is what an empty `wasm {}` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// One of [`WasmEngine::COMPILERS`](crate::WasmEngine::COMPILERS), or `auto`.
    pub compiler: String,
    /// Flags in the order in which they were written, each checked before by
    /// [`WasmEngine::check_flag`](crate::WasmEngine::check_flag).
    pub flags: Vec<(String, String)>,
    /// The most linear memory that one instance may hold, in bytes.
    pub memory_limit: u64,
    /// The most instances whose memory comes from a pool, where the engine has one.
    pub instances: u32,
    /// Whether a trap tells where it happened.
    pub backtraces: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            compiler: "auto".to_owned(),
            flags: Vec::new(),
            memory_limit: 128 << 20,
            instances: 1000,
            backtraces: false,
        }
    }
}

/// What becomes of a flag that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagEffect {
    /// The engine does as the flag says.
    Applied,
    /// This version of the engine has no such switch any more: worth one notice.
    Ignored,
}

/// Why a flag is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagError {
    /// No version of the engine has it.
    Unknown,
    /// The engine has it, and it cannot be changed here.
    Unsupported,
    /// The value is not one for this flag. Holds the value.
    Invalid(String),
}

impl fmt::Display for FlagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown configuration flag"),
            Self::Unsupported => f.write_str("unsupported configuration flag"),
            Self::Invalid(value) => write!(f, "invalid value \"{value}\""),
        }
    }
}

impl std::error::Error for FlagError {}
