//! All the ways of a filter to fail.

use std::hint::black_box;

/// Fails in the way of this name.
pub fn cause(kind: &str) {
    match kind {
        "unreachable" => core::arch::wasm32::unreachable(),
        "panic" => panic!("the script says so"),
        "loop" => loop {
            black_box(());
        },
        "recursion" => {
            black_box(recurse(black_box(1)));
        }
        // Takes what it gets, and fails when there is no more.
        "memory" => loop {
            if core::arch::wasm32::memory_grow::<0>(16) == usize::MAX {
                core::arch::wasm32::unreachable();
            }
        },
        // SAFETY: none. An access out of bounds is a trap in WebAssembly, which is what is wanted here.
        "pointer" => unsafe {
            black_box((black_box(0xffff_fff0usize) as *const u64).read_volatile());
        },
        "exit" => std::process::exit(7),
        other => panic!("no trouble is called {other}"),
    }
}

#[allow(unconditional_recursion, reason = "that is the trouble")]
fn recurse(depth: u64) -> u64 {
    let more = [depth; 4];
    recurse(black_box(&more)[3] + 1) + black_box(&more)[0]
}

/// Keeps busy for some milliseconds.
pub fn spin(milliseconds: u32) {
    let begun = std::time::Instant::now();
    while begun.elapsed().as_millis() < milliseconds.into() {}
}
