//! Of the server that nginx asked.

use std::net::TcpListener;

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    its_address_and_port,
    its_address_in_the_format_of_envoy,
    how_long_it_took,
    the_last_of_several_counts,
    without_one_there_is_nothing,
];

fn its_address_and_port(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let script = "request_headers: property upstream.address
                  response_headers: property upstream.address; property upstream.port; \
                  property upstream.request_attempt_count; property upstream.local_address; property ngx.upstream_addr";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    ng.get("/").status(200).body("hello");
    let port = up.address().port();
    ng.log()
        .has("property upstream.address -> 1")
        .has("property upstream.address -> 0 \"127.0.0.1\"")
        .has(&format!("property upstream.port -> 0 \"{port}\""))
        .has("property upstream.request_attempt_count -> 0 \"1\"")
        .has("property upstream.local_address -> 0 \"127.0.0.1:");
}

fn its_address_in_the_format_of_envoy(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let script = "response_headers: property upstream.address; add response x-address {it}; \
                  property upstream.port; add response x-port {hex}";
    let ng = Nginx::new(engine).script("/", script, ("proxy_wasm_property_format envoy;", up.pass())).start();
    let port: String = u64::from(up.address().port()).to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    ng.get("/").status(200).header("x-address", &up.address().to_string()).header("x-port", &port);
}

fn how_long_it_took(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let script = "response_headers: property response.backend_latency
                  log: property response.backend_latency; property upstream.cx_pool_ready_duration";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    ng.get("/").status(200);
    ng.log().wait("property upstream.cx_pool_ready_duration -> 0 \"0.");
    ng.log().has("property response.backend_latency -> 1").has("property response.backend_latency -> 0 \"0.");
}

fn the_last_of_several_counts(engine: Engine) {
    // A port that nobody listens on.
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let up = Upstream::new().ok("hello");
    let servers = format!("upstream two {{ server {closed} max_fails=0; server {} backup; }}", up.address());
    let script = "response_headers: property upstream.port; property upstream.request_attempt_count";
    let ng = Nginx::new(engine).http(servers).script("/", script, "proxy_pass http://two;").start();
    ng.get("/").status(200).body("hello");
    ng.log()
        .has(&format!("property upstream.port -> 0 \"{}\"", up.address().port()))
        .has("property upstream.request_attempt_count -> 0 \"2\"");
}

fn without_one_there_is_nothing(engine: Engine) {
    let none = ["address", "port", "local_address", "tls_version", "cx_pool_ready_duration", "peer_certificate"];
    let asked: String = none.iter().map(|path| format!("property upstream.{path}; ")).collect();
    let script = format!("response_headers: {asked}property upstream.request_attempt_count");
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    ng.get("/").status(200);
    for path in none {
        ng.log().has(&format!("property upstream.{path} -> 1"));
    }
    ng.log().has("property upstream.request_attempt_count -> 0 \"0\"");
}
