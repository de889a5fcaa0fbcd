//! What the host measures of its filters.

use wasmx_t::{Engine, Nginx, Running, eventually};

use crate::parser::{Page, read, value, values};

wasmx_t::on_every_engine![
    calls_and_their_times,
    failures_and_traps,
    a_deadline,
    contexts_come_and_go,
    memory_grows,
    instances_of_requests,
    each_worker_counts_once,
    a_killed_worker_holds_nothing,
    old_workers_are_counted_until_they_end,
];

const STATUS: &str = "proxy_wasm off; wasm_status;";

fn page(ng: &Running) -> Page {
    read(&ng.get("/status").status(200).text())
}

fn now(ng: &Running, name: &str) -> f64 {
    value(&page(ng), &format!("wasmx_filter_{name}"))
}

fn calls_and_their_times(engine: Engine) {
    let ng =
        Nginx::new(engine).script("/", "request_headers: spin 20", "return 200;").location("/status", STATUS).start();
    let before = now(&ng, "calls_total");
    for _ in 0..3 {
        ng.get("/").status(200);
    }
    let page = page(&ng);
    let (label, _) = values(&page, "wasmx_filter_calls_total").remove(0);
    assert_eq!(label, format!("engine={engine},filter=script"));
    let calls = value(&page, "wasmx_filter_calls_total") - before;
    assert!(calls >= 6.0, "a request, its response and its end: {calls}");
    let time = &page["wasmx_filter_call_seconds"].samples;
    let of = |name: &str| time.iter().find(|sample| sample.name.ends_with(name)).map_or(0.0, |sample| sample.value);
    assert!((0.06..60.0).contains(&of("_sum")), "{}", of("_sum"));
    let short = time.iter().find(|sample| sample.labels.get("le").is_some_and(|le| le.parse() == Ok(0.016777216)));
    assert_eq!(of("_count") - short.expect("2^24 ns").value, 3.0, "those that took 20 ms");
}

fn failures_and_traps(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/", "request_headers: trap unreachable", "return 200;")
        .location("/status", STATUS)
        .start();
    ng.get("/").status(500);
    ng.get("/").status(500);
    let page = page(&ng);
    for (name, expected) in [("failures", 2.0), ("traps", 2.0), ("deadlines", 0.0), ("restarts", 2.0)] {
        assert_eq!(value(&page, &format!("wasmx_filter_{name}_total")), expected, "{name}");
    }
    eventually("a new instance", || (now(&ng, "instances") == 1.0).then_some(()));
}

fn a_deadline(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/", "request_headers: trap loop", "proxy_wasm_time_limit 50ms; return 200;")
        .location("/status", STATUS)
        .start();
    ng.get("/").status(500);
    assert_eq!((now(&ng, "deadlines_total"), now(&ng, "traps_total")), (1.0, 1.0));
}

fn contexts_come_and_go(engine: Engine) {
    let ng =
        Nginx::new(engine).script("/", "request_headers: pause", "return 200;").location("/status", STATUS).start();
    let held = [(); 3].map(|()| ng.request("GET", "/").begin());
    eventually("three contexts", || (now(&ng, "contexts") == 3.0).then_some(()));
    for connection in held {
        connection.reset();
    }
    eventually("no context", || (now(&ng, "contexts") == 0.0).then_some(()));
}

fn memory_grows(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/", "request_headers: keep 5000000; reply 200 ok", "")
        .location("/status", STATUS)
        .start();
    let before = now(&ng, "memory_bytes");
    assert!(before >= 65536.0, "{before}");
    ng.get("/").status(200);
    let after = now(&ng, "memory_bytes");
    assert!(after >= before + 4_000_000.0, "{before} {after}");
}

fn instances_of_requests(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/", "request_headers: pause", "proxy_wasm_isolation stream; return 200;")
        .location("/status", STATUS)
        .start();
    assert_eq!(now(&ng, "instances"), 1.0, "that of the roots");
    let _held = [(); 2].map(|()| ng.request("GET", "/").begin());
    eventually("two more instances", || (now(&ng, "instances") == 3.0).then_some(()));
}

fn each_worker_counts_once(engine: Engine) {
    let ng = Nginx::new(engine).workers(3).script("/", "", "return 200;").location("/status", STATUS).start();
    eventually("three workers", || (now(&ng, "instances") == 3.0).then_some(()));
    assert_eq!(value(&page(&ng), "wasmx_workers"), 3.0);
}

fn a_killed_worker_holds_nothing(engine: Engine) {
    let ng = Nginx::new(engine)
        .workers(2)
        .script("/", "request_headers: pause", "return 200;")
        .location("/status", STATUS)
        .start();
    let _held = [(); 6].map(|()| ng.request("GET", "/").begin());
    eventually("the contexts", || (now(&ng, "contexts") == 6.0).then_some(()));
    for worker in ng.workers() {
        ng.kill_worker(worker);
    }
    eventually("no contexts", || (now(&ng, "contexts") == 0.0 && now(&ng, "instances") == 2.0).then_some(()));
    assert_eq!(value(&page(&ng), "wasmx_workers"), 2.0);
}

fn old_workers_are_counted_until_they_end(engine: Engine) {
    let ng =
        Nginx::new(engine).script("/", "request_headers: pause", "return 200;").location("/status", STATUS).start();
    let held = ng.request("GET", "/").begin();
    eventually("a context", || (now(&ng, "contexts") == 1.0).then_some(()));
    ng.hangup();
    eventually("two workers", || (value(&page(&ng), "wasmx_workers") == 2.0).then_some(()));
    assert_eq!(now(&ng, "contexts"), 1.0);
    held.reset();
    eventually("one worker", || (value(&page(&ng), "wasmx_workers") == 1.0).then_some(()));
    assert_eq!((now(&ng, "contexts"), now(&ng, "instances")), (0.0, 1.0));
}
