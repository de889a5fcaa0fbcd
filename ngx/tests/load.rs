//! Loads the example `probe` into a real nginx: the private build, or Debian's when its headers were used.
//! Run by `cargo test -p ngx`: with `--test load` alone, cargo does not build the example.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

fn nginx() -> Option<PathBuf> {
    let binary = match env!("WASMX_NGINX_FLAVOUR") {
        "debian" => PathBuf::from("/usr/sbin/nginx"),
        _ => PathBuf::from(option_env!("WASMX_NGINX_BINARY")?),
    };
    binary.is_file().then_some(binary)
}

fn probe() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let target = test.ancestors().nth(2).expect("deps/ and its parent");
    target.join("examples/libprobe.so")
}

struct Server {
    child: Child,
    root: PathBuf,
}

fn write(root: &Path, main: &str, http: &str) {
    fs::create_dir_all(root).expect("a folder for the test");
    let conf = format!(
        "user root;\nerror_log error.log debug;\npid nginx.pid;\nload_module {};\nevents {{}}\n{main}\n\
         http {{\naccess_log off;\nserver {{\nlisten unix:{}/socket;\nset $probe unset;\n{http}\n}}\n}}\n",
        probe().display(),
        root.display()
    );
    fs::write(root.join("nginx.conf"), conf).expect("the configuration");
}

fn command(root: &Path) -> Option<Command> {
    let mut command = Command::new(nginx()?);
    command.arg("-p").arg(root).arg("-c").arg(root.join("nginx.conf")).args(["-e", "stderr"]);
    Some(command)
}

fn check(name: &str, main: &str) -> Option<Output> {
    let root = folder(name);
    write(&root, main, "");
    let output = command(&root)?.arg("-t").output().expect("nginx -t");
    let _ = fs::remove_dir_all(&root);
    Some(output)
}

fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("wasmx-{name}-{}", std::process::id()))
}

impl Server {
    fn start(name: &str, main: &str, http: &str) -> Option<Self> {
        let root = folder(name);
        write(&root, main, http);
        let child = command(&root)?.args(["-g", "daemon off;"]).stderr(Stdio::inherit()).spawn().expect("nginx");
        Some(Server { child, root })
    }

    fn get(&self, path: &str) -> String {
        let patience = Instant::now() + Duration::from_secs(10);
        let mut stream = loop {
            match UnixStream::connect(self.root.join("socket")) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > patience => panic!("nginx does not listen: {error}"),
                Err(_) => sleep(Duration::from_millis(10)),
            }
        };
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").expect("a request");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        response
    }

    fn wait_for(&self, line: &str) {
        let patience = Instant::now() + Duration::from_secs(10);
        while !fs::read_to_string(self.root.join("error.log")).is_ok_and(|log| log.contains(line)) {
            assert!(Instant::now() < patience, "the log never said: {line}");
            sleep(Duration::from_millis(10));
        }
    }

    fn stop(mut self) -> String {
        let quit = command(&self.root).expect("nginx").args(["-s", "quit"]).status().expect("nginx -s quit");
        assert!(quit.success());
        assert!(self.child.wait().expect("the master's end").success());
        let log = fs::read_to_string(self.root.join("error.log")).expect("the log");
        let _ = fs::remove_dir_all(&self.root);
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

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
