//! The peers themselves, as nginx and the kernel see them.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use wasmx_t::{Answer, Authority, Certificate, Dns, Full, Gate, Nginx, Nobody, Peer, eventually};

use crate::service::Service;

fn passing(peer: &Peer) -> Nginx {
    Nginx::plain()
        .http(format!("upstream peer {{ server {}; keepalive 4; }}", peer.name()))
        .location("/", "proxy_pass http://peer; proxy_http_version 1.1; proxy_set_header Connection '';")
}

#[test]
fn connections_and_requests_are_counted() {
    let peer = Peer::new().answers(|asked| Answer::ok(format!("{} {}", asked.connection, asked.nth)));
    let ng = passing(&peer).start();
    ng.get("/a").status(200).body("1 1");
    ng.post("/b", "the body").status(200).body("1 2");
    peer.saw("/b").body("the body").header("host", "peer");
    peer.wait_open(1).saw_times(2);
    peer.hang_up();
    peer.wait_open(0);
    ng.get("/c").status(200).body("2 1");
    assert_eq!((peer.accepted(), peer.peak()), (2, 1));
}

#[test]
fn answers_are_made_of_steps() {
    let peer = Peer::new().answers(|asked| match asked.target() {
        "/chunks" => Answer::chunks(["one", "two"], &[]),
        "/drip" => Answer::drip("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").then_drip("slow"),
        "/close" => Answer::close(),
        "/reset" => Answer::raw("HTTP/1.1 200").then_reset(),
        _ => Answer::with("404 Not Found", &[("x-a", "1")], "none"),
    });
    let ng = passing(&peer).start();
    ng.get("/chunks").status(200).body("onetwo");
    ng.get("/drip").status(200).body("slow");
    ng.get("/close").status(502);
    ng.get("/reset").status(502);
    ng.get("/").status(404).header("x-a", "1").body("none");
    ng.log().has("upstream prematurely closed connection").has("Connection reset by peer");
}

#[test]
fn a_gate_holds_an_answer() {
    let gate = Gate::new();
    let held = gate.clone();
    let peer = Peer::on("[::1]:0").answers(move |_| {
        held.pass();
        Answer::ok("late")
    });
    let ng = passing(&peer).start();
    let mut connection = ng.request("GET", "/x").begin();
    peer.saw("/x");
    gate.open();
    connection.response().status(200).body("late");
}

#[test]
fn a_socket_of_the_file_system() {
    let nginx = Nginx::plain();
    let peer = Peer::unix(nginx.prefix().join("sock")).ok("unix");
    let ng = nginx.location("/", format!("proxy_pass http://{}:/;", peer.name())).start();
    ng.get("/").status(200).body("unix");
}

#[test]
fn addresses_that_cannot_be_reached() {
    let connect = |address: &SocketAddr| TcpStream::connect_timeout(address, Duration::from_millis(200));
    let kind = |address| connect(&address).expect_err("no connection").kind();
    assert_eq!(kind(Nobody::new().address()), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(kind(Full::new().address()), std::io::ErrorKind::TimedOut);
}

#[test]
fn names_are_told_and_counted() {
    let peer = Peer::new().ok("found");
    let dns = Dns::new().name("a.example", &["127.0.0.1", "::1"]).failing("bad.example").silent("silent.example");
    let ng = Nginx::plain()
        .http((dns.resolver(), "resolver_timeout 200ms;"))
        .location("/", format!("proxy_pass http://$arg_host:{};", peer.port()))
        .start();
    for _ in 0..2 {
        ng.get("/?host=A.example").status(200).body("found");
    }
    assert_eq!(dns.asked("a.example"), 1);
    for host in ["none.example", "bad.example", "silent.example"] {
        ng.get(&format!("/?host={host}")).status(502);
    }
    ng.log().has("none.example could not be resolved (3: Host not found)").has("bad.example could not be resolved (");
    ng.log().has("silent.example could not be resolved (110: Operation timed out)");
}

#[test]
fn certificates_are_good_and_bad() {
    let authority = Authority::new();
    let names = ["service.example", "127.0.0.1"];
    for (certificate, verdict) in [
        (authority.sign("service", &names), "passed"),
        (authority.sign_expired("service", &names), "certificate has expired"),
        (Certificate::self_signed("service", &names), "SSL certificate verify error: ("),
        (Authority::named("a stranger").sign("service", &names), "SSL certificate verify error: ("),
        (authority.sign("service", &["other.example"]), "does not match"),
    ] {
        let nginx = Nginx::plain().tls_listener(&certificate, true).authority("ca", &authority);
        let pass = format!("proxy_pass https://{}/inner;", nginx.address_of(1));
        let ng = nginx
            .location("/inner", "return 200 passed;")
            .location(
                "/",
                (pass, "proxy_ssl_name service.example; proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.crt;"),
            )
            .start();
        let response = ng.get("/");
        if verdict == "passed" {
            response.status(200).body(verdict);
        } else {
            response.status(502);
            ng.log().has(verdict);
        }
    }
}

#[test]
fn a_service_is_killed_and_comes_back() {
    let mut service = Service::new();
    let ask = |service: &Service, path: &str| {
        let nginx = Nginx::plain().location("/", format!("proxy_pass http://{};", service.name()));
        nginx.start().get(path).text()
    };
    assert_eq!(ask(&service, "/one"), "/one");
    let mut idle = TcpStream::connect(service.name()).expect("a connection");
    eventually("the connection", || (service.open() == 1).then_some(()));
    service.kill();
    assert_eq!(std::io::Read::read(&mut idle, &mut [0]).expect("an end in order"), 0);
    assert!(ask(&service, "/two").contains("502 Bad Gateway"));
    service.start();
    assert_eq!(ask(&service, "/three"), "/three");
    assert_eq!(service.answered().len(), 2);
    assert_eq!(service.accepted(), 3);
}
