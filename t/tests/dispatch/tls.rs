//! Calls over TLS. One nginx is both ends: filters of `/` call its own listener with TLS.

use std::io::{Read, Write};
use std::net::TcpListener;

use wasmx_t::{Authority, Certificate, Engine, Lines, Nginx, Peer};

use crate::failures::{CALLS, Failure, TLS};
use crate::telling;

wasmx_t::on_every_engine![
    the_name_is_told,
    port_443_means_tls,
    an_address_is_no_name,
    a_block_takes_the_name_of_the_authority,
    a_body_and_its_answer,
    a_connection_is_used_again,
    names_do_not_share_connections,
    http2_is_used_when_it_is_offered,
    calls_share_an_http2_connection,
    a_body_over_http2,
    many_calls_over_http2,
    an_http2_connection_that_was_closed,
    a_certificate_of_an_authority_we_trust,
    a_certificate_of_an_authority_we_do_not_trust,
    a_certificate_that_signs_itself,
    a_certificate_that_is_too_old,
    a_certificate_of_another_host,
    a_host_is_not_checked_when_told_so,
    no_check_is_warned_of,
    no_check_is_not_warned_of_when_told_so,
    a_peer_without_tls,
    a_peer_that_refuses,
    a_peer_of_another_version,
    a_peer_that_leaves,
    tls_where_none_is_expected,
    a_root_calls,
];

const NAME: &str = "service.example";

/// nginx with a listener for TLS behind the name `service.example`, which tells how it was asked.
fn both_ends(engine: Engine, certificate: &Certificate, http2: bool) -> Nginx {
    Nginx::new(engine)
        .tls_listener(certificate, http2)
        .http("resolver 127.0.0.1:9; resolver_add 127.0.0.1 service.example; resolver_add 127.0.0.1 other.example;")
        .location("/how", "return 200 '$https $ssl_server_name $server_protocol $host';")
        .location("/connection", "return 200 $connection;")
}

fn port(nginx: &Nginx) -> u16 {
    // The first is in the clear.
    nginx.address_of(1).port()
}

fn https(upstream: &str, authority: &str, path: &str) -> String {
    format!("call {upstream} 10000 :scheme=https :method=GET :path={path} :authority={authority}")
}

fn call(nginx: &Nginx, path: &str) -> String {
    https(&format!("{NAME}:{}", port(nginx)), NAME, path)
}

fn trusted() -> Certificate {
    Authority::new().sign("service", &[NAME, "other.example"])
}

fn the_name_is_told(engine: Engine) {
    let nginx = both_ends(engine, &trusted(), false);
    let call = call(&nginx, "/how");
    let ng = telling(nginx, "/", &call, "").start();
    ng.get("/").status(200).body(format!("on {NAME} HTTP/1.1 {NAME}"));
}

/// Nothing can listen there in a test: the host has a port of its own, which counts for the connection only.
fn port_443_means_tls(engine: Engine) {
    let nginx = both_ends(engine, &trusted(), false);
    let own = format!("resolver_add {} mapped.example;", nginx.address_of(1));
    let call = |upstream: &str, scheme: &str| {
        format!("call {upstream} 10000 {scheme} :method=GET :path=/how :authority={NAME}")
    };
    let nginx = telling(nginx.http(own), "/443", &call("mapped.example:443", ""), "");
    let nginx = telling(nginx, "/https", &call("mapped.example", ":scheme=https"), "");
    let nginx = telling(nginx, "/http", &call("mapped.example:443", ":scheme=http"), "");
    let nginx = telling(nginx, "/other", &call("mapped.example:444", ""), "");
    let ng = telling(nginx, "/80", &call("mapped.example", ""), "").start();
    for path in ["/443", "/https"] {
        ng.get(path).status(200).body(format!("on {NAME} HTTP/1.1 {NAME}"));
    }
    for path in ["/http", "/other", "/80"] {
        ng.get(path).status(200).body_has("plain HTTP request was sent to HTTPS port");
    }
}

fn an_address_is_no_name(engine: Engine) {
    let nginx = both_ends(engine, &trusted(), false);
    let address = nginx.address_of(1).to_string();
    let call = https(&address, &address, "/how");
    let ng = telling(nginx, "/", &call, "").start();
    ng.get("/").status(200).body("on  HTTP/1.1 127.0.0.1");
}

fn a_block_takes_the_name_of_the_authority(engine: Engine) {
    let nginx = both_ends(engine, &trusted(), false);
    let block = format!("upstream block {{ server {}; }}", nginx.address_of(1));
    let ng = telling(nginx.http(block), "/", &https("block", NAME, "/how"), "").start();
    ng.get("/").status(200).body(format!("on {NAME} HTTP/1.1 {NAME}"));
}

/// A peer behind nginx, for what nginx does not tell by itself.
fn with_body(engine: Engine, http2: bool) {
    let peer = Peer::new().answers(|asked| wasmx_t::Answer::ok(format!("{} of {}", asked.text.len(), asked.target())));
    let nginx = both_ends(engine, &trusted(), http2).location("/body", format!("proxy_pass http://{};", peer.name()));
    let nginx = nginx.http("client_max_body_size 10m;");
    let call = call(&nginx, "/body").replace("=GET", "=POST") + " | fill 300000";
    let ng = telling(nginx, "/", &call, "").start();
    ng.get("/").status(200).body_has(" of /body");
    peer.saw("/body").header("content-length", "300000").body("x".repeat(300_000));
}

fn a_body_and_its_answer(engine: Engine) {
    with_body(engine, false);
}

fn a_connection_is_used_again(engine: Engine) {
    let nginx = both_ends(engine, &trusted(), false);
    let call = call(&nginx, "/connection");
    let ng = telling(nginx, "/", &call, "").start();
    let first = ng.get("/").status(200).text();
    for _ in 0..4 {
        ng.get("/").status(200).body(&first);
    }
}

fn names_do_not_share_connections(engine: Engine) {
    let nginx = both_ends(engine, &trusted(), false);
    let port = port(&nginx);
    let one = https(&format!("service.example:{port}"), "service.example", "/connection");
    let other = https(&format!("other.example:{port}"), "other.example", "/connection");
    let ng = telling(telling(nginx, "/one", &one, ""), "/other", &other, "").start();
    let one = ng.get("/one").status(200).text();
    let other = ng.get("/other").status(200).text();
    assert_ne!(one, other);
    ng.get("/one").body(&one);
    ng.get("/other").body(&other);
}

fn http2_is_used_when_it_is_offered(engine: Engine) {
    let nginx = both_ends(engine, &trusted(), true);
    let call = call(&nginx, "/how");
    let ng = telling(nginx, "/", &call, "").start();
    for _ in 0..3 {
        ng.get("/").status(200).body(format!("on {NAME} HTTP/2.0 {NAME}"));
    }
}

fn calls_share_an_http2_connection(engine: Engine) {
    let nginx = both_ends(engine, &trusted(), true);
    let calls = vec![call(&nginx, "/connection"); 4].join("; ");
    let script = format!(
        "request_headers: {}; pause; call_response: body call 0 9; add response x-connection {{it}}",
        call(&nginx, "/connection")
    );
    let many =
        format!("request_headers: {calls}; pause; call_response: body call 0 9; add response x-connection {{it}}");
    let ng = nginx.script("/one", &script, "return 200;").script("/", &many, "return 200;").start();
    let one = ng.get("/one").status(200).value("x-connection").expect("an answer").to_owned();
    // All at once on the one that is there.
    ng.get("/").status(200).headers("x-connection", &[&one, &one, &one, &one]);
}

fn a_body_over_http2(engine: Engine) {
    with_body(engine, true);
}

fn many_calls_over_http2(engine: Engine) {
    const COUNT: usize = 200;
    let nginx = both_ends(engine, &trusted(), true);
    // More than nginx lets a connection have at a time.
    let one = call(&nginx, "/how");
    let nginx = nginx.file(
        "script",
        format!(
            "request_headers: {} pause; call_response: get call :status; quietly count; nth {COUNT} say all",
            (one + "; ").repeat(COUNT)
        ),
    );
    let ng = nginx
        .wasm("script", wasmx_t::guest("script"))
        .location("/", "proxy_wasm script config_file=script; return 200 on;")
        .start();
    ng.get("/").status(200).body("on");
    ng.log().has("] all").has_times(COUNT, "get call :status -> 0 \"200\"").lacks("dispatch failed");
}

fn an_http2_connection_that_was_closed(engine: Engine) {
    let nginx = both_ends(engine, &trusted(), true);
    let call = call(&nginx, "/how");
    // After two requests nginx says goodbye (GOAWAY).
    let ng = telling(nginx.server("keepalive_requests 2;"), "/", &call, "").start();
    for _ in 0..6 {
        ng.get("/").status(200).body(format!("on {NAME} HTTP/2.0 {NAME}"));
    }
    ng.log().lacks("dispatch failed");
}

/// What `tls_verify_*` make of a certificate: answered, or failed for a reason.
fn verified(engine: Engine, authority: &Authority, certificate: &Certificate, wasm: &str, refused: Option<&str>) {
    let nginx = both_ends(engine, certificate, false).authority("ca", authority);
    let trusts = format!("tls_trusted_certificate {}/ca.crt;", nginx.prefix().display());
    let nginx = nginx.wasm_directive((trusts, wasm));
    let call = call(&nginx, "/how");
    match refused {
        Some(reason) => Failure { call, status: &[TLS], reason }.check(nginx, ""),
        None => {
            let ng = telling(nginx, "/", &call, "").start();
            ng.get("/").status(200).body_has(NAME);
            ng.log().lacks("dispatch failed");
        }
    }
}

const BOTH: &str = "tls_verify_cert on; tls_verify_host on;";
const REFUSED: Option<&str> = Some("tcp socket - tls certificate ");
const CERTIFICATE: Option<&str> = Some("tcp socket - tls certificate verify error: (");

fn a_certificate_of_an_authority_we_trust(engine: Engine) {
    let authority = Authority::new();
    let certificate = authority.sign("service", &[NAME]);
    verified(engine, &authority, &certificate, BOTH, None);
    verified(engine, &authority, &certificate, "tls_verify_cert on;", None);
}

fn a_certificate_of_an_authority_we_do_not_trust(engine: Engine) {
    let certificate = Authority::named("a stranger").sign("service", &[NAME]);
    verified(engine, &Authority::new(), &certificate, BOTH, CERTIFICATE);
    verified(engine, &Authority::new(), &certificate, "tls_no_verify_warn on;", None);
}

fn a_certificate_that_signs_itself(engine: Engine) {
    let certificate = Certificate::self_signed("service", &[NAME]);
    verified(engine, &Authority::new(), &certificate, "tls_verify_cert on;", CERTIFICATE);
}

fn a_certificate_that_is_too_old(engine: Engine) {
    let authority = Authority::new();
    let certificate = authority.sign_expired("service", &[NAME]);
    let reason = "tcp socket - tls certificate verify error: (10:certificate has expired)";
    verified(engine, &authority, &certificate, BOTH, Some(reason));
}

fn a_certificate_of_another_host(engine: Engine) {
    let authority = Authority::new();
    // The common name counts for nothing where there are other names.
    let certificate = authority.sign(NAME, &["elsewhere.example"]);
    verified(engine, &authority, &certificate, BOTH, REFUSED);
}

fn a_host_is_not_checked_when_told_so(engine: Engine) {
    let authority = Authority::new();
    let certificate = authority.sign("service", &["elsewhere.example"]);
    verified(engine, &authority, &certificate, "tls_verify_cert on; tls_verify_host off;", None);
}

fn warns(engine: Engine, wasm: impl Lines) -> usize {
    let nginx = both_ends(engine, &trusted(), false).wasm_directive(wasm);
    let call = call(&nginx, "/how");
    let ng = telling(nginx, "/", &call, "").start();
    ng.get("/").status(200);
    ng.log().lines_with("[warn]").iter().filter(|line| line.contains("tls certificate")).count()
}

fn no_check_is_warned_of(engine: Engine) {
    assert!(warns(engine, "") > 0);
}

fn no_check_is_not_warned_of_when_told_so(engine: Engine) {
    assert_eq!(warns(engine, "tls_no_verify_warn on;"), 0);
}

/// A peer of as many calls as a failure makes, which answers in the clear, or just leaves.
fn in_the_clear(engine: Engine, answer: &'static [u8], reason: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind to 127.0.0.1:0");
    let address = listener.local_addr().expect("the address of a bound listener");
    let peer = std::thread::spawn(move || {
        for stream in listener.incoming().take(CALLS) {
            let mut stream = stream.expect("a connection");
            // What nginx says first; a connection that is closed before it was read is reset.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    let call = https(&address.to_string(), "a", "/x");
    Failure { call, status: &[TLS], reason }.check(Nginx::new(engine), "");
    peer.join().expect("the peer");
}

fn a_peer_without_tls(engine: Engine) {
    let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    in_the_clear(engine, answer, "tcp socket - tls handshake failed: wrong version number");
}

fn a_peer_that_refuses(engine: Engine) {
    let nginx = both_ends(engine, &trusted(), false).server("ssl_reject_handshake on;");
    let call = call(&nginx, "/how");
    let reason = "tcp socket - tls handshake failed: tlsv1 unrecognized name";
    Failure { call, status: &[TLS], reason }.check(nginx, "");
}

fn a_peer_of_another_version(engine: Engine) {
    // OpenSSL has it, and no security level of ours allows it.
    let nginx = both_ends(engine, &trusted(), false).server("ssl_protocols TLSv1.1;");
    let call = call(&nginx, "/how");
    let reason = "tcp socket - tls handshake failed: tlsv1 alert protocol version";
    Failure { call, status: &[TLS], reason }.check(nginx, "");
}

fn a_peer_that_leaves(engine: Engine) {
    in_the_clear(engine, b"", "tcp socket - tls handshake failed: peer closed connection");
}

fn tls_where_none_is_expected(engine: Engine) {
    let nginx = both_ends(engine, &trusted(), false);
    let call = crate::get(&nginx.address_of(1).to_string(), "/how");
    // nginx answers a plain request to a TLS port with an error in the clear.
    let ng = telling(nginx, "/", &call, "").start();
    ng.get("/").status(200).body_has("plain HTTP request was sent to HTTPS port");
}

fn a_root_calls(engine: Engine) {
    let authority = Authority::new();
    let certificate = authority.sign("service", &[NAME]);
    let nginx = both_ends(engine, &certificate, false).authority("ca", &authority);
    let trusts = format!("tls_trusted_certificate {}/ca.crt;", nginx.prefix().display());
    let wasm = (trusts, "resolver 127.0.0.1:9; resolver_add 127.0.0.1 service.example;", BOTH);
    let script = format!(
        "configure: tick 5; tick: once {}; call_response: body call 0 99; say came {{it}}",
        call(&nginx, "/how")
    );
    let ng = nginx.wasm_directive(wasm).script("/", &script, "").start();
    ng.log().wait(&format!("came on {NAME} HTTP/1.1"));
}
