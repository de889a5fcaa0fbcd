//! wasmtime and wasmer in one process: both catch the signals of faults, each passes on those that are not its own.

use engines::{TrapKind, WasmEngine, Wasmer, Wasmtime};

use crate::{
    forks::{alone, fork},
    host::{Loaded, load},
};

/// A fault of each kind: memory, arithmetic, an instruction that is none, the stack; and one that is no fault.
const GUEST: &str = r#"(module (import "env" "refuse" (func $refuse)) (memory 1)
    (func (export "memory") (drop (i32.load (i32.const -1))))
    (func (export "arithmetic") (param i32) (drop (i32.div_u (i32.const 1) (local.get 0))))
    (func (export "instruction") unreachable)
    (func $r (export "stack") (call $r))
    (func (export "refuse") (call $refuse))
    (func (export "fine") (result i32) (i32.const 42)))"#;

fn faults<E: WasmEngine>(loaded: &Loaded<E>) {
    let texts = ["memory", "instruction", "stack", "refuse"]
        .map(|name| loaded.start().call::<(), ()>(name, ()).unwrap_err().to_string());
    assert_eq!(
        texts,
        [
            "wasm trap: out of bounds memory access",
            "wasm trap: wasm `unreachable` instruction executed",
            "wasm trap: call stack exhausted",
            "the host says no",
        ]
    );
    assert_eq!(loaded.start().call::<(u32,), ()>("arithmetic", (0,)).unwrap_err().kind(), TrapKind::Guest);
    assert_eq!(loaded.start().call::<(), u32>("fine", ()).unwrap(), 42);
}

fn take_turns<A: WasmEngine, B: WasmEngine>() {
    alone(|| {
        let first = load::<A>(GUEST);
        faults(&first);
        let second = load::<B>(GUEST);
        let work = || {
            for _ in 0..3 {
                faults(&first);
                faults(&second);
            }
        };
        fork(work).join();
        work();
        fork(|| fork(work).join()).join();
        fork(|| {
            faults(&load::<B>(GUEST));
            faults(&load::<A>(GUEST));
            work();
        })
        .join();
    });
}

#[test]
fn wasmtime_first() {
    take_turns::<Wasmtime, Wasmer>();
}

#[test]
fn wasmer_first() {
    take_turns::<Wasmer, Wasmtime>();
}

/// What is nobody's fault kills the process as it would without engines.
#[test]
fn a_fault_of_the_host_is_one() {
    alone(|| {
        faults(&load::<Wasmtime>(GUEST));
        faults(&load::<Wasmer>(GUEST));
        // SAFETY: the child does nothing but fail.
        let status = unsafe {
            match libc::fork() {
                0 => {
                    libc::alarm(20);
                    std::ptr::null_mut::<u8>().write_volatile(1);
                    libc::_exit(0)
                }
                pid => {
                    let mut status = 0;
                    libc::waitpid(pid, &mut status, 0);
                    status
                }
            }
        };
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV, "{status:x}");
    });
}
