//! HTTP and gRPC calls: which are being made, for whom, and what a callback sees of an answer.

use std::collections::BTreeMap;

use super::abi::{BufferType, MapType};
use super::vm::{CallResponse, Fields, GrpcEvent};

/// How many calls a VM may make at a time. What each of them holds is as large as its request.
pub const MAX_CALLS: usize = 10_000;

/// `INTERNAL`, what a peer's success without a message is (grpc.io, "Status codes").
const GRPC_INTERNAL: u32 = 13;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Http,
    /// One message there and one back.
    GrpcCall,
    GrpcStream,
}

impl Kind {
    /// Whether a filter that has paused goes on once it is answered. A gRPC stream has no answer to wait for.
    pub fn is_awaited(self) -> bool {
        match self {
            Self::Http | Self::GrpcCall => true,
            Self::GrpcStream => false,
        }
    }
}

/// A call that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub token: u32,
    /// The context that makes it.
    pub context: u32,
    pub kind: Kind,
}

/// The calls that a VM is making. Nothing is allocated as long as there are none.
#[derive(Debug, Default)]
pub struct Calls {
    /// The context behind each token.
    contexts: BTreeMap<u32, u32>,
    /// By context and token.
    kinds: BTreeMap<(u32, u32), Kind>,
    last: u32,
    overflow_told: bool,
}

impl Calls {
    /// A token that no call has. Tokens grow, and start anew after 2³² of them; 0 is none.
    pub fn fresh_token(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.contexts.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    pub fn is_full(&self) -> bool {
        self.contexts.len() >= MAX_CALLS
    }

    /// Whether it is the first time that a call was refused because there are too many.
    pub fn first_overflow(&mut self) -> bool {
        !std::mem::replace(&mut self.overflow_told, true)
    }

    pub fn add(&mut self, call: Call) {
        self.contexts.insert(call.token, call.context);
        self.kinds.insert((call.context, call.token), call.kind);
    }

    pub fn get(&self, token: u32) -> Option<Call> {
        let context = *self.contexts.get(&token)?;
        let kind = *self.kinds.get(&(context, token))?;
        Some(Call { token, context, kind })
    }

    pub fn remove(&mut self, token: u32) {
        if let Some(context) = self.contexts.remove(&token) {
            self.kinds.remove(&(context, token));
        }
    }

    fn kinds_of(&self, context: u32) -> impl Iterator<Item = (u32, Kind)> {
        self.kinds.range((context, 0)..=(context, u32::MAX)).map(|((_, token), kind)| (*token, *kind))
    }

    /// The token of a call of this context.
    pub fn first_of(&self, context: u32) -> Option<u32> {
        self.kinds_of(context).next().map(|(token, _)| token)
    }

    /// The token of any call.
    pub fn first(&self) -> Option<u32> {
        self.contexts.first_key_value().map(|(token, _)| *token)
    }

    /// Whether an answer is still to come that a filter of this context may have paused for.
    pub fn awaited_by(&self, context: u32) -> bool {
        self.kinds_of(context).any(|(_, kind)| kind.is_awaited())
    }
}

/// What has come for a call.
#[derive(Debug)]
pub enum Content {
    Http(CallResponse),
    Grpc(GrpcEvent),
}

impl Content {
    /// What a callback may be made of for a call of that kind; `None` for what does not fit it, as in Envoy: the metadata
    /// of a single call is nobody's.
    pub fn fit(self, kind: Kind) -> Option<Self> {
        match (kind, self) {
            (Kind::Http, it @ Self::Http(_))
            | (Kind::GrpcCall, it @ Self::Grpc(GrpcEvent::Message(_)))
            | (Kind::GrpcStream, it @ Self::Grpc(_)) => Some(it),
            (Kind::GrpcCall, Self::Grpc(GrpcEvent::Close { status, message })) => {
                let status = if status == 0 { GRPC_INTERNAL } else { status };
                Some(Self::Grpc(GrpcEvent::Close { status, message }))
            }
            _ => None,
        }
    }

    /// Whether nothing follows it for a call of that kind.
    pub fn ends(&self, kind: Kind) -> bool {
        kind != Kind::GrpcStream || matches!(self, Self::Grpc(GrpcEvent::Close { .. }))
    }

    /// Code and message for `proxy_get_status`.
    fn status(&self) -> (u32, &[u8]) {
        match self {
            Self::Http(response) => response.failure.as_ref().map_or((0, &[]), |it| (it.code, &it.message)),
            Self::Grpc(GrpcEvent::Close { status, message }) => (*status, message),
            Self::Grpc(_) => (0, &[]),
        }
    }
}

/// What is being answered, while its callback runs.
#[derive(Debug)]
pub struct Answer {
    pub call: Call,
    /// Nothing follows it: the call is over, and is known to the guest to the end of the callback only.
    pub last: bool,
    pub content: Content,
    pub code: u32,
    /// SDKs take no message that is not UTF-8.
    pub message: String,
}

impl Answer {
    pub fn new(call: Call, content: Content) -> Self {
        let (code, message) = content.status();
        let message = String::from_utf8_lossy(message).into_owned();
        Self { call, last: content.ends(call.kind), content, code, message }
    }

    /// A map of the answer.
    pub fn fields(&self, map: MapType) -> Option<&Fields> {
        match (map, &self.content) {
            (MapType::CallResponseHeaders, Content::Http(response)) => Some(&response.headers),
            (MapType::CallResponseTrailers, Content::Http(response)) => Some(&response.trailers),
            (MapType::GrpcInitialMetadata, Content::Grpc(GrpcEvent::InitialMetadata(fields)))
            | (MapType::GrpcTrailingMetadata, Content::Grpc(GrpcEvent::TrailingMetadata(fields))) => Some(fields),
            _ => None,
        }
    }

    /// A buffer of the answer.
    pub fn bytes(&self, buffer: BufferType) -> Option<&[u8]> {
        match (buffer, &self.content) {
            (BufferType::CallResponseBody, Content::Http(response)) => Some(&response.body),
            (BufferType::GrpcMessage, Content::Grpc(GrpcEvent::Message(message))) => Some(message),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(token: u32, context: u32, kind: Kind) -> Call {
        Call { token, context, kind }
    }

    #[test]
    fn tokens_grow_and_skip_0_and_the_living() {
        let mut calls = Calls::default();
        assert_eq!([calls.fresh_token(), calls.fresh_token()], [1, 2]);
        calls.add(call(1, 7, Kind::Http));
        calls.last = u32::MAX;
        assert_eq!(calls.fresh_token(), 2, "past 0, 1 lives");
        calls.remove(1);
        calls.last = u32::MAX;
        assert_eq!(calls.fresh_token(), 1);
    }

    #[test]
    fn calls_are_found_by_token_and_by_context() {
        let mut calls = Calls::default();
        for it in [call(1, 5, Kind::GrpcStream), call(2, 4, Kind::Http), call(3, 5, Kind::GrpcCall)] {
            calls.add(it);
            assert_eq!(calls.get(it.token), Some(it));
        }
        assert_eq!(
            (calls.first(), calls.first_of(5), calls.first_of(4), calls.first_of(6)),
            (Some(1), Some(1), Some(2), None)
        );
        assert!(calls.awaited_by(5) && calls.awaited_by(4));
        calls.remove(3);
        calls.remove(3);
        assert!(!calls.awaited_by(5), "a stream is not waited for");
        assert_eq!((calls.first_of(5), calls.get(3)), (Some(1), None));
    }

    #[test]
    fn what_does_not_fit_the_kind_is_dropped() {
        let close = |status| Content::Grpc(GrpcEvent::Close { status, message: vec![] });
        let metadata = || Content::Grpc(GrpcEvent::InitialMetadata(vec![]));
        assert!(close(1).fit(Kind::Http).is_none());
        assert!(Content::Http(CallResponse::default()).fit(Kind::GrpcCall).is_none());
        assert!(Content::Http(CallResponse::default()).fit(Kind::GrpcStream).is_none());
        assert!(metadata().fit(Kind::GrpcCall).is_none() && metadata().fit(Kind::GrpcStream).is_some());
        let code = |status, kind| close(status).fit(kind).map(|it| it.status().0);
        assert_eq!(
            (code(0, Kind::GrpcStream), code(0, Kind::GrpcCall), code(5, Kind::GrpcCall)),
            (Some(0), Some(13), Some(5))
        );
    }
}
