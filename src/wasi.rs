//! WASI preview 1, as far as a filter has a use for it, under both names that it goes by.
//!
//! Every function of it is there, so that the module of any SDK links: the clocks, randomness, the environment, and
//! the standard streams, which lead to the log. There are no files, sockets or arguments.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use engines::{Linker, Trap};

use crate::proxy_wasm::abi::LogLevel;
use crate::proxy_wasm::host::Host;
use crate::proxy_wasm::hostcalls::{Fault, HostcallInfo, hostcalls};
use crate::proxy_wasm::memory::{self, OutOfBounds};
use crate::proxy_wasm::state::State;

/// The modules that guests import these functions from.
pub const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// The most random bytes in one call.
const MAX_RANDOM: u32 = 64 << 10;
/// The most bytes and ranges taken by one write; what is above is left to the guest's next.
const MAX_WRITE: u32 = 64 << 10;
const MAX_RANGES: u32 = 1024;
/// A line that is longer is logged in parts: nginx cuts them at 2,048 bytes.
const MAX_LINE: usize = 4096;

const CLOCK_REALTIME: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;
const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// What a function answers (`errno` of preview 1), as far as it is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Errno {
    Badf = 8,
    Fault = 21,
    Inval = 28,
    Io = 29,
    Nosys = 52,
    Notsup = 58,
}

use Errno::{Badf, Nosys};

impl From<Errno> for u32 {
    fn from(errno: Errno) -> Self {
        errno as Self
    }
}

impl From<Errno> for Fault<Errno> {
    fn from(errno: Errno) -> Self {
        Self::Code(errno)
    }
}

impl From<OutOfBounds> for Fault<Errno> {
    fn from(_: OutOfBounds) -> Self {
        Self::Code(Errno::Fault)
    }
}

/// Nanoseconds since 1970.
pub fn realtime() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds on a clock that only advances. Never 0, which Go takes for a broken clock.
fn monotonic() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1_000_000_000)
}

/// The standard output and error of a guest: what is written there goes to the log, a line each.
#[derive(Debug, Default)]
pub struct Stdio {
    output: Vec<u8>,
    error: Vec<u8>,
}

impl Stdio {
    /// Whether no line has been begun.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.output.is_empty() && self.error.is_empty()
    }

    /// Logs the lines that `bytes` end, and keeps the one that they begin.
    fn write(&mut self, level: LogLevel, bytes: &[u8], mut log: impl FnMut(LogLevel, &[u8])) {
        let begun = if level == LogLevel::Error { &mut self.error } else { &mut self.output };
        let mut parts = bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            let ended = parts.peek().is_some();
            if ended && begun.is_empty() {
                log(level, part);
                continue;
            }
            begun.extend_from_slice(part);
            if ended || begun.len() > MAX_LINE {
                log(level, begun);
                begun.clear();
            }
        }
    }

    /// Logs the lines that were begun as they are.
    pub fn flush(&mut self, mut log: impl FnMut(LogLevel, &[u8])) {
        for (level, begun) in [(LogLevel::Info, &mut self.output), (LogLevel::Error, &mut self.error)] {
            if !begun.is_empty() {
                log(level, begun);
                begun.clear();
            }
        }
    }
}

/// Writes the environment: the address of each variable to `array`, the variables to `text`, each with a NUL.
fn write_environ(memory: &mut [u8], environ: &[Vec<u8>], array: u32, text: u32) -> Result<(), OutOfBounds> {
    let (mut array, mut text) = (array, text);
    for variable in environ {
        let size = u32::try_from(variable.len()).map_err(|_| OutOfBounds)?;
        memory::write_u32(memory, array, text)?;
        memory::write(memory, text, variable)?;
        text = text.checked_add(size).ok_or(OutOfBounds)?;
        memory::write(memory, text, &[0])?;
        text = text.checked_add(1).ok_or(OutOfBounds)?;
        array = array.checked_add(4).ok_or(OutOfBounds)?;
    }
    Ok(())
}

/// The `index`-th range of a scattered write.
fn range_at(memory: &[u8], ranges: u32, index: u32) -> Result<(u32, u32), OutOfBounds> {
    let entry = ranges.checked_add(index * 8).ok_or(OutOfBounds)?;
    let [a, b, c, d, e, f, g, h] = memory::array(memory, entry)?;
    Ok((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
}

/// Logs what the ranges hold, and tells how many bytes that was. Nothing is logged when one of them is wild.
fn write_ranges<H: Host>(
    memory: &[u8],
    state: &mut State<H>,
    level: LogLevel,
    ranges: u32,
    count: u32,
) -> Result<u32, OutOfBounds> {
    for index in 0..count {
        let (start, size) = range_at(memory, ranges, index)?;
        memory::check(memory, start, size)?;
    }
    let mut stdio = std::mem::take(&mut state.stdio);
    let mut written = 0;
    for index in 0..count {
        let Ok((start, size)) = range_at(memory, ranges, index) else { break };
        let size = size.min(MAX_WRITE - written);
        stdio
            .write(level, memory::bytes(memory, start, size).unwrap_or_default(), |level, line| state.log(level, line));
        written += size;
    }
    state.stdio = stdio;
    Ok(written)
}

/// Gives every function of WASI preview 1 to a linker.
pub(crate) fn define_all<H: Host>(linker: &mut impl Linker<State<H>>) {
    for module in MODULES {
        define(linker, module);
    }
}

/// Every function of WASI preview 1.
pub fn table() -> impl Iterator<Item = HostcallInfo> {
    TABLE.iter().copied()
}

hostcalls! {
    /// Arguments: there are none.
    V0_1_0 fn args_get(caller, argv: u32, text: u32) Errno {
        let _ = (caller, argv, text);
        Ok(())
    };

    /// The number and size of the arguments: there are none.
    V0_1_0 fn args_sizes_get(caller, return_count: u32, return_size: u32) Errno {
        let (memory, _) = caller.split();
        memory::write_u32(memory, return_count, 0)?;
        Ok(memory::write_u32(memory, return_size, 0)?)
    };

    /// The environment that nginx.conf gives to guests.
    V0_1_0 fn environ_get(caller, array: u32, text: u32) Errno {
        let (memory, state) = caller.split();
        Ok(write_environ(memory, state.host.environ(), array, text)?)
    };

    /// The number of variables and their size, with a NUL for each.
    V0_1_0 fn environ_sizes_get(caller, return_count: u32, return_size: u32) Errno {
        let (memory, state) = caller.split();
        let environ = state.host.environ();
        let size: usize = environ.iter().map(|variable| variable.len() + 1).sum();
        memory::write_u32(memory, return_count, u32::try_from(environ.len()).map_err(|_| OutOfBounds)?)?;
        Ok(memory::write_u32(memory, return_size, u32::try_from(size).map_err(|_| OutOfBounds)?)?)
    };

    /// The resolution of a clock.
    V0_1_0 fn clock_res_get(caller, clock: u32, return_resolution: u32) Errno {
        if !matches!(clock, CLOCK_REALTIME | CLOCK_MONOTONIC) {
            return Err(Errno::Notsup.into());
        }
        Ok(memory::write_u64(caller.split().0, return_resolution, 1)?)
    };

    /// The time of a clock.
    V0_1_0 fn clock_time_get(caller, clock: u32, precision: u64, return_time: u32) Errno {
        let _ = precision;
        let time = match clock {
            CLOCK_REALTIME => realtime(),
            CLOCK_MONOTONIC => monotonic(),
            _ => return Err(Errno::Notsup.into()),
        };
        Ok(memory::write_u64(caller.split().0, return_time, time)?)
    };

    /// Random bytes from the system.
    V0_1_0 fn random_get(caller, data: u32, size: u32) Errno {
        if size > MAX_RANDOM {
            return Err(Errno::Inval.into());
        }
        let (memory, _) = caller.split();
        getrandom::fill(memory::bytes_mut(memory, data, size)?).map_err(|_| Errno::Io.into())
    };

    /// Writes to the log: lines of standard output at info, of standard error at error.
    V0_1_0 fn fd_write(caller, fd: u32, ranges: u32, count: u32, return_written: u32) Errno {
        let level = match fd {
            STDOUT => LogLevel::Info,
            STDERR => LogLevel::Error,
            _ => return Err(Errno::Badf.into()),
        };
        let (memory, state) = caller.split();
        memory::check(memory, return_written, 4)?;
        let written = write_ranges(memory, state, level, ranges, count.min(MAX_RANGES))?;
        Ok(memory::write_u32(memory, return_written, written)?)
    };

    /// The standard streams are character devices that cannot seek: input can be read, the others written.
    V0_1_0 fn fd_fdstat_get(caller, fd: u32, return_stat: u32) Errno {
        const CHARACTER_DEVICE: u64 = 2;
        const RIGHT_READ: u64 = 1 << 1;
        const RIGHT_WRITE: u64 = 1 << 6;
        let rights = match fd {
            STDIN => RIGHT_READ,
            STDOUT | STDERR => RIGHT_WRITE,
            _ => return Err(Errno::Badf.into()),
        };
        let (memory, _) = caller.split();
        let [type_and_flags, base, inheriting] = [CHARACTER_DEVICE, rights, 0].map(u64::to_le_bytes);
        Ok(memory::write(memory, return_stat, [type_and_flags, base, inheriting].as_flattened())?)
    };

    /// Waits for nothing: no event ever happened.
    V0_1_0 fn poll_oneoff(caller, subscriptions: u32, events: u32, count: u32, return_count: u32) Errno {
        let _ = (subscriptions, events, count);
        Ok(memory::write_u32(caller.split().0, return_count, 0)?)
    };

    /// Nobody else wants to run.
    V0_1_0 fn sched_yield(caller) Errno {
        let _ = caller;
        Ok(())
    };

    /// Ends the guest, never the worker.
    V0_1_0 fn proc_exit(caller, code: i32) () {
        let _ = caller;
        Err(Trap::exit(code))
    };

    /// There are no signals.
    V0_1_0 fn proc_raise(caller, signal: u32) = Nosys;

    /// No file descriptor is a file.
    V0_1_0 fn fd_advise(caller, fd: u32, offset: u64, size: u64, advice: u32) = Badf;
    /// No file descriptor is a file.
    V0_1_0 fn fd_allocate(caller, fd: u32, offset: u64, size: u64) = Badf;
    /// The standard streams cannot be closed.
    V0_1_0 fn fd_close(caller, fd: u32) = Badf;
    /// No file descriptor is a file.
    V0_1_0 fn fd_datasync(caller, fd: u32) = Badf;
    /// Flags of the standard streams cannot be set.
    V0_1_0 fn fd_fdstat_set_flags(caller, fd: u32, flags: u32) = Badf;
    /// Rights of the standard streams cannot be set.
    V0_1_0 fn fd_fdstat_set_rights(caller, fd: u32, base: u64, inheriting: u64) = Badf;
    /// No file descriptor is a file.
    V0_1_0 fn fd_filestat_get(caller, fd: u32, return_stat: u32) = Badf;
    /// No file descriptor is a file.
    V0_1_0 fn fd_filestat_set_size(caller, fd: u32, size: u64) = Badf;
    /// No file descriptor is a file.
    V0_1_0 fn fd_filestat_set_times(caller, fd: u32, accessed: u64, modified: u64, flags: u32) = Badf;
    /// No file descriptor is a file.
    V0_1_0 fn fd_pread(caller, fd: u32, ranges: u32, count: u32, offset: u64, return_read: u32) = Badf;
    /// No directory is open when a guest starts.
    V0_1_0 fn fd_prestat_get(caller, fd: u32, return_stat: u32) = Badf;
    /// No directory is open when a guest starts.
    V0_1_0 fn fd_prestat_dir_name(caller, fd: u32, path: u32, size: u32) = Badf;
    /// No file descriptor is a file.
    V0_1_0 fn fd_pwrite(caller, fd: u32, ranges: u32, count: u32, offset: u64, return_written: u32) = Badf;
    /// Nothing can be read.
    V0_1_0 fn fd_read(caller, fd: u32, ranges: u32, count: u32, return_read: u32) = Badf;
    /// No directory is open.
    V0_1_0 fn fd_readdir(caller, fd: u32, data: u32, size: u32, cookie: u64, return_size: u32) = Badf;
    /// The standard streams stay where they are.
    V0_1_0 fn fd_renumber(caller, from: u32, to: u32) = Badf;
    /// No file descriptor is a file.
    V0_1_0 fn fd_seek(caller, fd: u32, offset: i64, whence: u32, return_offset: u32) = Badf;
    /// No file descriptor is a file.
    V0_1_0 fn fd_sync(caller, fd: u32) = Badf;
    /// No file descriptor is a file.
    V0_1_0 fn fd_tell(caller, fd: u32, return_offset: u32) = Badf;

    /// There is no file system.
    V0_1_0 fn path_create_directory(caller, fd: u32, path: u32, size: u32) = Nosys;
    /// There is no file system.
    V0_1_0 fn path_filestat_get(caller, fd: u32, flags: u32, path: u32, size: u32, return_stat: u32) = Nosys;
    /// There is no file system.
    V0_1_0 fn path_filestat_set_times(
        caller, fd: u32, flags: u32, path: u32, size: u32, accessed: u64, modified: u64, which: u32
    ) = Nosys;
    /// There is no file system.
    V0_1_0 fn path_link(
        caller, old_fd: u32, flags: u32, old: u32, old_size: u32, new_fd: u32, new: u32, new_size: u32
    ) = Nosys;
    /// There is no file system.
    V0_1_0 fn path_open(
        caller, fd: u32, lookup: u32, path: u32, size: u32, flags: u32, base: u64, inheriting: u64, fd_flags: u32,
        return_fd: u32
    ) = Nosys;
    /// There is no file system.
    V0_1_0 fn path_readlink(
        caller, fd: u32, path: u32, size: u32, data: u32, data_size: u32, return_size: u32
    ) = Nosys;
    /// There is no file system.
    V0_1_0 fn path_remove_directory(caller, fd: u32, path: u32, size: u32) = Nosys;
    /// There is no file system.
    V0_1_0 fn path_rename(
        caller, old_fd: u32, old: u32, old_size: u32, new_fd: u32, new: u32, new_size: u32
    ) = Nosys;
    /// There is no file system.
    V0_1_0 fn path_symlink(caller, old: u32, old_size: u32, fd: u32, new: u32, new_size: u32) = Nosys;
    /// There is no file system.
    V0_1_0 fn path_unlink_file(caller, fd: u32, path: u32, size: u32) = Nosys;

    /// There are no sockets.
    V0_1_0 fn sock_accept(caller, fd: u32, flags: u32, return_fd: u32) = Nosys;
    /// There are no sockets.
    V0_1_0 fn sock_recv(
        caller, fd: u32, ranges: u32, count: u32, flags: u32, return_size: u32, return_flags: u32
    ) = Nosys;
    /// There are no sockets.
    V0_1_0 fn sock_send(caller, fd: u32, ranges: u32, count: u32, flags: u32, return_size: u32) = Nosys;
    /// There are no sockets.
    V0_1_0 fn sock_shutdown(caller, fd: u32, how: u32) = Nosys;
}
