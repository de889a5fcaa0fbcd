//! Many workers at the same keys.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![no_increment_is_lost];

fn no_increment_is_lost(engine: Engine) {
    const WORKERS: u64 = 4;
    // On wasmtime a million of them, by four workers at once.
    let each: u64 = if engine == Engine::Wasmi { 30_000 } else { 252_000 };
    let count = format!("configure: tick 1; tick: once kv_add a,b,c {each}; tick 0");
    let ng = Nginx::new(engine)
        .workers(WORKERS as usize)
        .http("proxy_wasm_time_limit 0;")
        .wasm_directive("proxy_wasm_time_limit 0;")
        .wasm_directive("shm_kv * 1m eviction=lru;")
        .script("/count", &count, "")
        .script("/a", "request_headers: kv_get a; reply 200 {it}", "")
        .script("/b", "request_headers: kv_get b; reply 200 {it}", "")
        .script("/c", "request_headers: kv_get c; reply 200 {it}", "")
        .start();
    let done = ng.log().wait_for(WORKERS as usize, "kv_add a,b,c");
    assert!(done.iter().all(|line| line.contains("-> 0 ")), "{done:?}");
    for key in ["/a", "/b", "/c"] {
        ng.get(key).body((WORKERS * each / 3).to_string());
    }
}
