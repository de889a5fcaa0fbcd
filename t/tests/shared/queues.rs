//! Queues.

use std::collections::BTreeSet;

use wasmx_t::{Engine, Log, Nginx, eventually};

wasmx_t::on_every_engine![
    a_receiver_is_told_of_each_item,
    every_item_comes_once_and_in_order_from_other_workers,
    the_last_that_registered_receives,
    one_callback_may_take_all,
    items_are_first_in_first_out,
    what_is_not_there_has_a_status,
    a_full_queue_is_refused_and_takes_again,
    a_root_receives_again_after_a_trap,
    an_instance_of_a_request_receives_nothing,
    queues_do_not_hold_up_the_end,
    a_single_process_wakes_itself,
];

const CONSUMER: &str = "configure: queue jobs; queue_ready: dequeue; say got {it}";

/// The processes that wrote these lines.
fn pids(log: &Log, text: &str) -> BTreeSet<String> {
    let pid = |line: &String| line.split("] ").nth(1)?.split('#').next().map(str::to_owned);
    log.lines_with(text).iter().filter_map(pid).collect()
}

fn got(log: &Log) -> Vec<String> {
    let item = |line: &String| line.split("got ").nth(1).map(|rest| rest.split(',').next().unwrap_or(rest).to_owned());
    log.lines_with("got ").iter().filter_map(item).collect()
}

fn a_receiver_is_told_of_each_item(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/consumer", CONSUMER, "")
        .script("/", "request_headers: queue_find - jobs; enqueue jobs one; enqueue jobs two; reply 200 sent", "")
        .start();
    ng.get("/").body("sent");
    ng.log().wait("got two");
    assert_eq!(got(&ng.log()), ["one", "two"]);
    // Not before the callback that put them in had returned.
    ng.log().in_order(&["enqueue jobs two -> 0", "reply 200 sent -> 0", "got one"]);
}

fn every_item_comes_once_and_in_order_from_other_workers(engine: Engine) {
    const ITEMS: usize = 50;
    let send = format!(
        "request_headers: get request x-prefix; queue_find - jobs; enqueue_many jobs {ITEMS} {{it}}; property ngx.pid; reply 200 {{it}}"
    );
    // queue_find gives nothing, so the prefix is asked for after it.
    let send = send.replace("get request x-prefix; queue_find - jobs;", "queue_find - jobs; get request x-prefix;");
    let ng = Nginx::new(engine).workers(4).script("/consumer", CONSUMER, "").script("/", &send, "").start();
    ng.log().wait_for(4, "queue jobs -> 0");
    let mut producers = BTreeSet::new();
    let mut expected = Vec::new();
    let mut sent = 0;
    eventually("requests in two workers", || {
        // Those that connect at the same time find different workers.
        let mut connections: Vec<_> = (0..4).map(|_| ng.connect()).collect();
        for connection in &mut connections {
            sent += 1;
            let prefix = format!("r{sent}-");
            connection.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Prefix: {prefix}\r\n\r\n"));
            producers.insert(connection.response().status(200).text());
            expected.extend((1..=ITEMS).map(|item| format!("{prefix}{item}")));
        }
        (producers.len() > 1 && sent >= 20).then_some(())
    });
    ng.log().wait(&format!("got {}", expected[expected.len() - 1]));
    assert_eq!(got(&ng.log()), expected);
    assert_eq!(pids(&ng.log(), "got ").len(), 1, "one worker receives");
}

fn the_last_that_registered_receives(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/first", "configure: queue jobs; queue_ready: say first", "")
        .script("/second", "request_headers: queue jobs; reply 200 mine; queue_ready: say second", "")
        .script("/", "request_headers: queue_find - jobs; enqueue jobs x; reply 200 sent", "")
        .start();
    ng.get("/").body("sent");
    ng.log().wait("first");
    ng.get("/second").body("mine");
    // What the first was told of and did not take.
    ng.log().wait("second");
    let log = ng.log().from_here();
    ng.get("/").body("sent");
    log.wait("second");
    log.lacks("first");
}

fn one_callback_may_take_all(engine: Engine) {
    let script =
        "configure: queue jobs; queue_ready: say called; dequeue; say got {it}; dequeue; say got {it}; dequeue;
        say got {it}; request_headers: enqueue jobs one; enqueue jobs two; enqueue jobs three; reply 200 sent";
    let ng = Nginx::new(engine).script("/", script, "").start();
    for _ in 0..3 {
        ng.get("/").body("sent");
    }
    ng.log().wait_for(3, "got three");
    assert_eq!(got(&ng.log()), ["one", "two", "three", "one", "two", "three", "one", "two", "three"]);
    ng.log().has_times(3, "called");
}

fn items_are_first_in_first_out(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("shm_queue jobs 64k;")
        .script("/put", "configure: queue jobs; queue other; request_headers: enqueue jobs a; enqueue other b; enqueue jobs c; reply 200 put", "")
        .script("/take", "request_headers: queue_find main jobs; dequeue jobs; reply 200 {it}", "")
        .script("/other", "request_headers: queue_find - other; dequeue other; reply 200 {it}", "")
        .start();
    ng.get("/put").body("put");
    ng.get("/take").body("a");
    ng.get("/take").body("c");
    ng.get("/other").body("b");
}

fn what_is_not_there_has_a_status(engine: Engine) {
    let script = "request_headers: queue_find - jobs; queue jobs; queue_find - jobs; queue_find other_vm jobs;
        dequeue jobs; enqueue 12345 x; dequeue 12345; enqueue 0 x";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().in_order(&[
        "queue_find - jobs -> 1",
        "queue jobs -> 0",
        "queue_find - jobs -> 0",
        "queue_find other_vm jobs -> 1",
        "dequeue jobs -> 7",
        "enqueue 12345 x -> 1",
        "dequeue 12345 -> 1",
        "enqueue 0 x -> 1",
    ]);
}

fn a_full_queue_is_refused_and_takes_again(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("shm_queue jobs 16k;")
        .script(
            "/fill",
            "configure: queue jobs; request_headers: enqueue_many jobs 2000 x; enqueue jobs y; reply 200 filled",
            "",
        )
        .script("/take", "request_headers: queue_find - jobs; dequeue jobs; enqueue jobs zz; reply 200 {it}", "")
        .start();
    ng.get("/fill").body("filled");
    ng.get("/take").status(200);
    ng.log().has("enqueue_many jobs 2000 x -> 10").has("enqueue jobs y -> 10").has("enqueue jobs zz -> 0");
    ng.log().has_times(1, r#"[wasm] shm_queue "jobs" is full: no room for an item"#);
}

fn a_root_receives_again_after_a_trap(engine: Engine) {
    let script = "configure: queue jobs; queue_ready: say called; dequeue; say got {it}; nth 1 trap unreachable;
        request_headers: count; enqueue jobs {it}; reply 200 sent";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.get("/").body("sent");
    ng.log().wait("unreachable");
    ng.log().wait_for(2, "queue jobs -> 0");
    let log = ng.log().from_here();
    ng.get("/").body("sent");
    log.wait("got 1");
}

fn an_instance_of_a_request_receives_nothing(engine: Engine) {
    let script = "configure: say starts; queue jobs; queue_ready: dequeue; say got {it}; request_headers: enqueue jobs x; reply 200 sent";
    for isolation in ["stream", "filter"] {
        let ng = Nginx::new(engine).script("/", script, format!("proxy_wasm_isolation {isolation};")).start();
        ng.get("/").body("sent");
        ng.get("/").body("sent");
        ng.log().wait_for(2, "got x");
        // That is the worker's own root; the instance of the requests asked for it and was not heard.
        assert!(ng.log().lines_with("queue jobs -> 0").len() >= 2, "{}", ng.log().text());
    }
}

fn queues_do_not_hold_up_the_end(engine: Engine) {
    let script = "configure: queue jobs; queue_ready: say ready; request_headers: enqueue jobs x; reply 200 sent";
    let ng = Nginx::new(engine).workers(2).script("/", script, "").start();
    ng.get("/").body("sent");
    ng.log().wait("ready");
    let started = std::time::Instant::now();
    ng.stop();
    assert!(started.elapsed() < wasmx_t::patience() / 2, "{:?}", started.elapsed());
}

fn a_single_process_wakes_itself(engine: Engine) {
    if Nginx::lacks_single_process("queues::a_single_process_wakes_itself") {
        return;
    }
    let script =
        "configure: queue jobs; queue_ready: dequeue; say got {it}; request_headers: enqueue jobs x; reply 200 sent";
    let ng = Nginx::new(engine).single_process().script("/", script, "").start();
    ng.get("/").body("sent");
    ng.log().wait("got x");
}
