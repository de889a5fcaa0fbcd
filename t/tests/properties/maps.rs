//! Properties that are maps.

use wasmx_t::{Engine, Nginx, Reply, Upstream};

wasmx_t::on_every_engine![headers_are_a_map, headers_have_a_size, a_map_is_not_set];

/// The wire form of pairs, in hexadecimal.
fn pairs(pairs: &[(&str, &str)]) -> String {
    let word = |number: usize| u32::try_from(number).expect("a short text").to_le_bytes();
    let mut wire = word(pairs.len()).to_vec();
    for (name, value) in pairs {
        wire.extend(word(name.len()));
        wire.extend(word(value.len()));
    }
    for (name, value) in pairs {
        wire.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    wire.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn headers_are_a_map(engine: Engine) {
    let script = "request_headers: property request.headers; reply 200 {hex}";
    for format in ["strings", "envoy"] {
        let ng = Nginx::new(engine).script("/", script, format!("proxy_wasm_property_format {format};")).start();
        let response = ng.request("GET", "/path").header("host", "h").header("X-A", "1").header("x-a", "2").send();
        response.status(200).body(pairs(&[
            (":method", "GET"),
            (":path", "/path"),
            (":authority", "h"),
            (":scheme", "http"),
            ("connection", "close"),
            ("host", "h"),
            ("x-a", "1"),
            ("x-a", "2"),
        ]));
    }
    let up = Upstream::new().respond(|_| Reply::ok("").header("x-up", "1"));
    let script = "response_headers: property response.headers";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    ng.get("/").status(200);
    ng.log().has(r"x-up\01\0");
}

fn headers_have_a_size(engine: Engine) {
    let script = "request_headers: property request.headers_bytes; add response x-size {it}
                  response_headers: property response.headers_bytes";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    let size = |name: &str, value: &str| name.len() + value.len();
    let names = [(":method", "GET"), (":path", "/"), (":authority", "h"), (":scheme", "http"), ("host", "h")];
    let whole: usize = names.iter().map(|(name, value)| size(name, value)).sum::<usize>() + size("connection", "close");
    ng.request("GET", "/").header("host", "h").send().status(200).header("x-size", &whole.to_string());
    ng.log().lacks("property response.headers_bytes -> 1").lacks(r#"property response.headers_bytes -> 0 "0""#);
}

fn a_map_is_not_set(engine: Engine) {
    let script = "request_headers: set_property request.headers.host other; set_property response.headers x; \
                  property request.headers.host; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.request("GET", "/").header("host", "h").send().body("h");
    ng.log().has("set_property request.headers.host other -> 1").has("set_property response.headers x -> 1");
}
