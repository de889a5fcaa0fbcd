//! The suite. Each test holds on each SDK, down to the log lines: so they do the same. Few tests with much in each: Go's
//! modules are large, and each test compiles one.

use std::path::{Path, PathBuf};

use wasmx_t::{Engine, Nginx, Reply, Sdk, Upstream};

use crate::heard::{exchange, said};

wasmx_t::on_every_sdk![
    requests_and_responses_are_changed,
    a_filter_answers_shares_and_measures,
    all_workers_and_instances_do_the_same,
    a_configuration_is_refused,
];

fn filter(sdk: Sdk) -> Result<PathBuf, String> {
    sdk.suite()
}

const HEADERS: &str = r#"201
content-type: text/suite
content-length: 4
x-up: a
x-many: 1
x-many: 2

body

info: request: 10 headers, end true
info: request header :method=GET
info: request header :path=/headers?q=1
info: request header :authority=localhost
info: request header :scheme=http
info: request header host=localhost
info: request header connection=close
info: request header x-replaced=old
info: request header x-removed=1
info: request header x-twice=1
info: request header x-twice=2
info: missing: ""
info: response: 4 headers, end false, status 200
info: response header :status=200
info: response header content-length=4
info: response header x-secret=1
info: response header x-up=a
info: logged GET 201"#;

const BODY: &str = "200
transfer-encoding: chunked

<one two three>

info: request body: 14 bytes, end true
info: response body: 13 bytes
info: logged POST 200";

const REPLY: &str = "418
content-type: text/suite
content-length: 19
x-many: 1
x-many: 2

GET /reply?b=c: no

info: logged GET 418";

fn requests_and_responses_are_changed(engine: Engine, filter: &Path) {
    let changed = Upstream::new().respond(|_| Reply::ok("body").header("X-Secret", "1").header("X-Up", "a"));
    let spoken = Upstream::new().respond(|_| Reply::chunks(["one ", "two ", "three"]));
    let ng = Nginx::new(engine)
        .wasm("suite", filter)
        .location("/headers", ("proxy_wasm suite headers;", changed.pass()))
        .location("/body", ("proxy_wasm suite body;", spoken.pass()))
        .start();

    let request = ng.request("GET", "/headers?q=1").header("X-Replaced", "old").header("X-Removed", "1");
    assert_eq!(exchange(&ng, request.header("X-Twice", "1").header("X-Twice", "2")), HEADERS);
    changed.saw(|request| {
        assert_eq!(request.target(), "/changed?by=filter");
        request.header("x-replaced", "new").no_header("x-removed");
        assert_eq!(request.values("x-added"), ["1", "2"]);
        assert_eq!(request.values("x-twice"), ["1", "2"]);
    });

    assert_eq!(exchange(&ng, ng.request("POST", "/body").body("loud and clear")), BODY);
    spoken.saw(|request| {
        request.header("content-length", "14").body("LOUD AND CLEAR");
    });
    // Larger than nginx's buffer, so that it is read from a file.
    let large = "0123456789abcdef".repeat(10_000);
    ng.post("/body", &large).status(200).body("<one two three>");
    spoken.saw(|request| {
        request.body(large.to_uppercase());
    });
}

fn a_filter_answers_shares_and_measures(engine: Engine, filter: &Path) {
    let ng = Nginx::new(engine)
        .wasm("suite", filter)
        .location("/reply", "proxy_wasm suite reply; return 200 never;")
        .location("/shared", "proxy_wasm suite shared; return 200 never;")
        .location("/metrics", "proxy_wasm suite metrics; return 200 never;")
        .location("/status", "wasm_status;")
        .start();
    assert_eq!(exchange(&ng, ng.request("GET", "/reply?b=c")), REPLY);

    for (count, found) in [(1, "false"), (2, "true"), (3, "true")] {
        let heard = exchange(&ng, ng.request("GET", "/shared"));
        let line = format!("info: found {found}, count {count}, stale refused true\ninfo: logged GET 200");
        assert_eq!(heard, format!("200\ncontent-type: text/plain\ncontent-length: 8\n\ncount {count}\n\n{line}"));
    }

    ng.get("/metrics").body("counter 2, gauge -3\n");
    ng.get("/metrics").body("counter 4, gauge -6\n");
    let page = ng.get("/status");
    page.body_has("\nsuite_requests{filter=\"suite\"} 4\n").body_has("\nsuite_level{filter=\"suite\"} -6\n");
    page.body_has("suite_sizes_sum{filter=\"suite\"} 6\n").body_has("suite_sizes_count{filter=\"suite\"} 2\n");
}

fn all_workers_and_instances_do_the_same(engine: Engine, filter: &Path) {
    let shared = "proxy_wasm suite shared; return 200 never;";
    let ng = Nginx::new(engine)
        .workers(2)
        .wasm("suite", filter)
        .location("/tick", "proxy_wasm suite tick; return 200 served;")
        .location("/headers", "proxy_wasm suite headers; return 200 served;")
        .location("/none", shared)
        .location("/stream", ("proxy_wasm_isolation stream;", shared))
        .location("/filter", ("proxy_wasm_isolation filter;", shared))
        .start();
    ng.log().wait_for(2, "no more ticks");
    let mut ticks = said(&ng.log());
    ticks.retain(|line| line.contains("tick") && !line.contains("configured"));
    ticks.sort();
    assert_eq!(
        ticks.join(", ").replace("info: ", ""),
        "no more ticks, no more ticks, tick 1, tick 1, tick 2, tick 2, tick 3, tick 3"
    );
    ng.get("/tick").status(200).body("served");

    let mut count = 0;
    for path in ["/none", "/stream", "/filter"].repeat(5) {
        count += 1;
        ng.get(path).status(200).body(format!("count {count}\n"));
    }
    let mut connection = ng.connect();
    for _ in 0..500 {
        connection.get("/headers").response().status(201).body("served");
    }
}

fn a_configuration_is_refused(engine: Engine, filter: &Path) {
    let test = Nginx::new(engine)
        .wasm("suite", filter)
        .location("/good", "proxy_wasm suite reply; return 200;")
        .location("/bad", "proxy_wasm suite 'nonsense at all'; return 200;")
        .conf_test();
    test.refuses().blames("nonsense", "failed initializing \"suite\" filter (on_configure failure)");
    assert_eq!(test.complaints(), 1, "{test}");
    for line in ["configured: reply", "configured: nonsense at all", "unknown: nonsense"] {
        assert!(test.log().contains(line), "{line}: {test}");
    }
}
