//! The process: nginx with listeners that the test opened.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The first descriptor of the listeners: out of the way of those that the runtime uses until `exec`, and of those of a test
/// that needs many ([`many_descriptors`]).
fn first() -> RawFd {
    match descriptors().rlim_cur.min(MOST) {
        few @ ..8192 => few as RawFd * 2 / 3,
        many => many as RawFd - 256,
    }
}

/// As many descriptors as any test needs.
const MOST: libc::rlim_t = 65_536;

fn descriptors() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the address is that of a variable.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit
}

/// Lets this process, and those that it starts, have as many descriptors as it may: for thousands of connections.
pub fn many_descriptors() {
    let mut limit = descriptors();
    limit.rlim_cur = limit.rlim_max.min(MOST);
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
}

/// nginx with this prefix and these listeners, its output in `logs/`.
///
/// The listeners are bound to ports that the kernel chose, and nginx adopts them by their descriptors (its way to
/// replace its binary on the fly): nobody guesses a port, and a request that comes too early waits in the backlog.
///
/// `under` is a program that runs it, with its arguments; it may be none.
pub(super) fn command(prefix: &Path, listeners: &[TcpListener], env: &[(String, String)], under: &[String]) -> Command {
    let mut command = match under {
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(crate::paths::nginx());
            command
        }
        [] => Command::new(crate::paths::nginx()),
    };
    command.arg("-p").arg(prefix).arg("-c").arg("nginx.conf").arg("-e").arg("logs/error.log");
    command.current_dir(prefix);
    let first = first();
    let numbers: String = (first..).take(listeners.len()).map(|fd| format!("{fd};")).collect();
    command.env("NGINX", numbers);
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(file(prefix, "stdout")).stderr(file(prefix, "stderr"));
    let given: Vec<RawFd> = listeners.iter().map(AsRawFd::as_raw_fd).collect();
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || {
            for (number, fd) in (first..).zip(&given) {
                // The copy stays open over exec, as the original does not.
                if libc::dup2(*fd, number) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            // nginx ends with the test, should that be killed.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
    command
}

fn file(prefix: &Path, name: &str) -> Stdio {
    let path = prefix.join("logs").join(name);
    File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
}

/// The children of a process.
pub(super) fn children(of: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Sends a signal.
pub(super) fn signal(pid: u32, signal: i32) {
    // SAFETY: kill has no preconditions.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}
