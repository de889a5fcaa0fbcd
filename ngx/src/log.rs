//! nginx's error log (src/core/ngx_log.c).

use std::{fmt, marker::PhantomData};

use crate::sys;

/// Severity; the numbers are nginx's (src/core/ngx_log.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    Emerg = 1,
    Alert = 2,
    Crit = 3,
    Error = 4,
    Warn = 5,
    Notice = 6,
    Info = 7,
    Debug = 8,
}

/// A log with its context: that of a request adds the client and the request line.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    raw: *mut sys::ngx_log_t,
    errno: i32,
    _lent: PhantomData<&'a ()>,
}

impl<'a> Log<'a> {
    /// # Safety
    /// `raw` must stay a valid log for `'a`.
    #[inline]
    pub unsafe fn from_raw(raw: *mut sys::ngx_log_t) -> Self {
        Log { raw, errno: 0, _lent: PhantomData }
    }

    #[inline]
    pub fn as_ptr(self) -> *mut sys::ngx_log_t {
        self.raw
    }

    /// The log of the current cycle, for what belongs to no request.
    pub fn cycle() -> Log<'static> {
        // SAFETY: ngx_cycle is set before any module runs and replaced only by a cycle that is complete; its log lives
        // as long as it does. Each use reads the pointer anew.
        unsafe { Log::from_raw((*sys::ngx_cycle).log) }
    }

    /// Adds `(errno: text)` to the lines written, as nginx does for failed system calls.
    #[inline]
    pub fn with_errno(self, errno: i32) -> Self {
        Log { errno, ..self }
    }

    /// Whether a line of this level would be written anywhere. For debug lines the http bit decides, so that
    /// `debug_core` and the like stay without ours.
    #[inline]
    pub fn enabled(self, level: Level) -> bool {
        // SAFETY: raw is valid for 'a (from_raw).
        let configured = unsafe { (*self.raw).log_level };
        match level {
            Level::Debug => configured & sys::NGX_LOG_DEBUG_HTTP as usize != 0,
            level => configured >= level as usize,
        }
    }

    /// Writes a line, if the level is enabled. Control bytes are escaped, and long lines cut as nginx cuts them.
    pub fn write(self, level: Level, message: fmt::Arguments<'_>) {
        if self.enabled(level) {
            let mut line = Line::new();
            // A message that is cut is no error.
            let _ = fmt::write(&mut line, message);
            self.put(level, line.bytes());
        }
    }

    /// Writes bytes of any kind as [`Log::write`] does: nothing in them is a format.
    pub fn write_bytes(self, level: Level, message: &[u8]) {
        if self.enabled(level) {
            let mut line = Line::new();
            line.push(message);
            self.put(level, line.bytes());
        }
    }

    fn put(self, level: Level, line: &[u8]) {
        // SAFETY: raw is valid for 'a; the line is copied by nginx before the call returns.
        unsafe { sys::wasmx_log(self.raw, level as usize, self.errno, line.as_ptr(), line.len()) }
    }
}

/// NGX_MAX_ERROR_STR: nginx cuts there, with its own prefix counted.
const LINE: usize = 2048;

/// A line being made, on the stack.
pub(crate) struct Line {
    bytes: [u8; LINE],
    len: usize,
}

impl Line {
    pub(crate) fn new() -> Self {
        Line { bytes: [0; LINE], len: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Appends, with control bytes (other than tab) spelled `\n` or `\x1b`, so that no guest forges a line.
    fn push(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(at) = rest.iter().position(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            self.append(&rest[..at]);
            match rest[at] {
                b'\n' => self.append(b"\\n"),
                b'\r' => self.append(b"\\r"),
                byte => self.append(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
            }
            rest = &rest[at + 1..];
        }
        self.append(rest);
    }

    fn append(&mut self, text: &[u8]) {
        let n = text.len().min(LINE - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&text[..n]);
        self.len += n;
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        // When full, the rest need not be formatted.
        if self.len < LINE { Ok(()) } else { Err(fmt::Error) }
    }
}

/// `log_at!(log, Level::Warn, "…", args)`: formats only when the level is enabled.
#[macro_export]
macro_rules! log_at {
    ($log:expr, $level:expr, $($message:tt)+) => {{
        let log: $crate::Log<'_> = $log;
        let level = $level;
        if log.enabled(level) {
            log.write(level, ::core::format_args!($($message)+));
        }
    }};
}

macro_rules! level_macros {
    ($d:tt $($name:ident $level:ident)+) => {$(
        #[doc = concat!("`", stringify!($name), "!(log, \"…\", args)`")]
        #[macro_export]
        macro_rules! $name {
            ($d log:expr, $d($d message:tt)+) => {
                $crate::log_at!($d log, $crate::Level::$level, $d($d message)+)
            };
        }
    )+};
}

level_macros!($ emerg Emerg alert Alert crit Crit error Error warn Warn notice Notice info Info debug Debug);

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8]) -> Vec<u8> {
        let mut line = Line::new();
        line.push(text);
        line.bytes().to_vec()
    }

    #[test]
    fn control_bytes_are_spelled_out() {
        assert_eq!(line(b"a\tb\nc\r\x1b[0m\0\x7f%n"), b"a\tb\\nc\\r\\x1b[0m\\x00\\x7f%n");
        assert_eq!(line("é".as_bytes()), "é".as_bytes());
    }

    #[test]
    fn long_lines_are_cut() {
        assert_eq!(line(&[b'x'; 5000]).len(), LINE);
        let mut long = Line::new();
        assert!(fmt::write(&mut long, format_args!("{:5000}|", 1)).is_err());
        assert_eq!(long.bytes().len(), LINE);
    }
}
