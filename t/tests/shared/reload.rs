//! What a reload keeps.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    values_are_kept,
    values_are_kept_when_the_policy_changes,
    values_are_gone_when_the_size_changes,
    items_are_kept_and_go_to_the_new_worker,
    zones_come_and_go,
    more_workers_are_woken,
    an_old_worker_takes_no_wake_up_away,
    a_refused_reload_changes_nothing,
    a_single_process_reads_no_zone_that_is_gone,
];

const COUNTER: &str = "request_headers: kv_add z/k 1; kv_get z/k; reply 200 {it}";

fn values_are_kept(engine: Engine) {
    let ng = Nginx::new(engine).wasm_directive("shm_kv z 1m;").script("/", COUNTER, "").start();
    ng.get("/").body("1");
    ng.reload();
    ng.get("/").body("2");
    ng.reload();
    ng.get("/").body("3");
}

fn values_are_kept_when_the_policy_changes(engine: Engine) {
    let ng = Nginx::new(engine).wasm_directive("shm_kv z 1m eviction=none;").script("/", COUNTER, "").start();
    ng.get("/").body("1");
    ng.edit(|conf| conf.replace("eviction=none", "eviction=lru"));
    ng.reload();
    ng.get("/").body("2");
    ng.edit(|conf| conf.replace(" eviction=lru", ""));
    ng.reload();
    ng.get("/").body("3");
}

fn values_are_gone_when_the_size_changes(engine: Engine) {
    let ng = Nginx::new(engine).wasm_directive("shm_kv z 1m;").script("/", COUNTER, "").start();
    ng.get("/").body("1");
    ng.edit(|conf| conf.replace("shm_kv z 1m", "shm_kv z 2m"));
    ng.reload();
    ng.get("/").body("1");
}

fn items_are_kept_and_go_to_the_new_worker(engine: Engine) {
    let script = "configure: queue jobs; request_headers: enqueue jobs old; enqueue jobs older; reply 200 sent";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.get("/").body("sent");
    ng.edit(|conf| {
        conf.replace("configure: queue jobs;", "configure: queue jobs; queue_ready: dequeue; say got {it};")
    });
    ng.edit(|conf| conf.replace("request_headers:", "request_headers: say asked;"));
    ng.reload();
    ng.log().wait("got older");
    let got: Vec<_> = ng.log().lines_with("got ").iter().map(|line| line.ends_with("got old")).collect();
    assert_eq!(got, [true, false]);
}

fn zones_come_and_go(engine: Engine) {
    let ng = Nginx::new(engine).wasm_directive("shm_kv z 1m;").script("/", COUNTER, "").start();
    ng.get("/").body("1");
    // Now the key is in the zone for all others.
    ng.edit(|conf| conf.replace("shm_kv z 1m;", "shm_queue z 1m;"));
    ng.reload();
    ng.get("/").body("1");
    ng.edit(|conf| conf.replace("shm_queue z 1m;", "shm_kv z 1m;"));
    ng.reload();
    ng.get("/").body("1");
}

fn more_workers_are_woken(engine: Engine) {
    let script =
        "configure: queue jobs; queue_ready: dequeue; say got {it}; request_headers: enqueue jobs x; reply 200 sent";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.get("/").body("sent");
    ng.log().wait("got x");
    ng.edit(|conf| conf.replace("worker_processes 1", "worker_processes 5"));
    ng.reload();
    wasmx_t::eventually("five workers", || (ng.workers().len() == 5).then_some(()));
    ng.log().wait_for(7, "queue jobs -> 0");
    let log = ng.log().from_here();
    for round in 1..=5 {
        ng.get("/").body("sent");
        log.wait_for(round, "got x");
    }
}

fn an_old_worker_takes_no_wake_up_away(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let ng = Nginx::new(engine)
        .script("/", "configure: queue jobs; queue_ready: dequeue; say got {it}", ("proxy_buffering off;", up.pass()))
        .script("/send", "request_headers: queue_find - jobs; enqueue jobs x; reply 200 sent", "")
        .start();
    let before = ng.workers();
    let mut connection = ng.request("GET", "/").begin();
    tap.send("begun");
    connection.until("begun");
    ng.hangup();
    ng.log().wait("gracefully shutting down");
    ng.log().wait_for(2, "queue jobs -> 0");
    // Both have the same place among the workers, and are woken.
    for count in 1..=30 {
        ng.get("/send").body("sent");
        ng.log().wait_for(count, "got x");
    }
    drop(tap);
    connection.rest();
    ng.await_replacement(&before);
}

fn a_refused_reload_changes_nothing(engine: Engine) {
    let ng = Nginx::new(engine).wasm_directive("shm_kv z 1m;").script("/", COUNTER, "").start();
    ng.get("/").body("1");
    ng.allow("invalid shm size");
    ng.edit(|conf| conf.replace("shm_kv z 1m;", "shm_kv z 2m; shm_kv y 1x;"));
    ng.hangup();
    ng.log().wait("invalid shm size");
    ng.get("/").body("2");
}

fn a_single_process_reads_no_zone_that_is_gone(engine: Engine) {
    if Nginx::lacks_single_process("reload::a_single_process_reads_no_zone_that_is_gone") {
        return;
    }
    let script = "configure: tick 10; tick: kv_add z/k 1; kv_get z/k; say count {it}";
    let ng = Nginx::new(engine).single_process().wasm_directive("shm_kv z 1m;").script("/", script, "").start();
    ng.log().wait("count 2");
    // The filters of the one process go on, the zone does not.
    ng.edit(|conf| conf.replace("shm_kv z 1m;", "shm_kv z 2m;"));
    let log = ng.log().from_here();
    ng.hangup();
    log.wait("count 1");
    log.wait_for(5, "count ");
}
