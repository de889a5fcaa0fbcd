//! How a service is named.

use wasmx_t::{Dns, Engine, GrpcServer, Nginx};

use crate::{envoy_grpc, google_grpc, stream, telling, unary};

wasmx_t::on_every_engine![
    a_host_and_a_port,
    a_name_that_is_resolved,
    the_cluster_of_envoy,
    the_target_of_google,
    a_block_by_its_name,
    fields_that_are_not_known,
    names_that_cannot_be_one,
    a_stream_names_it_in_the_same_way,
];

fn a_host_and_a_port(engine: Engine) {
    let server = GrpcServer::new();
    telling(engine, &unary(&server.name(), "Unary", "hello"), "").get("/").status(200).body("hello");
}

fn a_name_that_is_resolved(engine: Engine) {
    let server = GrpcServer::new();
    let dns = Dns::new().name("grpc.example", &["127.0.0.1"]);
    let call = unary(&format!("grpc.example:{}", server.port()), "Unary", "hello");
    telling(engine, &call, dns.resolver()).get("/").status(200).body("hello");
}

fn block(server: &GrpcServer) -> String {
    format!("upstream service {{ server {}; }}", server.name())
}

fn the_cluster_of_envoy(engine: Engine) {
    let server = GrpcServer::new();
    let ng = telling(engine, &unary(&envoy_grpc("service"), "Unary", "hello"), block(&server));
    ng.get("/").status(200).body("hello");
}

fn the_target_of_google(engine: Engine) {
    let server = GrpcServer::new();
    telling(engine, &unary(&google_grpc(&server.name()), "Unary", "hello"), "").get("/").status(200).body("hello");
}

fn a_block_by_its_name(engine: Engine) {
    let server = GrpcServer::new();
    telling(engine, &unary("service", "Unary", "hello"), block(&server)).get("/").status(200).body("hello");
}

fn fields_that_are_not_known(engine: Engine) {
    let server = GrpcServer::new();
    // A timeout (3), and a field of no version (14), both messages: the SDK takes texts only.
    let more = "%1a%02%08%05%72%01x";
    let name = envoy_grpc("service") + more;
    telling(engine, &unary(&name, "Unary", "hello"), block(&server)).get("/").status(200).body("hello");
}

fn names_that_cannot_be_one(engine: Engine) {
    let names =
        ["-", "%0a", "%0a%7f", "%0a%00", "%12%00", "%0a%02%0a%7f", "%0a%02%0a%00", "a%00b:1", "a:0", "%0a%03%0a%01"];
    let calls: Vec<_> = names.iter().map(|name| unary(name, "Unary", "hello")).collect();
    let streams: Vec<_> = names.iter().map(|name| stream(name, "Bidi")).collect();
    let script = format!(
        "request_headers: {}; {}; reply 200 done; grpc_close: say came; grpc_message: say came",
        calls.join("; "),
        streams.join("; ")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("done");
    let log = ng.log();
    for statement in calls.iter().chain(&streams) {
        let line = log.lines_with(&format!("{statement} -> ")).remove(0);
        assert!(["-> 4", "-> 10"].iter().any(|status| line.contains(status)), "{line}");
    }
    ng.get("/").status(200);
    ng.log().lacks("] came");
}

fn a_stream_names_it_in_the_same_way(engine: Engine) {
    let server = GrpcServer::new();
    for name in [server.name(), envoy_grpc("service"), google_grpc(&server.name())] {
        let script = format!(
            "request_headers: {}; grpc_send_last s hello; pause; grpc_message: body grpc 0 99; grpc_close: reply 200 {{status}}",
            stream(&name, "Bidi")
        );
        let ng = Nginx::new(engine).http(block(&server)).script("/", &script, "").start();
        ng.get("/").status(200).body("0");
        ng.log().has("body grpc 0 99 -> 0 \"echo hello\"");
    }
}
