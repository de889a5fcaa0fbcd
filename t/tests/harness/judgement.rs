//! An nginx that ends badly fails its test.

use wasmx_t::Nginx;

#[test]
#[should_panic(expected = "nginx ended badly")]
fn a_bad_line_in_the_log_fails() {
    let ng = Nginx::plain().location("/", "return 200;").start();
    ng.get("/");
    append(&ng, "[alert] 1#1: something is wrong");
}

#[test]
fn an_allowed_line_does_not() {
    let ng = Nginx::plain().location("/", "return 200;").allow("something is wrong").start();
    append(&ng, "[alert] 1#1: something is wrong");
}

#[test]
#[should_panic(expected = "nginx ended badly")]
fn a_worker_that_dies_fails() {
    let ng = Nginx::plain().location("/", "return 200;").start();
    let pid = ng.workers()[0];
    ng.allow("exited on signal 11");
    // SAFETY: kill has no preconditions.
    unsafe { libc::kill(pid.cast_signed(), libc::SIGSEGV) };
    ng.log().wait("exited on signal 11");
    ng.log().wait_for(2, "start worker process ");
}

#[test]
#[should_panic(expected = "nginx did not start")]
fn a_configuration_that_is_wrong_fails() {
    Nginx::plain().location("/", "no_such_directive;").start();
}

fn append(ng: &wasmx_t::Running, line: &str) {
    let log = ng.log().text();
    ng.write("logs/error.log", format!("{log}{line}\n"));
}
