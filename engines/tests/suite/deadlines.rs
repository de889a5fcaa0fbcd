//! Calls that would not end by themselves.

use std::time::{Duration, Instant as Clock};

use engines::{Instance, TrapKind, WasmEngine};

use crate::host::{FOREVER, load};

on_every_engine!(
    a_loop_without_end_is_interrupted,
    whatever_goes_on_without_end_is_interrupted,
    the_start_section_is_interrupted,
    an_allocator_is_interrupted,
    a_deadline_that_the_host_ignores_still_ends_the_call,
    each_call_has_the_whole_time,
    a_call_without_a_limit_may_take_its_time,
    a_ticker_ends_at_once,
);

const LIMIT: Duration = Duration::from_millis(80);

/// Runs with a ticker, and checks that it took about as long as the limit: not less, and not several times as long
/// even on a busy machine.
fn in_time<E: WasmEngine, R>(engine: &E, run: impl FnOnce() -> R) -> R {
    let _ticker = engine.ticker(LIMIT);
    let started = Clock::now();
    let result = run();
    let took = started.elapsed();
    assert!(took >= LIMIT && took < LIMIT * 20, "took {took:?}");
    result
}

fn a_loop_without_end_is_interrupted<E: WasmEngine>() {
    let loaded = load::<E>(&format!(r#"(module (func (export "f") {FOREVER}))"#));
    let mut guest = loaded.start();
    guest.instance.set_time_limit(Some(LIMIT));
    let trap = in_time(&loaded.engine, || guest.call::<(), ()>("f", ()).unwrap_err());
    assert_eq!(trap.kind(), TrapKind::Deadline);
    assert_eq!(trap.to_string(), "wasm trap: interrupt: call exceeded its time limit");
}

fn whatever_goes_on_without_end_is_interrupted<E: WasmEngine>() {
    let ways = [
        "(loop $again (br_if $again (i32.const 1)))",
        "(loop $again (block (br_table 0 $again 0 (i32.const 1))) (br $again))",
        "(loop $again (if (local.tee $i (i32.add (local.get $i) (i32.const 1))) (then (br $again)) (else (br $again))))",
        "(loop $outer (local.set $i (i32.const 9)) (loop $inner
            (br_if $inner (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) (br $outer))",
        "(loop $again (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x100000)) (br $again))",
        "(loop $again (memory.copy (i32.const 0) (i32.const 8) (i32.const 0xffff8)) (br $again))",
        "(loop $again (table.fill $funcs (i32.const 1) (ref.null func) (i32.const 50000)) (br $again))",
        "(loop $again (drop (memory.grow (i32.const 0))) (br $again))",
        "(loop $again (drop (call $host (i32.const 1))) (br $again))",
        "(loop $again (call_indirect $funcs (i32.const 0)) (br $again))",
        "(drop (call $slow (i32.const 100)))",
    ];
    let body = |body: &str| {
        format!(
            r#"(module (import "env" "echo_u32" (func $host (param i32) (result i32))) (memory 16 16)
                 (table $funcs 60000 funcref) (elem (table $funcs) (i32.const 0) func $nothing) (func $nothing)
                 (func $slow (param i32) (result i32) (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
                     (then (local.get 0))
                     (else (i32.add (call $slow (i32.sub (local.get 0) (i32.const 1)))
                         (call $slow (i32.sub (local.get 0) (i32.const 2)))))))
                 (func (export "f") (local $i i32) {body}))"#
        )
    };
    for way in ways {
        let loaded = load::<E>(&body(way));
        let mut guest = loaded.start();
        guest.instance.set_time_limit(Some(LIMIT));
        let trap = in_time(&loaded.engine, || guest.call::<(), ()>("f", ()).unwrap_err());
        assert_eq!(trap.kind(), TrapKind::Deadline, "{way}: {trap:?}");
    }
}

fn the_start_section_is_interrupted<E: WasmEngine>() {
    // With and without exports: where wasmi runs the start function as an export, both are cases of their own.
    for export in ["", r#"(func (export "f"))"#] {
        let loaded = load::<E>(&format!("(module {export} (func $start {FOREVER}) (start $start))"));
        let trap = in_time(&loaded.engine, || loaded.try_start(Some(LIMIT)).err().unwrap());
        assert_eq!(trap.kind(), TrapKind::Deadline);
    }
}

fn an_allocator_is_interrupted<E: WasmEngine>() {
    let loaded = load::<E>(&format!(
        r#"(module (import "env" "alloc" (func $alloc (param i32) (result i32)))
             (func (export "allocate") (param i32) (result i32) {FOREVER} (i32.const 0))
             (func (export "f") (drop (call $alloc (i32.const 1)))))"#
    ));
    let mut guest = loaded.start();
    guest.instance.set_time_limit(Some(LIMIT));
    let trap = in_time(&loaded.engine, || guest.call::<(), ()>("f", ()).unwrap_err());
    assert_eq!(trap.kind(), TrapKind::Deadline);
}

fn a_deadline_that_the_host_ignores_still_ends_the_call<E: WasmEngine>() {
    let loaded = load::<E>(&format!(
        r#"(module (import "env" "alloc_and_go_on" (func $alloc (param i32) (result i32)))
             (func (export "allocate") (param i32) (result i32) {FOREVER} (i32.const 0))
             (func (export "f") (drop (call $alloc (i32.const 1))) {FOREVER}))"#
    ));
    let mut guest = loaded.start();
    guest.instance.set_time_limit(Some(LIMIT));
    let trap = in_time(&loaded.engine, || guest.call::<(), ()>("f", ()).unwrap_err());
    assert_eq!(trap.kind(), TrapKind::Deadline);
}

/// Counts down; a million steps take well under a millisecond on wasmtime and a few on wasmi.
const COUNT: &str = r#"(module (func (export "count") (param i32)
    (loop $again (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $again (local.get 0)))))"#;

fn each_call_has_the_whole_time<E: WasmEngine>() {
    let loaded = load::<E>(COUNT);
    let limit = LIMIT * 4;
    let _ticker = loaded.engine.ticker(limit);
    let mut guest = loaded.start();
    guest.instance.set_time_limit(Some(limit));
    let started = Clock::now();
    while started.elapsed() < limit * 2 {
        guest.call::<(u32,), ()>("count", (1_000_000,)).unwrap();
    }
}

fn a_call_without_a_limit_may_take_its_time<E: WasmEngine>() {
    let loaded = load::<E>(COUNT);
    let _ticker = loaded.engine.ticker(Duration::from_millis(1));
    let mut guest = loaded.start();
    guest.instance.set_time_limit(Some(Duration::from_millis(1)));
    guest.instance.set_time_limit(None);
    guest.call::<(u32,), ()>("count", (100_000_000,)).unwrap();
}

fn a_ticker_ends_at_once<E: WasmEngine>() {
    let loaded = load::<E>("(module)");
    // Its step is 100 ms. Several times, as the machine may be busy with something else at one of them.
    let ended_at_once = (0..10).any(|_| {
        let ticker = loaded.engine.ticker(Duration::from_secs(3600));
        let started = Clock::now();
        drop(ticker);
        started.elapsed() < Duration::from_millis(20)
    });
    assert!(ended_at_once);
}

#[cfg(all(feature = "wasmtime", target_os = "linux"))]
#[test]
fn a_ticker_sees_no_signal() {
    use std::fs;

    let loaded = load::<engines::Wasmtime>("(module)");
    let _ticker = loaded.engine.ticker(LIMIT);
    // The thread names itself, in its own time.
    let blocked = (0..1000).find_map(|_| {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let found = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
        let ticker = found.into_iter().find(|status| status.starts_with("Name:\twasm-ticker\n"));
        std::thread::sleep(Duration::from_millis(1));
        let status = ticker?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t"))?;
        Some(u64::from_str_radix(mask.trim(), 16).unwrap())
    });
    let blocked = blocked.expect("a thread called wasm-ticker");
    for signal in
        [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM, libc::SIGQUIT, libc::SIGCHLD, libc::SIGALRM]
    {
        assert_ne!(blocked & 1 << (signal - 1), 0, "signal {signal} is not blocked");
    }
}
