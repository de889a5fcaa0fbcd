//! A real nginx with the example `probe` in it: the private build, or Debian's when its headers were used.

#![allow(dead_code, reason = "each test binary uses a part of it")]

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

pub struct Server {
    child: Child,
    pub root: PathBuf,
}

fn write(root: &Path, main: &str, blocks: &str, http: &str) {
    fs::create_dir_all(root).expect("a folder for the test");
    let conf = format!(
        "user root;\nerror_log error.log debug;\npid nginx.pid;\nload_module {};\nevents {{}}\n{main}\n\
         http {{\naccess_log off;\n{blocks}\nserver {{\nlisten unix:{}/socket;\nset $probe unset;\n{http}\n}}\n}}\n",
        probe().display(),
        root.display()
    );
    fs::write(root.join("nginx.conf"), conf).expect("the configuration");
}

pub fn command(root: &Path) -> Option<Command> {
    let mut command = Command::new(nginx()?);
    command.arg("-p").arg(root).arg("-c").arg(root.join("nginx.conf")).args(["-e", "stderr"]);
    Some(command)
}

pub fn check(name: &str, main: &str) -> Option<Output> {
    let root = folder(name);
    write(&root, main, "", "");
    let output = command(&root)?.arg("-t").output().expect("nginx -t");
    let _ = fs::remove_dir_all(&root);
    Some(output)
}

pub fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("wasmx-{name}-{}", std::process::id()))
}

impl Server {
    /// With directives outside of `http {}`, and those of a server.
    pub fn start(name: &str, main: &str, http: &str) -> Option<Self> {
        Self::start_with(name, main, "", http)
    }

    /// With blocks beside the server as well.
    pub fn start_with(name: &str, main: &str, blocks: &str, http: &str) -> Option<Self> {
        let root = folder(name);
        write(&root, main, blocks, http);
        let child = command(&root)?.args(["-g", "daemon off;"]).stderr(Stdio::inherit()).spawn().expect("nginx");
        Some(Server { child, root })
    }

    pub fn get(&self, path: &str) -> String {
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

    pub fn wait_for(&self, line: &str) {
        let patience = Instant::now() + Duration::from_secs(10);
        while !fs::read_to_string(self.root.join("error.log")).is_ok_and(|log| log.contains(line)) {
            assert!(Instant::now() < patience, "the log never said: {line}");
            sleep(Duration::from_millis(10));
        }
    }

    pub fn stop(mut self) -> String {
        let quit = command(&self.root).expect("nginx").args(["-s", "quit"]).status().expect("nginx -s quit");
        assert!(quit.success());
        assert!(self.child.wait().expect("the master's end").success());
        let log = fs::read(self.root.join("error.log")).expect("the log");
        let _ = fs::remove_dir_all(&self.root);
        // What a peer sent may be in it.
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of a test that failed. Workers would live on if only the master were killed.
        if matches!(self.child.try_wait(), Ok(None)) {
            let stopped = command(&self.root).map(|mut command| command.args(["-s", "stop"]).status());
            if !matches!(stopped, Some(Ok(status)) if status.success()) {
                let _ = self.child.kill();
            }
            let _ = self.child.wait();
        }
    }
}
