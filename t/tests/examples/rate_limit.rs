//! Limits by client address: the same filter in each language.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use wasmx_t::{Engine, Nginx, Response, Running, Sdk, Upstream, ask, eventually};

wasmx_t::on_every_sdk![
    a_client_is_limited_and_told,
    all_workers_count_together,
    a_second_later_there_is_room_again,
    a_configuration_that_is_none_is_refused,
];

fn filter(sdk: Sdk) -> Result<PathBuf, String> {
    sdk.example("rate_limit")
}

fn nginx(engine: Engine, filter: &Path) -> Nginx {
    Nginx::new(engine).wasm("limit", filter).wasm_directive("shm_kv rates 1m eviction=lru;")
}

/// Waits where an hour is about to end: the test must not see two of them.
fn within_an_hour() -> u64 {
    eventually("a new hour", || {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()) % 3600;
        (second < 3585).then_some(3600 - second)
    })
}

fn told(response: &Response) -> [u64; 3] {
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(|name| {
        let value = response.value(name).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{response}"))
    })
}

fn a_client_is_limited_and_told(engine: Engine, filter: &Path) {
    let up = Upstream::new().ok("served");
    let ng = nginx(engine, filter)
        .server("set_real_ip_from 127.0.0.1; real_ip_header X-Client;")
        .location("/", ("proxy_wasm limit 'hour=3 minute=100';", up.pass()))
        .location("/more", "proxy_wasm limit 'hour=5'; return 200 more;")
        .location("/both", "proxy_wasm limit ' hour=2  minute=2 '; return 200 both;")
        .start();
    let left = within_an_hour();
    let get = |client: &str, path: &str| ng.request("GET", path).header("X-Client", client).send();

    for remaining in [2, 1, 0] {
        let response = get("192.0.2.1", "/");
        let [limit, told, reset] = told(response.status(200).body("served"));
        assert_eq!((limit, told), (3, remaining), "{response}");
        assert!((1..=left).contains(&reset), "{reset} of {left}: {response}");
        response.no_header("retry-after");
    }
    up.saw_times(3);
    for _ in 0..2 {
        let response = get("192.0.2.1", "/");
        let [limit, remaining, reset] = told(response.status(429).header("content-type", "application/json"));
        assert_eq!((limit, remaining), (3, 0), "{response}");
        response.header("retry-after", &reset.to_string()).body("{\"error\":\"more than 3 requests in this hour\"}\n");
    }
    up.saw_times(3);

    // Where there is more room, those that were refused have taken none.
    assert_eq!(told(get("192.0.2.1", "/more").status(200))[..2], [5, 1]);
    // Other clients have their own.
    for client in ["192.0.2.2", "2001:db8::1", "2001:db8::2"] {
        assert_eq!(told(get(client, "/").status(200))[..2], [3, 2]);
    }
    // Of two limits that are equal, the longer one counts.
    get("192.0.2.3", "/both").status(200);
    get("192.0.2.3", "/both").status(200);
    get("192.0.2.3", "/both").status(429).body("{\"error\":\"more than 2 requests in this hour\"}\n");
}

fn all_workers_count_together(engine: Engine, filter: &Path) {
    // With this format an address has its port in it, which is another for each connection.
    let ng = nginx(engine, filter)
        .workers(2)
        .http("proxy_wasm_property_format envoy;")
        .location("/", "proxy_wasm limit hour=50; return 200;")
        .start();
    within_an_hour();
    ng.get("/").status(200);
    let address = ng.address();
    let client = move || (0..25).filter(|_| ask(address, "/")).count();
    let clients: Vec<_> = (0..4).map(|_| std::thread::spawn(client)).collect();
    let passed: usize = clients.into_iter().map(|client| client.join().expect("a client")).sum();
    assert_eq!(passed, 49);
    ng.log().lacks("no count");
}

fn a_second_later_there_is_room_again(engine: Engine, filter: &Path) {
    let ng = nginx(engine, filter).location("/", "proxy_wasm limit second=1; return 200;").start();
    let refused = eventually("a refusal", || Some(ng.get("/")).filter(|response| response.code() == Some(429)));
    refused.header("retry-after", "1").body("{\"error\":\"more than 1 requests in this second\"}\n");
    passes(&ng);
}

fn passes(ng: &Running) {
    eventually("room", || (ng.get("/").code() == Some(200)).then_some(()));
}

fn a_configuration_that_is_none_is_refused(engine: Engine, filter: &Path) {
    let bad = [
        "",
        "' '",
        "second",
        "second=",
        "second=0",
        "second=-1",
        "second=5x",
        "day=5",
        "'hour=1 x'",
        "hour=4294967296",
    ];
    let mut nginx = nginx(engine, filter).location("/good", "proxy_wasm limit 'hour=4294967295  second=1';");
    for (number, configuration) in bad.iter().enumerate() {
        nginx = nginx.location(&format!("/{number}"), format!("proxy_wasm limit {configuration};"));
    }
    let test = nginx.conf_test();
    test.refuses().says("failed initializing \"limit\" filter (on_configure failure)");
    assert_eq!(test.complaints(), bad.len(), "{test}");
    let said = test.log().matches("the configuration must be like").count();
    assert_eq!(said, bad.len(), "{test}");
}
