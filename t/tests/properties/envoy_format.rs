//! `proxy_wasm_property_format envoy`: properties in the encoding of Envoy.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    numbers_have_eight_bytes,
    times_have_eight_bytes,
    truths_have_one_byte,
    addresses_have_a_port,
    strings_stay_strings,
];

/// The bytes of a property, asked for where this callback runs.
fn property(engine: Engine, callback: &str, path: &str) -> Vec<u8> {
    let script = format!("{callback}: property {path}; add response x-it {{hex}}");
    let lines = "proxy_wasm_property_format envoy; return 201;";
    let ng = Nginx::new(engine).script("/", &script, lines).start();
    let response = ng.request("GET", "/").header("host", "localhost").send();
    let hex = response.value("x-it").unwrap_or_default().to_owned();
    hex.as_bytes().chunks(2).filter_map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap_or_else(|_| panic!("8 bytes, not {bytes:?}")))
}

fn numbers_have_eight_bytes(engine: Engine) {
    assert_eq!(number(&property(engine, "response_headers", "response.code")), 201);
    assert!(number(&property(engine, "request_headers", "destination.port")) > 0);
}

fn times_have_eight_bytes(engine: Engine) {
    let nanoseconds = number(&property(engine, "request_headers", "request.time"));
    assert!(nanoseconds > 1_700_000_000_000_000_000, "{nanoseconds}");
}

fn truths_have_one_byte(engine: Engine) {
    assert_eq!(property(engine, "request_headers", "connection.mtls"), [0]);
}

fn addresses_have_a_port(engine: Engine) {
    for path in ["source.address", "destination.address"] {
        let text = String::from_utf8_lossy(&property(engine, "request_headers", path)).into_owned();
        assert!(text.parse::<std::net::SocketAddr>().is_ok(), "{path}: {text:?}");
    }
}

fn strings_stay_strings(engine: Engine) {
    assert_eq!(property(engine, "request_headers", "request.method"), b"GET");
    assert_eq!(property(engine, "request_headers", "request.host"), b"localhost");
}
