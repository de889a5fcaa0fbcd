//! Workers that are killed while they write.

use wasmx_t::{Engine, Nginx, eventually};

wasmx_t::on_every_engine![a_worker_killed_while_it_writes_leaves_a_zone_to_use, a_queue_survives_its_receiver];

fn a_worker_killed_while_it_writes_leaves_a_zone_to_use(engine: Engine) {
    let ng = Nginx::new(engine)
        .workers(3)
        .wasm_directive("proxy_wasm_time_limit 10s;")
        .wasm_directive("shm_kv * 256k eviction=lru;")
        .script("/churn", "configure: tick 1; tick: kv_churn 1000 500", "")
        .script("/", "request_headers: kv_set k 0 v; kv_get k; reply 200 {it}", "")
        .start();
    ng.allow("was left half-written by a process that died: it is emptied");
    ng.allow("was locked by");
    ng.log().wait("kv_churn 1000 500 -> 0");
    for round in 0..15 {
        let workers = ng.workers();
        ng.kill_worker(workers[round % workers.len()]);
        // What others set may take its place between the two, or the zone was emptied then.
        eventually("a zone that gives what was set", || (ng.get("/").status(200).text() == "v").then_some(()));
        let log = ng.log().from_here();
        log.wait("kv_churn 1000 500 -> 0");
    }
    let bad: Vec<_> = ng.log().lines_with("kv_churn").into_iter().filter(|line| !line.contains("-> 0 ")).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

fn a_queue_survives_its_receiver(engine: Engine) {
    let script =
        "configure: queue jobs; queue_ready: dequeue; say got {it}; request_headers: enqueue jobs one; reply 200 sent";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.get("/").body("sent");
    ng.log().wait("got one");
    for _ in 0..3 {
        ng.kill_worker(ng.workers()[0]);
        let log = ng.log().from_here();
        ng.get("/").body("sent");
        log.wait("got one");
    }
}
