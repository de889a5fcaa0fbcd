//! What is counted is kept: over reloads, with another number of workers, and when a worker is killed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use wasmx_t::{Engine, Nginx, Running, eventually};

wasmx_t::on_every_engine![
    every_request_is_counted,
    a_killed_worker_takes_nothing_along,
    values_survive_another_number_of_workers,
    gauges_survive_too,
    another_size_begins_anew,
    other_buckets_keep_the_counters,
    a_module_that_comes_back_counts_on,
    a_single_process_counts_on_without_its_zone,
];

const COUNT: &str = "configure: define counter c; request_headers: increment 1 c";

fn counting(engine: Engine) -> Nginx {
    Nginx::new(engine).log_level("notice").script("/", COUNT, "return 200;").location("/status", "wasm_status;")
}

fn value(ng: &Running, name: &str) -> usize {
    let page = ng.get("/status");
    let start = format!("{name}{{filter=\"script\"}} ");
    let line = page.status(200).text().lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().expect("a number")
}

/// Asks from four threads while `meanwhile` runs; how many requests were sent, and how many answered.
fn load(ng: &Running, meanwhile: impl FnOnce(&AtomicUsize)) -> (usize, usize) {
    let (sent, answered, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let address = ng.address();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while !stop.load(Relaxed) {
                    sent.fetch_add(1, Relaxed);
                    answered.fetch_add(usize::from(wasmx_t::ask(address, "/")), Relaxed);
                }
            });
        }
        meanwhile(&answered);
        stop.store(true, Relaxed);
    });
    (sent.into_inner(), answered.into_inner())
}

fn until(answered: &AtomicUsize, more: usize) {
    let wanted = answered.load(Relaxed) + more;
    eventually("answers", || (answered.load(Relaxed) >= wanted).then_some(()));
}

fn every_request_is_counted(engine: Engine) {
    let ng = counting(engine).workers(4).start();
    let (_, first) = load(&ng, |answered| {
        for _ in 0..2 {
            until(answered, 200);
            ng.reload();
        }
        until(answered, 200);
    });
    assert_eq!(value(&ng, "c"), first);
    ng.kill_worker(ng.workers()[0]);
    let (_, second) = load(&ng, |answered| until(answered, 200));
    assert_eq!(value(&ng, "c"), first + second);
}

fn a_killed_worker_takes_nothing_along(engine: Engine) {
    let ng = counting(engine).workers(4).start();
    let (sent, answered) = load(&ng, |answered| {
        for worker in ng.workers() {
            until(answered, 100);
            ng.kill_worker(worker);
        }
    });
    // What a worker was at when it was killed may be counted and not answered.
    let counted = value(&ng, "c");
    assert!((answered..=sent).contains(&counted), "{answered} {counted} {sent}");
    ng.get("/").status(200);
    assert_eq!(value(&ng, "c"), counted + 1);
}

fn values_survive_another_number_of_workers(engine: Engine) {
    let ng = counting(engine).workers(3).start();
    let mut expected = 0;
    for workers in ["worker_processes 1", "worker_processes 20", "worker_processes 2"] {
        let (_, answered) = load(&ng, |answered| until(answered, 50));
        expected += answered;
        assert_eq!(value(&ng, "c"), expected, "{workers}");
        let before = ng.workers();
        ng.edit(|conf| {
            let line = conf.lines().find(|line| line.starts_with("worker_processes")).unwrap_or_default().to_owned();
            conf.replace(&line, &format!("{workers};"))
        });
        ng.hangup();
        let count: usize = workers.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default();
        eventually("the new workers", || {
            let now = ng.workers();
            (now.len() == count && !now.iter().any(|pid| before.contains(pid))).then_some(())
        });
    }
    assert_eq!(value(&ng, "c"), expected);
}

fn gauges_survive_too(engine: Engine) {
    let script =
        "request_headers: define gauge g; record 7 g; increment -2 g; define histogram h; record 5 h; reply 200 ok";
    let ng = Nginx::new(engine).script("/", script, "").location("/status", "wasm_status;").start();
    ng.get("/").status(200);
    ng.reload();
    assert_eq!((value(&ng, "g"), value(&ng, "h_count")), (5, 1));
}

fn another_size_begins_anew(engine: Engine) {
    let ng = counting(engine).wasm_directive("metrics { slab_size 1m; }").start();
    ng.get("/").status(200);
    ng.edit(|conf| conf.replace("slab_size 1m", "slab_size 2m"));
    ng.reload();
    assert_eq!(value(&ng, "c"), 0);
}

fn other_buckets_keep_the_counters(engine: Engine) {
    let script = "request_headers: define counter c; increment 1 c; define histogram h; record 5 h; reply 200 ok";
    let ng = Nginx::new(engine)
        .wasm_directive("metrics { histogram_buckets 1 10; }")
        .script("/", script, "")
        .location("/status", "wasm_status;")
        .start();
    let change = |from: &str, to: &str| {
        ng.edit(|conf| conf.replace(from, to));
        ng.reload();
        ng.get("/").status(200);
    };
    ng.get("/").status(200);
    change("buckets 1 10", "buckets 1 20");
    assert_eq!((value(&ng, "c"), value(&ng, "h_count")), (2, 1));
    ng.get("/status").body_has("le=\"20\"");
    change("buckets 1 20", "buckets 1 10");
    assert_eq!((value(&ng, "c"), value(&ng, "h_count")), (3, 2));
}

fn a_module_that_comes_back_counts_on(engine: Engine) {
    let ng = counting(engine).start();
    ng.get("/").status(200);
    ng.edit(|conf| conf.replace("module script ", "module other ").replace("proxy_wasm script", "proxy_wasm other"));
    ng.reload();
    ng.get("/status").body_has("c{filter=\"other\"} 0\n");
    assert!(!ng.get("/status").text().contains("\"script\""));
    ng.edit(|conf| conf.replace("module other ", "module script ").replace("proxy_wasm other", "proxy_wasm script"));
    ng.reload();
    assert_eq!(value(&ng, "c"), 1);
}

fn a_single_process_counts_on_without_its_zone(engine: Engine) {
    if Nginx::lacks_single_process("a_single_process_counts_on_without_its_zone") {
        return;
    }
    // After a reload, such an nginx takes no connection: ticks go on.
    let script = "configure: define counter c; tick 5; tick: increment 1 c; metric c; say counted {it}.";
    let size = "metrics { slab_size 1m; }";
    let ng = Nginx::new(engine).single_process().wasm_directive(size).script("/", script, "").start();
    ng.log().wait("counted 5.");
    ng.edit(|conf| conf.replace("slab_size 1m", "slab_size 2m"));
    ng.hangup();
    ng.log().wait("reusing compiled");
    let count = |line: String| line.split("counted ").nth(1)?.split('.').next()?.parse::<u32>().ok();
    let counts: Vec<_> = ng.log().from_here().wait_for(20, "counted ").into_iter().filter_map(count).collect();
    assert!(counts[0] > 5 && counts.is_sorted(), "{counts:?}");
}
