//! What becomes of ticks at a reload and at the end.

use std::time::Instant;

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    a_graceful_end_is_not_held_up_by_ticks,
    a_worker_that_waits_for_a_request_still_ticks,
    nothing_ticks_after_a_reload_without_filters,
    a_respawned_worker_ticks,
    caches_have_processes_that_do_not_tick,
];

fn a_graceful_end_is_not_held_up_by_ticks(engine: Engine) {
    let ng = Nginx::new(engine)
        .workers(2)
        .script("/fast", "configure: tick 1; tick: count", "")
        .script("/slow", "configure: tick 3600000", "return 200;")
        .script("/again", "configure: tick 20; tick: tick 3600000; tick 20", "")
        .start();
    ng.get("/slow").status(200);
    let started = Instant::now();
    ng.stop();
    assert!(started.elapsed() < wasmx_t::patience() / 2, "{:?}", started.elapsed());
}

fn a_worker_that_waits_for_a_request_still_ticks(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let script = "configure: tick 10; tick: say old tick";
    let ng = Nginx::new(engine).script("/", script, ("proxy_buffering off;", up.pass())).start();
    let before = ng.workers();
    let mut connection = ng.request("GET", "/").begin();
    tap.send("begun");
    connection.until("begun");
    ng.edit(|conf| conf.replace("old tick", "new tick"));
    ng.hangup();
    ng.log().wait("gracefully shutting down");
    ng.log().from_here().wait_for(3, "old tick");
    drop(tap);
    connection.rest();
    ng.await_replacement(&before);
    let log = ng.log().from_here();
    log.wait_for(5, "new tick");
    log.lacks("old tick");
}

fn nothing_ticks_after_a_reload_without_filters(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/", "configure: tick 5; tick: say ticked", "return 200;")
        .script("/other", "configure: tick 10; tick: say other", "")
        .start();
    ng.log().wait("ticked");
    ng.edit(|conf| {
        conf.replace("say ticked';", "say ticked'; proxy_wasm_isolation none; #").replacen("proxy_wasm script", "#", 1)
    });
    ng.reload();
    let log = ng.log().from_here();
    log.wait_for(10, "other");
    log.lacks("ticked");
}

fn a_respawned_worker_ticks(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "configure: tick 5; tick: say ticked", "").start();
    ng.log().wait("ticked");
    ng.kill_worker(ng.workers()[0]);
    ng.log().from_here().wait_for(3, "ticked");
}

fn caches_have_processes_that_do_not_tick(engine: Engine) {
    let ng = Nginx::new(engine)
        .http("proxy_cache_path cache keys_zone=cache:1m;")
        .script("/", "configure: say starts; tick 5; tick: count; nth 20 say twenty", "")
        .start();
    ng.log().wait("start cache manager process");
    ng.log().wait("twenty");
    // The trial start, which is before there is a log, and the worker.
    let pids: std::collections::BTreeSet<_> = ng
        .log()
        .lines_with("tick 5 -> 0")
        .iter()
        .filter_map(|line| line.split("] ").nth(1)?.split('#').next().map(str::to_owned))
        .collect();
    let worker = ng.workers().iter().filter(|pid| pids.contains(&pid.to_string())).count();
    assert_eq!(worker, 1, "{pids:?} of {:?}", ng.workers());
}
