//! What the peer gets.

use wasmx_t::{Engine, Nginx, Peer};

use crate::telling;

wasmx_t::on_every_engine![
    method_path_and_fields,
    a_body_has_a_length,
    a_body_of_a_mebibyte,
    an_empty_body_of_a_post,
    trailers_follow_a_body_in_chunks,
    trailers_follow_no_body,
    host_is_the_authority,
    without_an_authority_host_is_as_written,
    a_socket_without_an_authority_is_localhost,
    a_host_field_of_the_filter,
    fields_of_the_connection_are_ours,
    any_method,
];

/// Makes the call, and gives nginx a peer that was asked.
fn ask(engine: Engine, peer: &Peer, call: &str) {
    let call = format!("call {} 10000 {call}", peer.name());
    let ng = telling(Nginx::new(engine), "/", &call, "").start();
    ng.get("/").status(200).body("fine");
    ng.log().lacks("dispatch failed");
    peer.saw_times(1);
}

fn peer() -> Peer {
    Peer::new().ok("fine")
}

fn method_path_and_fields(engine: Engine) {
    let peer = peer();
    ask(engine, &peer, ":method=GET :path=/a/b?c=d&e=%2520 :authority=x.example X-One=1 x-two=a x-two=b%20c x-empty=");
    let asked = peer.saw("/a/b?c=d&e=%20");
    assert_eq!(asked.method(), "GET");
    asked.header("host", "x.example").header("x-one", "1").header("x-empty", "").body("");
    assert_eq!(asked.values("x-two"), ["a", "b c"]);
    assert!(asked.names().iter().all(|name| !name.contains(':')), "{}", asked.text);
    asked.no_header("transfer-encoding");
}

fn a_body_has_a_length(engine: Engine) {
    let peer = peer();
    ask(engine, &peer, ":method=POST :path=/x :authority=a content-type=text/plain | hello there");
    peer.saw("/x").header("content-length", "11").header("content-type", "text/plain").body("hello there");
}

fn a_body_of_a_mebibyte(engine: Engine) {
    let peer = peer();
    ask(engine, &peer, ":method=PUT :path=/x :authority=a | fill 1048576");
    peer.saw("/x").header("content-length", "1048576").body("x".repeat(1 << 20));
}

fn an_empty_body_of_a_post(engine: Engine) {
    let peer = peer();
    ask(engine, &peer, ":method=POST :path=/x :authority=a");
    peer.saw("/x").header("content-length", "0").body("");
}

fn trailers_follow_a_body_in_chunks(engine: Engine) {
    let peer = peer();
    ask(engine, &peer, ":method=POST :path=/x :authority=a | the body | x-sum=1 x-more=2");
    let asked = peer.saw("/x");
    asked.header("transfer-encoding", "chunked").no_header("content-length").body("the body");
    let trailers: Vec<_> =
        asked.trailers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect();
    assert_eq!(trailers, [("x-sum".to_owned(), "1"), ("x-more".to_owned(), "2")]);
}

fn trailers_follow_no_body(engine: Engine) {
    let peer = peer();
    ask(engine, &peer, ":method=POST :path=/x :authority=a |  | x-sum=1");
    let asked = peer.saw("/x");
    asked.header("transfer-encoding", "chunked").body("");
    assert_eq!(asked.trailers.len(), 1, "{}", asked.text);
}

fn host_is_the_authority(engine: Engine) {
    let peer = peer();
    ask(engine, &peer, ":method=GET :path=/x :authority=other.example:8080");
    peer.saw("/x").header("host", "other.example:8080");
}

fn without_an_authority_host_is_as_written(engine: Engine) {
    let peer = peer();
    ask(engine, &peer, ":method=GET :path=/x");
    peer.saw("/x").header("host", &peer.name());
}

fn a_socket_without_an_authority_is_localhost(engine: Engine) {
    let nginx = Nginx::new(engine);
    let peer = Peer::unix(nginx.prefix().join("peer.sock")).ok("fine");
    let ng = telling(nginx, "/", &format!("call {} 10000 :method=GET :path=/x", peer.name()), "").start();
    ng.get("/").status(200).body("fine");
    peer.saw("/x").header("host", "localhost");
}

fn a_host_field_of_the_filter(engine: Engine) {
    let peer = peer();
    ask(engine, &peer, ":method=GET :path=/x :authority=real.example host=other.example");
    assert_eq!(peer.saw("/x").values("host"), ["real.example"], "one Host, that of :authority");
}

fn fields_of_the_connection_are_ours(engine: Engine) {
    let peer = peer();
    let fields = "connection=close keep-alive=9 transfer-encoding=chunked content-length=3 upgrade=x te=trailers";
    ask(engine, &peer, &format!(":method=POST :path=/x :authority=a {fields} | hello"));
    let asked = peer.saw("/x");
    assert!(asked.cut.is_none(), "{:?}", asked.cut);
    asked.header("content-length", "5").no_header("transfer-encoding").no_header("upgrade").body("hello");
}

fn any_method(engine: Engine) {
    for method in ["DELETE", "OPTIONS", "PATCH", "PROPFIND"] {
        let peer = peer();
        ask(engine, &peer, &format!(":method={method} :path=/x :authority=a"));
        assert_eq!(peer.saw("/x").method(), method);
    }
}
