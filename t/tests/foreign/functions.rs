//! Functions of the host that filters call by name.

use wasmx_t::{Engine, Nginx, Running};

wasmx_t::on_every_engine![
    a_text_is_compressed_and_uncompressed,
    what_is_no_zlib_stream_is_refused,
    a_bomb_is_refused_and_the_worker_lives,
    the_route_cache_is_cleared,
    a_result_may_be_left_out,
    unknown_functions_are_not_found,
    a_root_has_them_too,
];

fn with(engine: Engine, script: &str) -> Running {
    Nginx::new(engine).script("/", script, "return 200 fine;").start()
}

fn a_text_is_compressed_and_uncompressed(engine: Engine) {
    let text = "a text, a text, a text, a text and no other text";
    let script = format!(
        "request_headers: foreign compress {text}; add response x-zlib {{hex}}; foreign_it uncompress; reply 200 {{it}}"
    );
    let response = with(engine, &script).get("/");
    response.status(200).body(text);
    let stream = response.value("x-zlib").unwrap_or_default();
    assert!(stream.starts_with("789c") && stream.len() < 2 * text.len(), "a zlib stream: {stream}");
}

fn what_is_no_zlib_stream_is_refused(engine: Engine) {
    let ng = with(engine, "request_headers: foreign uncompress a text; foreign uncompress %78%9c");
    ng.get("/").status(200);
    ng.log().has("foreign uncompress a text -> 3").has("foreign uncompress %78%9c -> 3");
}

/// 16 MiB of zeros and one more, compressed twice.
const BOMB: &str = "\
    %78%da%ed%da%b1%0d%01%61%1c%c6%e1%ff%87%42%14%4e%af%b9%31%34%0a%b9%44%ad%a1%15%43%48%94%97%58%c0%12\
    %6a%2b%30%85%30%83%28%d4%e2%e4%0c%a1%f8%f2%3c%23%bc%e5%2f%ef%ee%fe%b8%a4%14%11%f5%e1%73%7a%f6%07%01\
    %00%00%00%64%ae%be%ed%bb%6d%0c%88%b2%b9%ce%17%4b%00%00%00%20%77%9b%62%d8%fb%45%81%f7%7a%3c%33%07%00\
    %00%00%64%ef%38%9d%94%6d%0b%18%bd%9a%6d%d5%71%94%00%00%00%80%3f%38%af%8a%14%e9%0b%d7%16%b2%ec\
";

fn a_bomb_is_refused_and_the_worker_lives(engine: Engine) {
    let ng = with(
        engine,
        &format!("request_headers: foreign uncompress {BOMB}; foreign_it uncompress; foreign compress still here"),
    );
    let workers = ng.workers();
    ng.get("/").status(200).body("fine");
    ng.log()
        .has("foreign_it uncompress -> 10")
        .has("\"uncompress\" is refused")
        .has("foreign compress still here -> 0");
    assert_eq!(ng.workers(), workers);
}

fn the_route_cache_is_cleared(engine: Engine) {
    let ng = with(engine, "request_headers: foreign clear_route_cache; clear_route_cache");
    ng.get("/").status(200);
    ng.log().has("foreign clear_route_cache -> 0 \"\"").has("] clear_route_cache -> 0");
}

fn a_result_may_be_left_out(engine: Engine) {
    let ng = with(
        engine,
        "request_headers: foreign_blind compress text; foreign_blind clear_route_cache; foreign_blind none",
    );
    ng.get("/").status(200);
    ng.log()
        .has("foreign_blind compress text -> 0")
        .has("foreign_blind clear_route_cache -> 0")
        .has("foreign_blind none -> 1");
}

fn unknown_functions_are_not_found(engine: Engine) {
    let ng = with(engine, "request_headers: foreign resolve_lua localhost; foreign Compress a; foreign nothing");
    ng.get("/").status(200);
    for call in ["resolve_lua localhost", "Compress a", "nothing"] {
        ng.log().has(&format!("foreign {call} -> 1"));
    }
}

fn a_root_has_them_too(engine: Engine) {
    let ng = with(engine, "configure: foreign compress text; foreign_it uncompress; foreign clear_route_cache");
    ng.get("/").status(200);
    ng.log().has("foreign_it uncompress -> 0 \"text\"").has("foreign clear_route_cache -> 0");
}
