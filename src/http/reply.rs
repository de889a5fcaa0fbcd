//! Local responses: what a filter answers in the upstream's place.

use ngx::Status;
use ngx::http::Request;

use crate::proxy_wasm::host::LocalResponse;

/// The status of an answer: an ABI number that is no HTTP status becomes 500.
fn status(response: &LocalResponse) -> u16 {
    u16::try_from(response.status).ok().filter(|status| (200..=599).contains(status)).unwrap_or(500)
}

fn headers(response: &LocalResponse) -> impl Iterator<Item = (&[u8], &[u8])> {
    response
        .headers
        .iter()
        .filter(|(name, _)| name.first() != Some(&b':'))
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
}

/// Sends it from a phase, or from an event; the result is for [`Request::finalize`].
pub(super) fn send(r: Request<'_>, response: LocalResponse) -> Status {
    r.send_response(status(&response), headers(&response), &response.body)
}

/// Sends it in the place of a response whose header has come to our filter; the result is the filter's.
pub(super) fn replace(r: Request<'_>, response: &LocalResponse) -> Status {
    r.replace_response(status(response), headers(response), &response.body)
}
