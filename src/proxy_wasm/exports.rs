//! The guest's entry points (spec v0.2.1, the callbacks). They are located once for each module, and bound in an
//! instance when they are first called: an instance that lives for one request calls few of them.

use engines::{Export, ExternType, Instance, Plan, WasmEngine};

use super::abi::Version;
use super::host::Host;
use super::state::State;
use super::vm::{AbiError, Callbacks};

/// Allocators by which results reach guest memory, the preferred one first.
pub const ALLOCATORS: &[&str] = &["proxy_on_memory_allocate", "malloc"];

/// What a new instance is started by, as far as the module has it.
pub const STARTERS: &[&str] = &["_initialize", "main", "__main_void", "_start"];

const VERSION_PREFIX: &str = "proxy_abi_version_";
const CONTEXT_CREATE: &str = "proxy_on_context_create";

type Slot<E, H, A, R> = <<E as WasmEngine>::Plan<State<H>> as Plan<State<H>>>::Slot<A, R>;
type Func<E, H, A, R> = <<E as WasmEngine>::Instance<State<H>> as Instance<State<H>>>::Func<A, R>;

/// Declares the entry points: the slots of a module, and the functions of an instance with a method for each that
/// binds it when it is first asked for.
macro_rules! exports {
    ($( $(#[$doc:meta])* $field:ident: $name:literal ($($arg:ty),*) -> $ret:ty; )*) => {
        /// Where a module's entry points are. A function of another type than the ABI's is none.
        pub struct Slots<E: WasmEngine, H: Host> {
            $( $(#[$doc])* pub $field: Option<Slot<E, H, ($($arg,)*), $ret>>, )*
        }

        impl<E: WasmEngine, H: Host> Slots<E, H> {
            pub fn locate(plan: &E::Plan<State<H>>) -> Self {
                Self { $( $field: plan.slot($name), )* }
            }
        }

        /// The entry points of an instance, as far as they have been called.
        pub struct Funcs<E: WasmEngine, H: Host> {
            $( $field: Option<Func<E, H, ($($arg,)*), $ret>>, )*
        }

        impl<E: WasmEngine, H: Host> Funcs<E, H> {
            pub fn unbound() -> Self {
                Self { $( $field: None, )* }
            }

            $(
                $(#[$doc])*
                pub fn $field(
                    &mut self,
                    slots: &Slots<E, H>,
                    instance: &mut E::Instance<State<H>>,
                ) -> Option<&Func<E, H, ($($arg,)*), $ret>> {
                    let slot = slots.$field.as_ref()?;
                    Some(self.$field.get_or_insert_with(|| instance.bind(slot)))
                }
            )*
        }
    };
}

exports! {
    /// Sets up a module that keeps running after it.
    initialize: "_initialize" () -> ();
    /// Called after `_initialize`, with two arguments that mean nothing.
    main: "main" (u32, u32) -> u32;
    /// The same, without arguments.
    main_plain: "main" () -> u32;
    /// The same, as wasi-libc names it.
    main_void: "__main_void" () -> u32;
    /// Called when there is no `_initialize`.
    start: "_start" () -> ();

    /// A context begins: its id, and that of its root or 0.
    context_create: "proxy_on_context_create" (u32, u32) -> ();
    /// The VM starts: the root's id, the size of the VM's configuration.
    vm_start: "proxy_on_vm_start" (u32, u32) -> u32;
    /// The plugin starts: the root's id, the size of its configuration.
    configure: "proxy_on_configure" (u32, u32) -> u32;
    /// A root's timer.
    tick: "proxy_on_tick" (u32) -> ();
    /// There may be something in a queue: its receiver's root, and its token.
    queue_ready: "proxy_on_queue_ready" (u32, u32) -> ();
    /// The stream has ended; false asks to wait for `proxy_done`.
    done: "proxy_on_done" (u32) -> u32;
    /// The time to write log entries.
    log: "proxy_on_log" (u32) -> ();
    /// The context ends.
    delete: "proxy_on_delete" (u32) -> ();

    /// The answer of a foreign function that came later: the function's own number, the size of the answer.
    foreign_function: "proxy_on_foreign_function" (u32, u32, u32) -> ();

    /// The answer of an HTTP call: the root's id, the token, the number of headers, the size of the body, the number of
    /// trailers; the last three are 0 for a failure.
    http_call_response: "proxy_on_http_call_response" (u32, u32, u32, u32, u32) -> ();
    /// The metadata before the messages of a gRPC stream: the root's id, the token, the number of pairs.
    grpc_initial_metadata: "proxy_on_grpc_receive_initial_metadata" (u32, u32, u32) -> ();
    /// A message of a gRPC call or stream: the root's id, the token, the size.
    grpc_receive: "proxy_on_grpc_receive" (u32, u32, u32) -> ();
    /// The metadata after the messages of a gRPC stream: the root's id, the token, the number of pairs.
    grpc_trailing_metadata: "proxy_on_grpc_receive_trailing_metadata" (u32, u32, u32) -> ();
    /// The end of a gRPC stream, or of a call that has failed: the root's id, the token, the peer's status.
    grpc_close: "proxy_on_grpc_close" (u32, u32, u32) -> ();

    /// The number of headers, and whether nothing follows them.
    request_headers: "proxy_on_request_headers" (u32, u32, u32) -> u32;
    /// The same in ABI 0.1.0: the number of headers.
    request_headers_0_1_0: "proxy_on_request_headers" (u32, u32) -> u32;
    /// The size of the body so far, and whether it is the whole.
    request_body: "proxy_on_request_body" (u32, u32, u32) -> u32;
    /// The number of trailers.
    request_trailers: "proxy_on_request_trailers" (u32, u32) -> u32;
    /// The number of headers, and whether nothing follows them.
    response_headers: "proxy_on_response_headers" (u32, u32, u32) -> u32;
    /// The same in ABI 0.1.0: the number of headers.
    response_headers_0_1_0: "proxy_on_response_headers" (u32, u32) -> u32;
    /// The size of the body so far, and whether it is the whole.
    response_body: "proxy_on_response_body" (u32, u32, u32) -> u32;
    /// The number of trailers.
    response_trailers: "proxy_on_response_trailers" (u32, u32) -> u32;
}

impl<E: WasmEngine, H: Host> Slots<E, H> {
    /// The optional callbacks that the module has.
    pub fn callbacks(&self) -> Callbacks {
        let has = |present: bool, callback| if present { callback } else { Callbacks::empty() };
        has(self.request_headers.is_some() || self.request_headers_0_1_0.is_some(), Callbacks::REQUEST_HEADERS)
            | has(self.request_body.is_some(), Callbacks::REQUEST_BODY)
            | has(self.request_trailers.is_some(), Callbacks::REQUEST_TRAILERS)
            | has(self.response_headers.is_some() || self.response_headers_0_1_0.is_some(), Callbacks::RESPONSE_HEADERS)
            | has(self.response_body.is_some(), Callbacks::RESPONSE_BODY)
            | has(self.response_trailers.is_some(), Callbacks::RESPONSE_TRAILERS)
            | has(self.tick.is_some(), Callbacks::TICK)
    }
}

/// What a module's exports say about the ABI that it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A version of ours; the latest, should there be several.
    Version(Version),
    /// Only versions that we do not have.
    Other,
    /// No filter.
    None,
}

impl Marker {
    /// Only functions count.
    pub fn find(exports: &[Export]) -> Self {
        let functions = exports.iter().filter(|export| matches!(export.ty, ExternType::Func(_)));
        let versions = functions.filter_map(|export| export.name.strip_prefix(VERSION_PREFIX));
        versions.fold(Self::None, |found, version| {
            let known = match version {
                "0_1_0" => Version::V0_1_0,
                "0_2_0" => Version::V0_2_0,
                "0_2_1" => Version::V0_2_1,
                _ if found == Self::None => return Self::Other,
                _ => return found,
            };
            match found {
                Self::Version(other) => Self::Version(known.max(other)),
                Self::Other | Self::None => Self::Version(known),
            }
        })
    }

    /// The version whose rules apply; a module that is no filter is called by nobody.
    pub fn version(self) -> Version {
        match self {
            Self::Version(version) => version,
            Self::Other | Self::None => Version::V0_2_1,
        }
    }
}

/// Whether the module `name` can be a filter, by what it exports.
pub fn check(name: &str, marker: Marker, has_allocator: bool, has_context_create: bool) -> Result<(), AbiError> {
    match marker {
        Marker::None => return Err(AbiError::UnknownVersion(name.into())),
        Marker::Other => return Err(AbiError::IncompatibleVersion(name.into())),
        Marker::Version(_) => {}
    }
    if !has_allocator {
        return Err(AbiError::MissingMalloc(name.into()));
    }
    if !has_context_create {
        return Err(AbiError::MissingOneOf(name.into(), CONTEXT_CREATE));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use engines::FuncType;

    use super::*;

    fn function(name: &str) -> Export {
        Export { name: name.into(), ty: ExternType::Func(FuncType { params: vec![], results: vec![] }) }
    }

    #[test]
    fn the_version_is_the_name_of_an_exported_function() {
        let find = |names: &[&str]| Marker::find(&names.iter().map(|name| function(name)).collect::<Vec<_>>());
        assert_eq!(find(&[]), Marker::None);
        assert_eq!(find(&["memory", "proxy_on_tick"]), Marker::None);
        assert_eq!(find(&["proxy_abi_version_0_1_0"]), Marker::Version(Version::V0_1_0));
        assert_eq!(find(&["proxy_abi_version_0_2_0"]), Marker::Version(Version::V0_2_0));
        assert_eq!(find(&["proxy_abi_version_0_2_1"]), Marker::Version(Version::V0_2_1));
        assert_eq!(find(&["proxy_abi_version_9_9_9"]), Marker::Other);
        let several = ["proxy_abi_version_9_9_9", "proxy_abi_version_0_2_1", "proxy_abi_version_0_2_0"];
        assert_eq!(find(&several), Marker::Version(Version::V0_2_1));
        let global = Export { name: "proxy_abi_version_0_2_1".into(), ty: ExternType::Global };
        assert_eq!(Marker::find(&[global]), Marker::None);
    }

    #[test]
    fn what_is_missing_is_said_in_the_words_that_scrapers_know() {
        let known = Marker::Version(Version::V0_2_1);
        let table = [
            (Marker::None, true, true, r#"failed loading "a" filter (unknown ABI version)"#),
            (Marker::Other, true, true, r#"failed loading "a" filter (incompatible ABI version)"#),
            (known, false, true, r#""a" filter missing malloc (incompatible SDK interface)"#),
            (known, true, false, r#""a" filter missing one of: proxy_on_context_create (incompatible SDK interface)"#),
        ];
        for (marker, allocator, create, text) in table {
            assert_eq!(check("a", marker, allocator, create).unwrap_err().to_string(), text);
        }
        assert!(check("a", known, true, true).is_ok());
    }
}
