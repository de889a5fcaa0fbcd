//! The life of an engine in nginx: made in the master, used in the workers that it forks.

use std::{
    env, panic, process, thread,
    time::{Duration, Instant as Clock},
};

use engines::{Instance, TrapKind, WasmEngine};

use crate::host::{load, plan};

on_every_engine!(
    a_worker_uses_what_the_master_compiled,
    a_worker_goes_on_where_an_instance_of_the_master_was,
    workers_never_see_each_other,
    a_worker_can_compile,
    a_worker_interrupts_calls,
    a_ticker_of_the_master_does_not_hold_up_a_worker,
);

/// Runs the test in a process of its own: nginx forks from one thread, and the other threads of a test run may hold
/// any lock at that moment.
pub fn alone(test: impl FnOnce()) {
    const MARK: &str = "ENGINES_TEST_ALONE";
    let name = thread::current().name().unwrap().to_owned();
    if env::var_os(MARK).is_some() || name == "main" {
        return test();
    }
    let mut command = process::Command::new(env::current_exe().unwrap());
    let output = command.args(["--exact", &name, "--test-threads=1", "--nocapture"]).env(MARK, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// A forked child.
#[must_use]
pub struct Child(libc::pid_t);

pub fn fork(body: impl FnOnce()) -> Child {
    // SAFETY: the process has one thread that matters (see `alone`), and the child leaves by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: both take numbers. The alarm ends a child that hangs.
            unsafe { libc::alarm(60) };
            let done = panic::catch_unwind(panic::AssertUnwindSafe(body)).is_ok();
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(!done)) }
        }
        pid => {
            assert!(pid > 0, "cannot fork");
            Child(pid)
        }
    }
}

impl Child {
    pub fn join(self) {
        let mut status = -1;
        // SAFETY: the status is ours, and the child is not waited for elsewhere.
        unsafe { libc::waitpid(self.0, &mut status, 0) };
        assert_eq!(status, 0, "the child failed, or was killed");
    }
}

const GUEST: &str = r#"(module (import "env" "refuse" (func $refuse)) (memory (export "memory") 2) (data (i32.const 65536) "data")
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
    (func (export "out") (drop (i32.load (i32.const -1))))
    (func (export "refuse") (call $refuse))
    (func $r (export "recurse") (call $r))
    (func (export "loop") (loop $again (br $again))))"#;

fn a_worker_uses_what_the_master_compiled<E: WasmEngine>() {
    alone(|| {
        let loaded = load::<E>(GUEST);
        let work = || {
            for _ in 0..20 {
                let mut guest = loaded.start();
                guest.call::<_, ()>("store", (8, 1)).unwrap();
                assert_eq!(guest.call::<_, u32>("load", (8,)).unwrap(), 1);
                let kinds = ["out", "refuse", "recurse"]
                    .map(|name| loaded.start().call::<(), ()>(name, ()).unwrap_err().kind());
                assert_eq!(kinds, [TrapKind::Guest, TrapKind::Host, TrapKind::Guest]);
            }
        };
        // Before the master has run anything, and after.
        fork(work).join();
        work();
        fork(work).join();
        // A worker of the next cycle may be forked by a daemon: a child of a child.
        fork(|| fork(work).join()).join();
    });
}

fn a_worker_goes_on_where_an_instance_of_the_master_was<E: WasmEngine>() {
    alone(|| {
        let loaded = load::<E>(GUEST);
        let mut guest = loaded.start();
        guest.call::<_, ()>("store", (8, 1)).unwrap();
        let child = fork(|| {
            assert_eq!(guest.call::<_, u32>("load", (8,)).unwrap(), 1);
            guest.call::<_, ()>("store", (8, 2)).unwrap();
            assert_eq!(guest.call::<_, u32>("load", (8,)).unwrap(), 2);
        });
        child.join();
        assert_eq!(guest.call::<_, u32>("load", (8,)).unwrap(), 1);
    });
}

/// Several processes write to the same slots of the pool they all inherited, over and over, and each finds its own.
fn workers_never_see_each_other<E: WasmEngine>() {
    // Plain memory, and memory that a copy-on-write image backs.
    const PLACES: [u32; 4] = [8, 4096, 65_536, 131_068];
    alone(|| {
        let loaded = load::<E>(GUEST);
        let fresh = PLACES.map(|at| loaded.start().call::<_, u32>("load", (at,)).unwrap());
        assert_eq!(fresh, [0, 0, u32::from_le_bytes(*b"data"), 0]);
        let work = |mine: u32| {
            let end = Clock::now() + Duration::from_millis(300);
            while Clock::now() < end {
                let mut guests: Vec<_> = (0..8).map(|_| loaded.start()).collect();
                for guest in &mut guests {
                    for (at, fresh) in PLACES.into_iter().zip(fresh) {
                        assert_eq!(guest.call::<_, u32>("load", (at,)).unwrap(), fresh);
                        guest.call::<_, ()>("store", (at, mine)).unwrap();
                    }
                }
                thread::yield_now();
                for guest in &mut guests {
                    for at in PLACES {
                        assert_eq!(guest.call::<_, u32>("load", (at,)).unwrap(), mine);
                    }
                }
            }
        };
        let children: Vec<_> = (1..=4).map(|mine| fork(move || work(mine))).collect();
        work(99);
        children.into_iter().for_each(Child::join);
    });
}

fn a_worker_can_compile<E: WasmEngine>() {
    alone(|| {
        // The master has compiled before: whatever threads that took must not be missed in the child.
        let loaded = load::<E>(GUEST);
        fork(|| {
            let wat = r#"(module (func (export "f") (result i32) (i32.const 42)))"#;
            let plan = plan(&loaded.engine, wat);
            let instance = loaded.engine.instantiate(&plan, Default::default(), None).unwrap();
            let mut guest = crate::host::Running::<E> { instance, plan: &plan };
            assert_eq!(guest.call::<(), u32>("f", ()).unwrap(), 42);
            load::<E>(GUEST).start().call::<_, ()>("store", (8, 1)).unwrap();
        })
        .join();
    });
}

fn a_worker_interrupts_calls<E: WasmEngine>() {
    alone(|| {
        let limit = Duration::from_millis(50);
        let loaded = load::<E>(GUEST);
        let work = || {
            let _ticker = loaded.engine.ticker(limit);
            let mut guest = loaded.start();
            guest.instance.set_time_limit(Some(limit));
            let started = Clock::now();
            assert_eq!(guest.call::<(), ()>("loop", ()).unwrap_err().kind(), TrapKind::Deadline);
            assert!(started.elapsed() >= limit && started.elapsed() < limit * 40);
        };
        // The trial start in the master has a ticker of its own, which ended before.
        work();
        let children = [fork(work), fork(work)];
        children.into_iter().for_each(Child::join);
    });
}

/// It should have ended before the fork. If it has not, the worker must neither wait for it nor trip over its lock.
fn a_ticker_of_the_master_does_not_hold_up_a_worker<E: WasmEngine>() {
    alone(|| {
        let loaded = load::<E>(GUEST);
        for _ in 0..20 {
            let mut ticker = loaded.engine.ticker(Duration::from_millis(1));
            fork(|| drop(ticker.take())).join();
        }
    });
}
