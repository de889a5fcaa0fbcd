//! One HTTP call, from its connection to its response.

use std::time::Duration;

use http::Method;

use super::connect::{Link, Plan, Transport};
use super::error::Failure;
use super::http1::{self, Answer};
use super::http2;
use super::request::{Content, Head};
use super::sleep::within;

/// Makes a call, within `limit` as a whole.
pub(super) async fn make(
    mut plan: Plan,
    head: Head,
    content: Content,
    limit: Option<Duration>,
    named: String,
) -> Result<Answer, Failure> {
    // A limit that the guest chose says nothing of the peer: it is not counted as failed.
    let result = within(plan.dialer.limit(limit), attempt(&mut plan, &head, &content)).await;
    result.unwrap_or_else(|_| Err(Failure::Timeout(named, limit.unwrap_or_default())))
}

async fn attempt(plan: &mut Plan, head: &Head, content: &Content) -> Result<Answer, Failure> {
    let mut link = plan.connect().await?;
    loop {
        let Link { transport, route, peer, reused } = link;
        let (result, wire, untouched) = match transport {
            Transport::Http1(wire) => {
                let facts = wire.facts();
                let (result, wire) = http1::exchange(wire, head, content, &plan.dialer.conf, &peer).await;
                let untouched = !facts.received.get() && (is_repeatable(&head.method) || !facts.sent.get());
                (result, wire, untouched)
            }
            Transport::Http2(using) => {
                (http2::exchange(&using, head, content, &plan.dialer, &peer).await, None, is_repeatable(&head.method))
            }
        };
        match result {
            Ok(answer) => {
                plan.served(route, wire);
                return Ok(answer);
            }
            // The peer has closed an idle connection in the moment that it was used.
            Err(failure) if reused && untouched && failure.is_stale() => link = plan.dialer.dial(route, peer).await?,
            Err(failure) => {
                plan.broke();
                return Err(failure);
            }
        }
    }
}

/// Whether a request that may have arrived can be sent again (RFC 9110, 9.2.2).
fn is_repeatable(method: &Method) -> bool {
    method.is_idempotent()
}
