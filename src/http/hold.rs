//! What of an exchange waits for a filter that paused, and for how long.

use std::cell::{Cell, OnceCell};

use ngx::http::{Handle, Request};
use ngx::{Posted, Timer};

use super::exchange::Side;

/// The holds of both sides.
#[derive(Default)]
pub(super) struct Holds {
    request: Hold,
    response: Hold,
    /// Stops nginx's own timer.
    clock: OnceCell<Posted>,
}

#[derive(Default)]
struct Hold {
    waits: Cell<bool>,
    /// Ends a hold that nobody ends.
    patience: OnceCell<Timer>,
}

impl Holds {
    fn of(&self, side: Side) -> &Hold {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    /// Begins a hold, which lasts no longer than nginx lets a client wait for output. A graceful shutdown waits for it.
    pub(super) fn begin(&self, side: Side, r: Request<'_>, handle: Handle) {
        if !self.waits(side) {
            self.renew(side, r, handle);
        }
    }

    /// The same, for what is held together with what came before: something has moved, and it waits anew.
    pub(super) fn renew(&self, side: Side, r: Request<'_>, handle: Handle) {
        let hold = self.of(side);
        hold.waits.set(true);
        let timer = hold.patience.get_or_init(|| {
            let timer = Timer::new(move || super::phases::give_up(handle, side));
            timer.hold_shutdown();
            timer
        });
        timer.start(r.send_timeout());
        self.stop_clock(handle);
    }

    /// nginx gives the client `send_timeout` to take more, also when it is a filter that lets nothing go: only the limit
    /// here is to count then, which knows of calls. As nginx starts its timer after our filters have returned, that is
    /// done later, and anew whenever nginx was here.
    pub(super) fn stop_clock(&self, handle: Handle) {
        self.clock.get_or_init(|| Posted::new(move || super::phases::stop_clock(handle))).post();
    }

    /// Ends a hold; whether there was one.
    pub(super) fn end(&self, side: Side) -> bool {
        let hold = self.of(side);
        if let Some(timer) = hold.patience.get() {
            timer.stop();
        }
        hold.waits.take()
    }

    pub(super) fn waits(&self, side: Side) -> bool {
        self.of(side).waits.get()
    }

    pub(super) fn any(&self) -> bool {
        self.request.waits.get() || self.response.waits.get()
    }
}
