//! Foreign functions: what guests call by name (spec v0.2.1, "Foreign function interface").
//!
//! Those that need no server are here. A server brings its own with [`Host::foreign_functions`]; one whose answer comes
//! later notes [`Call::context`], and the answer goes to `proxy_on_foreign_function` of that context through
//! [`super::vm::Vm::foreign_function`].

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};

use super::abi::Status;
use super::host::Host;

/// The most bytes that [`Compress`] takes and [`Uncompress`] gives. No guest is stopped while they run.
pub const MAX_PLAIN: usize = 16 << 20;

/// zlib's own default.
const LEVEL: u8 = 6;

/// One call of a foreign function.
#[derive(Debug)]
pub struct Call<'a, S> {
    pub arguments: &'a [u8],
    /// Where the answer is appended.
    pub result: &'a mut Vec<u8>,
    /// The context that calls.
    pub context: u32,
    /// Its stream, while there is one.
    pub stream: Option<S>,
}

/// A function that guests call by name.
///
/// SDKs know these statuses as answers, and no others: NOT_FOUND, BAD_ARGUMENT, SERIALIZATION_FAILURE and
/// INTERNAL_FAILURE.
pub trait ForeignFunction<H: Host>: Sync {
    fn name(&self) -> &str;
    fn call(&self, host: &mut H, call: Call<'_, H::Stream>) -> Result<(), Status>;
}

/// The function of that name.
pub fn find<H: Host>(name: &[u8]) -> Option<&'static dyn ForeignFunction<H>> {
    let own: [&'static dyn ForeignFunction<H>; 3] = [&Compress, &Uncompress, &ClearRouteCache];
    let all = own.into_iter().chain(H::foreign_functions().iter().copied());
    all.into_iter().find(|function| function.name().as_bytes() == name)
}

/// A zlib stream of the bytes given.
struct Compress;

impl<H: Host> ForeignFunction<H> for Compress {
    fn name(&self) -> &str {
        "compress"
    }

    fn call(&self, _host: &mut H, call: Call<'_, H::Stream>) -> Result<(), Status> {
        if call.arguments.len() > MAX_PLAIN {
            return Err(Status::InternalFailure);
        }
        *call.result = compress_to_vec_zlib(call.arguments, LEVEL);
        Ok(())
    }
}

/// The bytes behind a zlib stream.
struct Uncompress;

impl<H: Host> ForeignFunction<H> for Uncompress {
    fn name(&self) -> &str {
        "uncompress"
    }

    fn call(&self, _host: &mut H, call: Call<'_, H::Stream>) -> Result<(), Status> {
        match decompress_to_vec_zlib_with_limit(call.arguments, MAX_PLAIN) {
            Ok(plain) => *call.result = plain,
            Err(error) if error.status == TINFLStatus::HasMoreOutput => return Err(Status::InternalFailure),
            Err(_) => return Err(Status::SerializationFailure),
        }
        Ok(())
    }
}

/// Asks for the route to be chosen again. A server that keeps none has nothing to do.
struct ClearRouteCache;

impl<H: Host> ForeignFunction<H> for ClearRouteCache {
    fn name(&self) -> &str {
        "clear_route_cache"
    }

    fn call(&self, _host: &mut H, _call: Call<'_, H::Stream>) -> Result<(), Status> {
        Ok(())
    }
}
