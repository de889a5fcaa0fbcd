//! The tick of a root context.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    a_root_ticks,
    every_worker_ticks,
    a_tick_is_stopped_with_zero,
    a_new_period_replaces_the_old,
    a_request_starts_a_tick,
    a_tick_does_not_hold_up_the_end,
    ticks_go_on_after_a_trap_in_one,
    time_goes_on,
];

fn a_root_ticks(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "configure: tick 10; tick: count; say tick {it}", "return 200;").start();
    ng.log().wait("tick 3");
    ng.log().in_order(&["tick 1", "tick 2", "tick 3"]);
}

fn every_worker_ticks(engine: Engine) {
    let ng = Nginx::new(engine).workers(2).script("/", "configure: tick 10; tick: count; say tick {it}", "").start();
    ng.log().wait_for(2, "tick 2");
}

fn a_tick_is_stopped_with_zero(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/one", "configure: tick 10; tick: say once; tick 0", "")
        .script("/other", "configure: tick 10; tick: say other", "")
        .start();
    ng.log().wait("once");
    let log = ng.log().from_here();
    log.wait_for(10, "other");
    log.lacks("once");
}

fn a_new_period_replaces_the_old(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/", "configure: tick 3600000; tick 10; tick: count; say tick {it}", "return 200;")
        .start();
    ng.log().wait("tick 2");
}

fn a_request_starts_a_tick(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: tick 10; tick: say ticked", "return 200;").start();
    ng.get("/").status(200);
    ng.log().has("tick 10 -> 0").wait("ticked");
}

fn a_tick_does_not_hold_up_the_end(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "configure: tick 3600000", "return 200;").start();
    ng.get("/").status(200);
    let started = std::time::Instant::now();
    ng.stop();
    assert!(started.elapsed() < wasmx_t::patience() / 2, "{:?}", started.elapsed());
}

fn ticks_go_on_after_a_trap_in_one(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/", "configure: tick 10; tick: say ticked; trap unreachable", "return 200 fine;")
        .start();
    ng.log().wait_for(2, "ticked");
    ng.get("/").status(200).body("fine");
}

fn time_goes_on(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: time; reply 200 {it}", "").start();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let told: u128 = ng.get("/").text().parse().unwrap_or_default();
    assert!(told.abs_diff(now) < 60_000_000_000, "{told} is far from {now}");
}
