//! Calls of filters, and what is held while they are made.

use super::{Exchange, Side};

impl Exchange {
    /// The calls of a filter, by its place in the chain, were answered: what it holds goes on.
    pub(in crate::http) fn calls_answered(&self, index: usize) {
        for side in [Side::Request, Side::Response] {
            if self.is_held_by(side, index) {
                self.resume_side(side, index);
            }
        }
    }

    /// Whether a filter holds something.
    pub(in crate::http) fn is_held(&self) -> bool {
        self.holds.any()
    }

    /// nginx was in our filters, and may wait for the client from now on.
    pub(in crate::http) fn stays_held(&self) {
        if self.is_held() {
            self.holds.stop_clock(self.handle);
        }
    }

    fn is_held_by(&self, side: Side, index: usize) -> bool {
        let place = if side == Side::Request { &self.request } else { &self.response };
        place.get().and_then(|cursor| cursor.paused_at()) == Some(index)
            || self.part(side).holds(index)
            || match side {
                Side::Request => self.body_paused_at.get() == Some(index),
                Side::Response => self.trailers.paused_at() == Some(index),
            }
    }

    /// Whether one of the filters that hold something waits for an answer: that has a time limit of its own.
    pub(super) fn waits_for_calls(&self) -> bool {
        self.members.iter().filter_map(|member| member.context.as_ref()).any(|(vm, context)| vm.has_calls(*context))
    }
}
