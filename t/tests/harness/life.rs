//! Start, reload, stop; `nginx -t`.

use wasmx_t::Nginx;

#[test]
fn workers_are_known_and_replaced() {
    let ng = Nginx::plain().workers(2).location("/", "return 200;").start();
    let before = ng.workers();
    assert_eq!(before.len(), 2);
    ng.kill_worker(before[0]);
    ng.get("/").status(200);
}

#[test]
fn a_reload_takes_the_new_configuration() {
    let ng = Nginx::plain().location("/", "return 200 old;").start();
    ng.get("/").body("old");
    ng.edit(|conf| conf.replace("old", "new"));
    ng.reload();
    ng.get("/").body("new");
}

#[test]
fn one_process_does_without_a_master() {
    if Nginx::lacks_single_process("life::one_process_does_without_a_master") {
        return;
    }
    let ng = Nginx::plain().single_process().location("/", "return 200;").start();
    assert!(ng.workers().is_empty());
    ng.get("/").status(200);
}

#[test]
fn a_configuration_can_be_tested() {
    Nginx::plain().location("/", "return 200;").conf_test().accepts().says("test is successful");
    let bad = Nginx::plain().location("/", "return x;").conf_test();
    bad.refuses().blames("return x;", "invalid return code").does_not_say("test is successful");
    assert_eq!(bad.complaints(), 1);
}

#[test]
fn a_log_is_read_from_a_place_on() {
    let ng = Nginx::plain().location("/", "return 200;").start();
    let log = ng.log().from_here();
    log.lacks("start worker process");
    ng.reload();
    log.wait("start worker process");
    log.in_order(&["reconfiguring", "start worker process", "gracefully shutting down"]);
}
