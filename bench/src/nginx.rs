//! A private nginx in a prefix of its own, stopped when dropped.

use crate::{Options, Result, client};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub struct Nginx {
    pub port: u16,
    prefix: PathBuf,
    master: Child,
}

impl Nginx {
    /// Starts it; it may not answer yet. `conf` makes the configuration for a port.
    pub fn spawn(options: &Options, name: &str, conf: impl Fn(u16) -> String) -> Result<Self> {
        let prefix = options.out().join(name);
        fs::create_dir_all(prefix.join("logs"))?;
        fs::create_dir_all(prefix.join("html"))?;
        fs::write(prefix.join("html/64k"), vec![b'x'; 64 * 1024])?;
        fs::write(prefix.join("error.log"), "")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        fs::write(prefix.join("nginx.conf"), conf(port))?;
        let master = Command::new(options.nginx())
            .arg("-p")
            .arg(prefix.join(""))
            .arg("-c")
            .arg(prefix.join("nginx.conf"))
            .stderr(Stdio::from(fs::File::create(prefix.join("start.log"))?))
            .spawn()?;
        Ok(Self { port, prefix, master })
    }

    /// Starts it and waits until it answers.
    pub fn start(options: &Options, name: &str, conf: impl Fn(u16) -> String) -> Result<Self> {
        let mut nginx = Self::spawn(options, name, conf)?;
        let began = Instant::now();
        while client::get(nginx.port, "/pid").is_err() {
            if nginx.master.try_wait()?.is_some() || began.elapsed() > Duration::from_secs(20) {
                let log = fs::read_to_string(nginx.prefix.join("start.log"))?;
                return Err(format!("nginx does not start:\n{log}").into());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(nginx)
    }

    pub fn master(&self) -> u32 {
        self.master.id()
    }

    pub fn signal(&self, signal: &str) -> Result<()> {
        match Command::new("kill").arg(format!("-{signal}")).arg(self.master().to_string()).status()?.success() {
            true => Ok(()),
            false => Err(format!("kill -{signal} failed").into()),
        }
    }

    /// What it complained about.
    pub fn complaints(&self) -> String {
        fs::read_to_string(self.prefix.join("error.log")).unwrap_or_default()
    }

    /// The pids of the workers.
    pub fn workers(&self) -> Vec<u32> {
        let master = self.master();
        let path = format!("/proc/{master}/task/{master}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if self.signal("QUIT").is_ok() {
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(5) {
                if let Ok(Some(_)) = self.master.try_wait() {
                    return;
                }
                sleep(Duration::from_millis(10));
            }
        }
        drop(self.master.kill());
        drop(self.master.wait());
    }
}

/// Nanoseconds that a process was on a core.
pub fn cpu_time(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    Ok(stat.split_whitespace().next().ok_or("empty schedstat")?.parse()?)
}

/// KiB of a field of /proc/PID/smaps_rollup.
pub fn memory(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(Path::new(&path))?;
    let line = rollup.lines().find(|line| line.starts_with(field)).ok_or("no such field")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
}
