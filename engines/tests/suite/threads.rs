//! Threads: none may be alive when nginx forks.

use std::fs;

use engines::WasmEngine;

use crate::{
    forks::alone,
    host::{bytes, config},
};

on_every_engine!(no_thread_is_left_after_compiling, signals_are_as_they_were);

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

fn no_thread_is_left_after_compiling<E: WasmEngine>() {
    alone(|| {
        let before = threads();
        let engine = E::new(&config()).unwrap();
        let funcs = "(func (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))".repeat(500);
        let good = bytes(&format!("(module {funcs})"));
        for _ in 0..20 {
            let module = engine.compile(&good).unwrap();
            assert_eq!(threads(), before);
            let artefact = engine.serialize(&module).unwrap();
            // SAFETY: it was made by this engine, this moment.
            assert!(unsafe { engine.deserialize(&artefact) }.is_ok());
            assert_eq!(threads(), before);
            assert!(engine.compile(&good[..good.len() - 1]).is_err());
            assert_eq!(threads(), before);
        }
    });
}

/// nginx has its own use for the signals that are not faults, and is to be reached by all of them.
fn signals_are_as_they_were<E: WasmEngine>() {
    const OF_THE_HOST: [libc::c_int; 8] = [
        libc::SIGHUP,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGTERM,
        libc::SIGQUIT,
        libc::SIGINT,
        libc::SIGCHLD,
        libc::SIGALRM,
    ];
    let state = || {
        // SAFETY: both structures are ours, and filled in by the calls.
        unsafe {
            let mut mask = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
            OF_THE_HOST.map(|signal| {
                let mut action: libc::sigaction = std::mem::zeroed();
                assert_eq!(libc::sigaction(signal, std::ptr::null(), &mut action), 0);
                (action.sa_sigaction, libc::sigismember(&mask, signal))
            })
        }
    };
    alone(|| {
        let before = state();
        let loaded = crate::host::load::<E>(r#"(module (func (export "f") unreachable))"#);
        assert!(loaded.start().call::<(), ()>("f", ()).is_err());
        assert_eq!(state(), before);
    });
}
