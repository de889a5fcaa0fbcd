//! gRPC over TLS.

use wasmx_t::{Authority, Certificate, Engine, GrpcServer, Nginx};

use crate::{google_grpc_tls, stream, unary};

wasmx_t::on_every_engine![
    a_call,
    a_stream,
    a_certificate_we_trust,
    a_certificate_we_do_not_trust,
    a_server_in_the_clear,
];

const ADD: &str = "resolver 127.0.0.1:9; resolver_add 127.0.0.1 grpc.example;";

fn named(server: &GrpcServer) -> String {
    google_grpc_tls(&format!("grpc.example:{}", server.port()))
}

fn server(authority: &Authority) -> GrpcServer {
    GrpcServer::tls(&authority.sign("grpc", &["grpc.example"]))
}

fn a_call(engine: Engine) {
    let server = server(&Authority::new());
    let ng = crate::telling(engine, &unary(&named(&server), "Unary", "hello"), ADD);
    for _ in 0..3 {
        ng.get("/").status(200).body("hello");
    }
}

fn a_stream(engine: Engine) {
    let server = server(&Authority::new());
    let script = format!(
        "request_headers: {}; grpc_send s one; grpc_send_last s two; pause; grpc_message: body grpc 0 99; say came {{it}}
         grpc_close: reply 200 {{status}}",
        stream(&named(&server), "Bidi")
    );
    let ng = Nginx::new(engine).http(ADD).script("/", &script, "").start();
    ng.get("/").status(200).body("0");
    ng.log().in_order(&["came echo one", "came echo two"]);
}

fn verified(engine: Engine, authority: &Authority, server: &GrpcServer, status: u16) {
    let nginx = Nginx::new(engine).authority("ca", authority);
    let trusts = format!("tls_trusted_certificate {}/ca.crt;", nginx.prefix().display());
    let script = format!("request_headers: {}; pause; {}", unary(&named(server), "Unary", "hello"), crate::TELL);
    let ng = nginx
        .wasm_directive((trusts, "tls_verify_cert on; tls_verify_host on;"))
        .http(ADD)
        .script("/", &script, "")
        .start();
    let response = ng.get("/");
    response.status(status);
    assert!(status == 200 || response.text().starts_with("14 "), "{response}");
}

fn a_certificate_we_trust(engine: Engine) {
    let authority = Authority::new();
    verified(engine, &authority, &server(&authority), 200);
}

fn a_certificate_we_do_not_trust(engine: Engine) {
    let authority = Authority::new();
    verified(engine, &authority, &server(&Authority::named("a stranger")), 502);
    verified(engine, &authority, &GrpcServer::tls(&Certificate::self_signed("grpc", &["grpc.example"])), 502);
    verified(engine, &authority, &GrpcServer::tls(&authority.sign("grpc", &["other.example"])), 502);
}

fn a_server_in_the_clear(engine: Engine) {
    let server = GrpcServer::new();
    let ng = crate::telling(engine, &unary(&named(&server), "Unary", "hello"), ADD);
    assert!(ng.get("/").status(502).text().starts_with("14 "));
}
