//! Loads the example `probe` into a real nginx.
//! Run by `cargo test -p ngx`: with `--test load` alone, cargo does not build the example.

mod server;

use server::{Server, check, command};

#[test]
fn requests_wait_go_on_and_are_redirected() {
    let main = "probe { name a; name b c; inner { wait 20ms; } }";
    let http = "probe_mode pass;
        location / { return 200 \"x\"; }
        location /file { try_files /nginx.conf =404; }
        location /wait { probe_mode wait; try_files /nginx.conf =404; }
        location /content { probe_content; }
        location /redirected { try_files /nginx.conf =404; }
        location /later { probe_later; }
        location /deny { probe_mode deny; }
        location /panic { probe_mode panic; }
        root .;";
    let Some(server) = Server::start("serve", main, http) else { return };

    let file = server.get("/file");
    assert!(
        file.starts_with("HTTP/1.1 200") && file.contains("x-steps: 1") && file.contains("x-variable: set"),
        "{file}"
    );
    let waited = server.get("/wait");
    assert!(waited.starts_with("HTTP/1.1 200") && waited.contains("x-steps: 2"), "{waited}");
    let redirected = server.get("/content");
    assert!(redirected.starts_with("HTTP/1.1 200") && redirected.contains("x-steps: 2"), "{redirected}");
    assert!(server.get("/later").starts_with("HTTP/1.1 204"));
    assert!(server.get("/deny").starts_with("HTTP/1.1 403"));
    assert!(server.get("/panic").starts_with("HTTP/1.1 500"));
    assert!(server.get("/").starts_with("HTTP/1.1 200"));

    let reload = command(&server.root).expect("nginx").args(["-s", "reload"]).status().expect("nginx -s reload");
    assert!(reload.success());
    server.wait_for("probe: 2 names, 2 before");
    assert!(server.get("/wait").contains("x-steps: 2"));

    let log = server.stop();
    assert!(log.contains("probe: worker 0 of Worker"), "{log}");
    assert!(log.contains("[alert]") && log.contains("panic at ngx/examples/probe.rs:"), "{log}");
    assert!(log.contains(": asked to"), "{log}");
    assert!(log.contains("GET /nginx.conf?a=b of unix::0 at Some(\"unix:"), "{log}");
    assert!(log.contains(r"sni None\nprobe=%s while logging request, client: unix:"), "{log}");
    assert_eq!(log.matches("probe: ctx dropped after").count(), 7, "{log}");
    assert!(log.contains("probe: ctx dropped after 2 steps, stale true"), "{log}");
    assert!(!log.contains("signal 11") && !log.contains("[crit]") && !log.contains("[emerg]"), "{log}");
}

#[test]
fn mistakes_name_file_and_line() {
    let cases = [
        ("probe { name a; name a; }", " name \"a\" given twice: 100% in "),
        ("probe { name; }", "invalid number of arguments in \"name\" directive"),
        ("probe { wait 1s; }", "\"wait\" directive is not allowed here"),
        ("probe { inner { wait x; } }", " invalid time in "),
        ("name a;", "\"name\" directive is not allowed here"),
        ("probe { worker_processes 1; }", "\"worker_processes\" directive is not allowed here"),
        ("probe { name late; }", " too late"),
        ("probe { boom; }", ": boom"),
    ];
    for (main, message) in cases {
        let Some(output) = check("mistakes", main) else { return };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{main}: {said}");
        assert!(said.contains(message), "{main}: {said}");
        assert!(!message.ends_with(" in ") || said.contains("nginx.conf:6"), "{main}: {said}");
    }
    let output = check("right", "probe { name a; inner { wait 1s; } }").expect("nginx was there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
