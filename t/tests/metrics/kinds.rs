//! Counters, gauges and histograms, as a filter sees them; the status page shows what it cannot read itself.

use wasmx_t::{Engine, Nginx, guest};

wasmx_t::on_every_engine![
    a_counter_counts,
    a_gauge_goes_up_and_down,
    a_histogram_has_buckets,
    a_histogram_has_the_buckets_that_are_configured,
    what_a_kind_is_not_for_is_refused,
    an_unknown_id_is_not_found,
    a_name_has_one_id,
    all_workers_count_together,
    every_isolation_counts,
    roots_count,
    each_module_has_its_own,
    without_a_status_page_metrics_count,
    a_trial_start_counts_nothing,
];

const STATUS: &str = "proxy_wasm off; wasm_status;";

fn a_counter_counts(engine: Engine) {
    let script = "configure: define counter c; request_headers: increment 2 c; metric c; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "").location("/status", STATUS).start();
    ng.get("/").body("2");
    ng.get("/").body("4");
    ng.get("/status").status(200).body_has("\n# TYPE c counter\nc{filter=\"script\"} 4\n");
}

fn a_gauge_goes_up_and_down(engine: Engine) {
    let script = "configure: define gauge g; request_headers: record 10 g; increment -13 g; metric g; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "").location("/status", STATUS).start();
    ng.get("/").body("18446744073709551613");
    ng.get("/status").body_has("\n# TYPE g gauge\ng{filter=\"script\"} -3\n");
}

fn a_histogram_has_buckets(engine: Engine) {
    let script = "configure: define histogram h; request_headers: record 3 h; record 4 h; record 5 h; reply 200 ok";
    let ng = Nginx::new(engine).script("/", script, "").location("/status", STATUS).start();
    ng.get("/").status(200);
    let page = ng.get("/status");
    for (bound, count) in [("2", 0), ("4", 2), ("8", 3), ("34359738368", 3), ("+Inf", 3)] {
        page.body_has(&format!("h_bucket{{filter=\"script\",le=\"{bound}\"}} {count}\n"));
    }
    page.body_has("h_sum{filter=\"script\"} 12\n").body_has("h_count{filter=\"script\"} 3\n");
}

fn a_histogram_has_the_buckets_that_are_configured(engine: Engine) {
    let script = "configure: define histogram h; request_headers: record 3 h; record 10 h; record 11 h; reply 200 ok";
    let ng = Nginx::new(engine)
        .wasm_directive("metrics { histogram_buckets 5 10; }")
        .script("/", script, "")
        .location("/status", STATUS)
        .start();
    ng.get("/").status(200);
    let label = "h_bucket{filter=\"script\",le=";
    ng.get("/status").body_has(&format!("{label}\"5\"}} 1\n{label}\"10\"}} 2\n{label}\"+Inf\"}} 3\n"));
}

fn what_a_kind_is_not_for_is_refused(engine: Engine) {
    let script =
        "define counter c; define histogram h; increment -1 c; increment 1 h; metric h; define 3 x; define counter ";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().has("increment -1 c -> 2").has("increment 1 h -> 2").has("metric h -> 2").has("define 3 x -> 2");
    ng.log().has("define counter -> 2");
}

fn an_unknown_id_is_not_found(engine: Engine) {
    let script = "define counter c; increment 1 #0; record 1 #77; metric #4294967295";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().has("increment 1 #0 -> 1").has("record 1 #77 -> 1").has("metric #4294967295 -> 1");
}

fn a_name_has_one_id(engine: Engine) {
    let script = "define counter a; define counter b; request_headers: define counter b; reply 200 {it}";
    let ng = Nginx::new(engine).workers(2).script("/", script, "").start();
    ng.log().wait_for(2, "define counter a -> 0 \"1\"");
    ng.log().wait_for(2, "define counter b -> 0 \"2\"");
    ng.get("/").body("2");
}

fn all_workers_count_together(engine: Engine) {
    let script = "configure: define counter c; increment 1 c; request_headers: metric c; reply 200 {it}";
    let ng = Nginx::new(engine).workers(3).script("/", script, "").start();
    ng.log().wait_for(3, "increment 1 c -> 0");
    ng.get("/").body("3");
}

fn every_isolation_counts(engine: Engine) {
    for isolation in ["none", "stream", "filter"] {
        let script = "request_headers: define counter c; increment 1 c; metric c; reply 200 {it}";
        let ng = Nginx::new(engine).script("/", script, format!("proxy_wasm_isolation {isolation};")).start();
        for expected in ["1", "2", "3"] {
            ng.get("/").body(expected);
        }
    }
}

fn roots_count(engine: Engine) {
    let script = "configure: define counter c; tick 5; tick: increment 1 c; metric c; say counted {it}";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.log().wait("counted 3");
}

fn each_module_has_its_own(engine: Engine) {
    let script = "configure: define counter c; request_headers: increment 1 c";
    let ng = Nginx::new(engine)
        .wasm("other", guest("script"))
        .script("/", script, (format!("proxy_wasm other '{script}; increment 1 #1';"), "return 200;"))
        .location("/status", STATUS)
        .start();
    ng.get("/").status(200);
    ng.get("/status").body_has("\nc{filter=\"script\"} 1\n").body_has("\nc{filter=\"other\"} 1\n");
    ng.log().has("increment 1 #1 -> 1");
}

fn without_a_status_page_metrics_count(engine: Engine) {
    let script = "configure: define counter c; request_headers: increment 1 c; metric c; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.get("/").body("1");
    ng.get("/").body("2");
}

fn a_trial_start_counts_nothing(engine: Engine) {
    let script = "configure: define counter c; increment 1 c; metric c; log 4 trial {it}; request_headers: metric c; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.log().wait("increment 1 c -> 0");
    ng.get("/").body("1");
    Nginx::new(engine).script("/", script, "").conf_test().accepts().says("trial 1");
}
