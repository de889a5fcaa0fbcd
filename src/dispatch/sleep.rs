//! Time limits, by nginx's timers.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ngx::Timer;

/// It took longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Elapsed;

#[derive(Default)]
struct Alarm {
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

struct Sleep {
    alarm: Rc<Alarm>,
    _timer: Timer,
}

impl Sleep {
    /// A graceful shutdown waits for it, if so: it stands for somebody who waits for an answer.
    fn new(time: Duration, holds_shutdown: bool) -> Self {
        let alarm = Rc::<Alarm>::default();
        let rings = alarm.clone();
        let timer = Timer::new(move || {
            rings.rung.set(true);
            if let Some(waker) = rings.waker.take() {
                waker.wake();
            }
        });
        if holds_shutdown {
            timer.hold_shutdown();
        }
        timer.start(time);
        Self { alarm, _timer: timer }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.alarm.rung.get() {
            return Poll::Ready(());
        }
        *self.alarm.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// How long something may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// `None` is no limit.
    pub time: Option<Duration>,
    /// Whether a graceful shutdown waits for it.
    pub holds_shutdown: bool,
}

impl Limit {
    pub(super) const NONE: Self = Self { time: None, holds_shutdown: false };
}

/// What a future gives, if it does so in time.
pub(super) async fn within<T>(limit: Limit, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let Some(time) = limit.time else { return Ok(future.await) };
    let (mut future, mut sleep) = (pin!(future), Sleep::new(time, limit.holds_shutdown));
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Ok(value)),
        Poll::Pending => Pin::new(&mut sleep).poll(cx).map(|()| Err(Elapsed)),
    })
    .await
}
