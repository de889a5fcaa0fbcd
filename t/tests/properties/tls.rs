//! Of TLS: with the client, and with the upstream. One nginx is both ends: `/outer` passes to `/inner`.

use sha2::{Digest, Sha256};
use wasmx_t::{Authority, Certificate, Engine, Lines, Nginx, Running};

wasmx_t::on_every_engine![
    the_connection_of_a_client_with_a_certificate,
    the_connection_of_a_client_without_one,
    a_certificate_of_a_stranger,
    a_certificate_without_alternative_names,
    the_connection_to_the_upstream,
    without_tls_there_is_nothing,
    in_the_format_of_envoy,
    after_the_end,
];

struct Certificates {
    authority: Authority,
    server: Certificate,
    client: Certificate,
}

impl Certificates {
    fn new() -> Self {
        let authority = Authority::new();
        let server = authority.sign("server", &["spiffe://wasmx/server", "server.example", "other.example"]);
        let client = authority.sign("client", &["client.example", "spiffe://wasmx/client", "spiffe://wasmx/other"]);
        Self { authority, server, client }
    }
}

/// Statements that log these properties.
fn asks(paths: &[&str]) -> String {
    paths.iter().map(|path| format!("property {path}; ")).collect()
}

/// The two ends, each with its script; `outer` are directives of the one that passes, as a client.
fn start(engine: Engine, certificates: &Certificates, inner: (&str, &str), outer: (&str, impl Lines)) -> Running {
    let nginx = Nginx::new(engine).listener("ssl");
    let pass = format!("proxy_pass https://{}/inner;", nginx.address_of(1));
    let names = "proxy_ssl_name server.example; proxy_ssl_server_name on;";
    nginx
        .certificate("server", &certificates.server)
        .certificate("client", &certificates.client)
        .authority("ca", &certificates.authority)
        .server(("ssl_certificate server.crt; ssl_certificate_key server.key;", "ssl_client_certificate ca.crt;"))
        .server(("ssl_verify_client optional;", "ssl_protocols TLSv1.3; proxy_ssl_protocols TLSv1.3;"))
        .script("/inner", inner.0, (inner.1, "add_header x-source $remote_addr:$remote_port; return 200 fine;"))
        .script("/outer", outer.0, (outer.1, names, pass))
        .start()
}

const WITH_CERTIFICATE: &str = "proxy_ssl_certificate client.crt; proxy_ssl_certificate_key client.key;";

/// All of the connection's that are of certificates.
const OF_PEER: [&str; 5] = [
    "connection.subject_peer_certificate",
    "connection.dns_san_peer_certificate",
    "connection.uri_san_peer_certificate",
    "connection.sha256_peer_certificate_digest",
    "connection.peer_certificate",
];
const OF_NGINX: [&str; 5] = [
    "connection.subject_local_certificate",
    "connection.dns_san_local_certificate",
    "connection.uri_san_local_certificate",
    "connection.tls_version",
    "connection.requested_server_name",
];

fn digest(certificate: &Certificate) -> String {
    Sha256::digest(&certificate.der).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A PEM text as a property has it.
fn encoded(pem: &str) -> String {
    let pem = pem.replace("\r\n", "\n").replace('%', "%25");
    pem.replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

fn the_connection_of_a_client_with_a_certificate(engine: Engine) {
    let certificates = Certificates::new();
    let script = format!("request_headers: {}{}property connection.mtls", asks(&OF_PEER), asks(&OF_NGINX));
    let ng = start(engine, &certificates, (&script, ""), ("", WITH_CERTIFICATE));
    ng.get("/outer").status(200);
    let log = ng.log();
    for (path, value) in [
        ("subject_peer_certificate", "CN=client,O=WasmX"),
        ("dns_san_peer_certificate", "client.example"),
        ("uri_san_peer_certificate", "spiffe://wasmx/client"),
        ("sha256_peer_certificate_digest", &digest(&certificates.client)),
        ("peer_certificate", &encoded(&certificates.client.pem)),
        ("subject_local_certificate", "CN=server,O=WasmX"),
        ("dns_san_local_certificate", "server.example"),
        ("uri_san_local_certificate", "spiffe://wasmx/server"),
        ("tls_version", "TLSv1.3"),
        ("requested_server_name", "server.example"),
        ("mtls", "true"),
    ] {
        log.has(&format!("property connection.{path} -> 0 \"{value}\""));
    }
}

fn the_connection_of_a_client_without_one(engine: Engine) {
    let script =
        format!("request_headers: {}property connection.mtls; property connection.tls_version", asks(&OF_PEER));
    let ng = start(engine, &Certificates::new(), (&script, ""), ("", ""));
    ng.get("/outer").status(200);
    for path in OF_PEER {
        ng.log().has(&format!("property {path} -> 1"));
    }
    ng.log().has("property connection.mtls -> 0 \"false\"").has("property connection.tls_version -> 0 \"TLSv1.3\"");
}

fn a_certificate_of_a_stranger(engine: Engine) {
    let mut certificates = Certificates::new();
    certificates.client = Authority::named("another").sign("stranger", &[]);
    let script = "request_headers: property connection.transport_failure_reason; property connection.mtls; \
                  property connection.subject_peer_certificate";
    let nginx = Nginx::new(engine).listener("ssl");
    let pass = format!("proxy_pass https://{}/inner;", nginx.address_of(1));
    let ng = nginx
        .certificate("server", &certificates.server)
        .certificate("client", &certificates.client)
        .authority("ca", &certificates.authority)
        .server(("ssl_certificate server.crt; ssl_certificate_key server.key;", "ssl_client_certificate ca.crt;"))
        .server("ssl_verify_client optional_no_ca;")
        .script("/inner", script, "return 200 $ssl_client_verify;")
        .location("/outer", (WITH_CERTIFICATE, pass))
        .start();
    let response = ng.get("/outer");
    let text = response.status(200).text();
    let reason = text.strip_prefix("FAILED:").unwrap_or_else(|| panic!("nginx says {text:?}"));
    ng.log()
        .has(&format!("property connection.transport_failure_reason -> 0 \"{reason}\""))
        .has("property connection.mtls -> 0 \"false\"")
        .has("property connection.subject_peer_certificate -> 0 \"CN=stranger,O=WasmX\"");
}

fn a_certificate_without_alternative_names(engine: Engine) {
    let mut certificates = Certificates::new();
    certificates.client = certificates.authority.sign("client, with a comma", &[]);
    let script = format!("request_headers: {}", asks(&OF_PEER));
    let ng = start(engine, &certificates, (&script, ""), ("", WITH_CERTIFICATE));
    ng.get("/outer").status(200);
    ng.log()
        .has(r#"property connection.subject_peer_certificate -> 0 "CN=client\\, with a comma,O=WasmX""#)
        .has("property connection.dns_san_peer_certificate -> 1")
        .has("property connection.uri_san_peer_certificate -> 1");
}

fn the_connection_to_the_upstream(engine: Engine) {
    let certificates = Certificates::new();
    let paths = [
        "upstream.subject_peer_certificate",
        "upstream.dns_san_peer_certificate",
        "upstream.uri_san_peer_certificate",
        "upstream.sha256_peer_certificate_digest",
        "upstream.peer_certificate",
        "upstream.subject_local_certificate",
        "upstream.dns_san_local_certificate",
        "upstream.uri_san_local_certificate",
        "upstream.tls_version",
    ];
    let script = format!("response_headers: {}property upstream.local_address", asks(&paths));
    let ng = start(engine, &certificates, ("", ""), (&script, WITH_CERTIFICATE));
    let response = ng.get("/outer");
    let source = response.status(200).value("x-source").unwrap_or_default();
    for (path, value) in [
        ("subject_peer_certificate", "CN=server,O=WasmX"),
        ("dns_san_peer_certificate", "server.example"),
        ("uri_san_peer_certificate", "spiffe://wasmx/server"),
        ("sha256_peer_certificate_digest", &digest(&certificates.server)),
        ("peer_certificate", &encoded(&certificates.server.pem)),
        ("subject_local_certificate", "CN=client,O=WasmX"),
        ("dns_san_local_certificate", "client.example"),
        ("uri_san_local_certificate", "spiffe://wasmx/client"),
        ("tls_version", "TLSv1.3"),
        ("local_address", source),
    ] {
        ng.log().has(&format!("property upstream.{path} -> 0 \"{value}\""));
    }
}

fn without_tls_there_is_nothing(engine: Engine) {
    let upstream = ["upstream.tls_version", "upstream.subject_peer_certificate", "upstream.subject_local_certificate"];
    let script = format!("request_headers: {}{}{}", asks(&OF_PEER), asks(&OF_NGINX), asks(&upstream));
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    ng.get("/").status(200);
    for path in OF_PEER.iter().chain(&OF_NGINX).chain(&upstream) {
        ng.log().has(&format!("property {path} -> 1"));
    }
}

fn in_the_format_of_envoy(engine: Engine) {
    let script = "request_headers: property connection.mtls; add response x-mtls {hex}; \
                  property connection.sha256_peer_certificate_digest; add response x-digest {it}";
    let certificates = Certificates::new();
    let ng = start(engine, &certificates, (script, "proxy_wasm_property_format envoy;"), ("", WITH_CERTIFICATE));
    ng.get("/outer").status(200).header("x-mtls", "01").header("x-digest", &digest(&certificates.client));
}

fn after_the_end(engine: Engine) {
    let certificates = Certificates::new();
    let script = "configure: tick 10
                  done: refuse
                  tick: each finish
                  log: property connection.uri_san_peer_certificate; property connection.subject_local_certificate";
    let ng = start(engine, &certificates, (script, ""), ("", WITH_CERTIFICATE));
    ng.get("/outer").status(200);
    ng.log().wait("property connection.subject_local_certificate -> 0 \"CN=server,O=WasmX\"");
    ng.log().has("property connection.uri_san_peer_certificate -> 0 \"spiffe://wasmx/client\"");
}
