//! The numbers of the Proxy-Wasm ABI (proxy-wasm/spec, abi-versions v0.1.0, v0.2.0 and v0.2.1).

/// What a host function answers (spec v0.2.1, `proxy_status_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    ParseFailure = 4,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
    Unimplemented = 12,
}

/// The ABI version that a module says it speaks, by the function it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V0_1_0,
    V0_2_0,
    V0_2_1,
}

/// What a callback asks for. Every value other than 0 pauses (spec v0.2.1, `proxy_action_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Continue,
    Pause,
}

impl Action {
    pub fn from_abi(value: u32) -> Self {
        if value == 0 { Self::Continue } else { Self::Pause }
    }
}

/// Declares an enum of the ABI's numbers, with what makes one of a number.
macro_rules! numbers {
    ($( $(#[$attribute:meta])* $name:ident { $($variant:ident = $value:literal,)* } )*) => { $(
        $(#[$attribute])*
        #[repr(u32)]
        pub enum $name { $($variant = $value,)* }

        impl $name {
            pub fn from_abi(value: u32) -> Option<Self> {
                match value {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    )* };
}

numbers! {
    /// Guest log levels (spec v0.2.1, `proxy_log_level_t`), the least severe first.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    LogLevel {
        Trace = 0,
        Debug = 1,
        Info = 2,
        Warn = 3,
        Error = 4,
        Critical = 5,
    }

    /// Header maps (spec v0.2.1, `proxy_header_map_type_t`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    MapType {
        RequestHeaders = 0,
        RequestTrailers = 1,
        ResponseHeaders = 2,
        ResponseTrailers = 3,
        GrpcInitialMetadata = 4,
        GrpcTrailingMetadata = 5,
        CallResponseHeaders = 6,
        CallResponseTrailers = 7,
    }

    /// Buffers (spec v0.2.1, `proxy_buffer_type_t`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    BufferType {
        RequestBody = 0,
        ResponseBody = 1,
        DownstreamData = 2,
        UpstreamData = 3,
        CallResponseBody = 4,
        GrpcMessage = 5,
        VmConfiguration = 6,
        PluginConfiguration = 7,
        ForeignCall = 8,
    }

    /// The parts of a stream that can be continued or closed (spec v0.2.1, `proxy_stream_type_t`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    StreamType {
        Request = 0,
        Response = 1,
        Downstream = 2,
        Upstream = 3,
    }
}
