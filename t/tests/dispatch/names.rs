//! What a call may name: `upstream {}` blocks, hosts, addresses, sockets.

use wasmx_t::{Dns, Engine, Nginx, Nobody, Peer};

use crate::{get, telling};

wasmx_t::on_every_engine![
    a_block_balances_over_its_servers,
    a_block_has_weights,
    a_server_that_fails_is_left_out,
    a_backup_is_asked_when_the_others_are_gone,
    a_block_without_live_servers,
    connections_of_a_block_are_kept,
    an_address_of_version_4,
    an_address_of_version_6,
    a_socket_of_the_file_system,
    a_host_is_resolved_once,
    a_host_has_an_address_of_version_6,
    a_host_has_several_addresses,
    a_host_is_added_to_the_resolver,
    a_host_is_added_for_all,
    an_added_host_has_its_own_port,
    an_added_host_has_several_addresses,
    the_resolver_of_wasm_is_the_fallback,
    a_root_uses_the_resolver_of_wasm,
];

fn block(servers: &str) -> String {
    format!("upstream service {{ {servers} }}")
}

fn server(peer: &Peer) -> String {
    format!("server {};", peer.name())
}

fn a_block_balances_over_its_servers(engine: Engine) {
    let (a, b) = (Peer::new().ok("a"), Peer::new().ok("b"));
    let nginx = Nginx::new(engine).http(block(&(server(&a) + &server(&b))));
    let ng = telling(nginx, "/", &get("service", "/x"), "").start();
    let mut got: Vec<_> = (0..4).map(|_| ng.get("/").status(200).text()).collect();
    got.sort();
    assert_eq!(got, ["a", "a", "b", "b"]);
}

fn a_block_has_weights(engine: Engine) {
    let (a, b) = (Peer::new().ok("a"), Peer::new().ok("b"));
    let servers = format!("server {} weight=3; server {};", a.name(), b.name());
    let ng = telling(Nginx::new(engine).http(block(&servers)), "/", &get("service", "/x"), "").start();
    (0..8).for_each(|_| drop(ng.get("/")));
    a.saw_times(6);
    b.saw_times(2);
}

fn a_server_that_fails_is_left_out(engine: Engine) {
    let (nobody, peer) = (Nobody::new(), Peer::new().ok("here"));
    let servers = format!("server {} max_fails=1 fail_timeout=1h; {}", nobody.address(), server(&peer));
    let ng = telling(Nginx::new(engine).http(block(&servers)), "/", &get("service", "/x"), "").start();
    let failed = (0..6).filter(|_| ng.get("/").code() != Some(200)).count();
    assert!(failed <= 1, "{failed} calls failed, and after the first its server should be left out");
    assert!(ng.log().lines_with("Connection refused").len() <= 1, "{}", ng.log().text());
}

fn a_backup_is_asked_when_the_others_are_gone(engine: Engine) {
    let (nobody, peer) = (Nobody::new(), Peer::new().ok("backup"));
    let servers = format!("server {} max_fails=1 fail_timeout=1h; server {} backup;", nobody.address(), peer.name());
    let ng = telling(Nginx::new(engine).http(block(&servers)), "/", &get("service", "/x"), "").start();
    // The one that finds out may fail.
    ng.get("/");
    for _ in 0..3 {
        ng.get("/").status(200).body("backup");
    }
}

fn a_block_without_live_servers(engine: Engine) {
    let peer = Peer::new().ok("never");
    let servers = format!("server {} down;", peer.name());
    let ng = telling(Nginx::new(engine).http(block(&servers)), "/", &get("service", "/x"), "").start();
    ng.get("/").status(502);
    ng.log().has_times(1, "[wasm] dispatch failed: ");
    peer.saw_times(0);
}

fn connections_of_a_block_are_kept(engine: Engine) {
    let peer = Peer::new().ok("kept");
    let nginx = Nginx::new(engine).http(block(&(server(&peer) + "keepalive 4;")));
    let ng = telling(nginx, "/", &get("service", "/x"), "").start();
    for _ in 0..5 {
        ng.get("/").status(200).body("kept");
    }
    assert_eq!(peer.saw_times(5).accepted(), 1);
}

fn an_address_of_version_4(engine: Engine) {
    let peer = Peer::new().ok("four");
    let ng = telling(Nginx::new(engine), "/", &get(&peer.name(), "/x"), "").start();
    ng.get("/").status(200).body("four");
    peer.saw("/x").header("host", "peer.example");
}

fn an_address_of_version_6(engine: Engine) {
    let peer = Peer::on("[::1]:0").ok("six");
    let ng = telling(Nginx::new(engine), "/", &get(&peer.name(), "/x"), "").start();
    ng.get("/").status(200).body("six");
}

fn a_socket_of_the_file_system(engine: Engine) {
    let nginx = Nginx::new(engine);
    let peer = Peer::unix(nginx.prefix().join("peer.sock")).ok("unix");
    let ng = telling(nginx, "/", &get(&peer.name(), "/x"), "").start();
    for _ in 0..3 {
        ng.get("/").status(200).body("unix");
    }
    assert_eq!(peer.saw_times(3).accepted(), 1);
}

fn a_host_is_resolved_once(engine: Engine) {
    let peer = Peer::new().ok("by name");
    let dns = Dns::new().name("service.example", &["127.0.0.1"]);
    let host = format!("service.example:{}", peer.port());
    let ng = telling(Nginx::new(engine).http(dns.resolver()), "/", &get(&host, "/x"), "").start();
    for _ in 0..3 {
        ng.get("/").status(200).body("by name");
    }
    assert_eq!(dns.asked("service.example"), 1, "nginx remembers for a minute");
    assert_eq!(peer.accepted(), 1);
}

fn a_host_has_an_address_of_version_6(engine: Engine) {
    let peer = Peer::on("[::1]:0").ok("six by name");
    let dns = Dns::new().name("six.example", &["::1"]);
    let host = format!("six.example:{}", peer.port());
    let ng = telling(Nginx::new(engine).http(dns.resolver_of_both()), "/", &get(&host, "/x"), "").start();
    ng.get("/").status(200).body("six by name");
}

fn a_host_has_several_addresses(engine: Engine) {
    // One port at two addresses, both of this machine.
    let peer = Peer::on("127.0.0.2:0").ok("here");
    let other = Peer::on(&format!("127.0.0.3:{}", peer.port())).ok("here");
    let dns = Dns::new().name("both.example", &["127.0.0.2", "127.0.0.3"]);
    let host = format!("both.example:{}", peer.port());
    let ng = telling(Nginx::new(engine).http(dns.resolver()), "/", &get(&host, "/x"), "").start();
    for _ in 0..4 {
        ng.get("/").status(200).body("here");
    }
    assert_eq!(peer.asked().len() + other.asked().len(), 4);
}

fn a_host_is_added_to_the_resolver(engine: Engine) {
    let (peer, six) = (Peer::new().ok("four"), Peer::on("[::1]:0").ok("six"));
    let dns = Dns::new();
    let nginx = Nginx::new(engine).http((dns.resolver_of_both(), "resolver_add 127.0.0.1 added.example;"));
    let nginx = nginx.http("resolver_add ::1 six.example;");
    let nginx = telling(nginx, "/", &get(&format!("added.example:{}", peer.port()), "/x"), "");
    let ng = telling(nginx, "/six", &get(&format!("six.example:{}", six.port()), "/x"), "").start();
    ng.get("/").status(200).body("four");
    ng.get("/six").status(200).body("six");
    assert_eq!(dns.asked("added.example") + dns.asked("six.example"), 0);
}

fn a_host_is_added_for_all(engine: Engine) {
    let peer = Peer::new().ok("added");
    let dns = Dns::new();
    let nginx = Nginx::new(engine).wasm_directive((dns.resolver(), "resolver_add 127.0.0.1 added.example;"));
    let ng = telling(nginx, "/", &get(&format!("added.example:{}", peer.port()), "/x"), "").start();
    ng.get("/").status(200).body("added");
    assert_eq!(dns.asked("added.example"), 0);
}

/// Whatever port a call names, or that of its scheme.
fn an_added_host_has_its_own_port(engine: Engine) {
    let (four, six) = (Peer::new().ok("four"), Peer::on("[::1]:0").ok("six"));
    let hosts = format!("resolver_add {} four.example; resolver_add {} six.example;", four.name(), six.name());
    for nginx in
        [Nginx::new(engine).http(("resolver 127.0.0.1:9;", &*hosts)), Nginx::new(engine).wasm_directive(&*hosts)]
    {
        let nginx = telling(nginx, "/four", &get("four.example", "/x"), "");
        let nginx = telling(nginx, "/named", &get("four.example:81", "/x"), "");
        let ng = telling(nginx, "/six", &get("six.example", "/x"), "").start();
        for (path, body) in [("/four", "four"), ("/named", "four"), ("/six", "six")] {
            ng.get(path).status(200).body(body);
        }
    }
    four.saw("/x").header("host", "peer.example");
}

/// Tried in their order, each at its port.
fn an_added_host_has_several_addresses(engine: Engine) {
    let (nobody, peer) = (Nobody::new(), Peer::new().ok("second"));
    let hosts = format!("resolver_add {} added.example; resolver_add {} added.example;", nobody.address(), peer.name());
    let nginx = Nginx::new(engine).http(("resolver 127.0.0.1:9;", hosts));
    let ng = telling(nginx, "/", &get("added.example", "/x"), "").start();
    for _ in 0..3 {
        ng.get("/").status(200).body("second");
    }
    ng.log().lacks("dispatch failed");
}

fn the_resolver_of_wasm_is_the_fallback(engine: Engine) {
    let peer = Peer::new().ok("found");
    let (fallback, own) = (Dns::new().name("a.example", &["127.0.0.1"]), Dns::new().name("a.example", &["127.0.0.1"]));
    let call = get(&format!("a.example:{}", peer.port()), "/x");
    let nginx = Nginx::new(engine).wasm_directive(fallback.resolver());
    let ng = telling(telling(nginx, "/", &call, ""), "/own", &call, own.resolver()).start();
    ng.get("/").status(200).body("found");
    assert_eq!((fallback.asked("a.example"), own.asked("a.example")), (1, 0));
    ng.get("/own").status(200).body("found");
    assert_eq!((fallback.asked("a.example"), own.asked("a.example")), (1, 1));
}

fn a_root_uses_the_resolver_of_wasm(engine: Engine) {
    let peer = Peer::new();
    let dns = Dns::new().name("a.example", &["127.0.0.1"]);
    let call = get(&format!("a.example:{}", peer.port()), "/tick");
    let script = format!("configure: tick 5; tick: once {call}; call_response: get call :status");
    let ng = Nginx::new(engine).wasm_directive(dns.resolver()).script("/", &script, "").start();
    ng.log().wait("get call :status -> 0 \"200\"");
    assert_eq!(dns.asked("a.example"), 1);
}
