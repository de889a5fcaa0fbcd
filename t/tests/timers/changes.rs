//! Periods that change.

use std::time::{Duration, Instant};

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    a_tick_changes_its_own_period,
    a_request_stops_a_tick_and_starts_it_again,
    roots_have_ticks_of_their_own,
    the_longest_period_does_not_tick,
    a_tick_is_not_early,
    instances_of_requests_do_not_tick,
    ticks_go_on_after_a_start_that_failed,
];

fn a_tick_changes_its_own_period(engine: Engine) {
    let script =
        "configure: tick 10; tick: count; say tick {it}; nth 3 tick 3600000; request_headers: tick 10; reply 200 on";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.log().wait("tick 3600000 -> 0");
    std::thread::sleep(Duration::from_millis(100));
    ng.log().lacks("say tick 4").has_times(0, "] tick 4");
    ng.get("/").body("on");
    ng.log().wait("tick 4");
}

fn a_request_stops_a_tick_and_starts_it_again(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/", "configure: tick 5; tick: say ticked; request_headers: when x-on tick 5; unless x-on tick 0; reply 200 done", "")
        .start();
    ng.log().wait("ticked");
    ng.get("/").body("done");
    ng.log().wait("tick 0 -> 0");
    let log = ng.log().from_here();
    std::thread::sleep(Duration::from_millis(100));
    log.lacks("ticked");
    ng.request("GET", "/").header("X-On", "1").send().body("done");
    log.wait_for(3, "ticked");
}

fn roots_have_ticks_of_their_own(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/fast", "configure: tick 5; tick: say fast", "")
        .script("/slow", "configure: tick 200; tick: say slow", "")
        .script("/never", "configure: tick 5; tick 0; tick: say never", "")
        .start();
    ng.log().wait_for(2, "slow");
    let fast = ng.log().lines_with("fast").len();
    assert!(fast >= 10, "{fast}");
    ng.log().lacks("never,").lacks("say never");
}

fn the_longest_period_does_not_tick(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/", "configure: tick 0xffffffff; tick: say ticked", "")
        .script("/other", "configure: tick 10; tick: say other", "")
        .start();
    ng.log().wait_for(10, "other");
    ng.log().has("tick 0xffffffff -> 0").lacks("ticked");
}

fn a_tick_is_not_early(engine: Engine) {
    let ng =
        Nginx::new(engine).script("/", "request_headers: tick 300; reply 200 on; tick: say ticked; tick 0", "").start();
    let asked = Instant::now();
    ng.get("/").body("on");
    ng.log().wait("ticked");
    // nginx rounds the time that it takes down to a tick of its clock.
    assert!(asked.elapsed() >= Duration::from_millis(290), "{:?}", asked.elapsed());
}

fn instances_of_requests_do_not_tick(engine: Engine) {
    for isolation in ["stream", "filter"] {
        let script = "request_headers: tick 5; reply 200 on; tick: say ticked";
        let ng = Nginx::new(engine)
            .script("/", script, format!("proxy_wasm_isolation {isolation};"))
            .script("/other", "configure: tick 10; tick: say other", "")
            .start();
        ng.get("/").body("on");
        ng.log().has("tick 5 -> 0");
        ng.log().from_here().wait_for(10, "other");
        ng.log().lacks("ticked");
    }
}

fn ticks_go_on_after_a_start_that_failed(engine: Engine) {
    // In the worker the start fails once: the value is there then, and not in the trial.
    let script = "configure: tick 10; kv_add started 1; kv_get started; say start {it}; tick: say ticked";
    let ng = Nginx::new(engine)
        .script("/", &format!("{script}; trap unreachable"), "")
        .script("/kept", "request_headers: reply 200 fine", "")
        .start();
    // Each new VM ticks once, then traps, and the next starts.
    ng.log().wait_for(3, "ticked");
    ng.log().wait("start 3");
}
