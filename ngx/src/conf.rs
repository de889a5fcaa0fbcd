//! Directives (src/core/ngx_conf_file.c).

use std::{
    borrow::Cow,
    cell::RefMut,
    ffi::{CStr, OsStr},
    fmt,
    marker::PhantomData,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    ptr,
    time::Duration,
};

use bitflags::bitflags;

use crate::{
    Cycle, Failed, Level, Log, Pool, Str,
    http::{self, HttpModule},
    log::Line,
    module::CoreModule,
    str::{bytes, lend},
    sys,
};

/// A directive being read.
#[derive(Clone, Copy)]
pub struct Conf<'a> {
    raw: *mut sys::ngx_conf_t,
    _lent: PhantomData<&'a ()>,
}

impl<'a> Conf<'a> {
    /// # Safety
    /// `raw` must stay valid for `'a`, its pools and its arguments with it.
    #[inline]
    pub unsafe fn from_raw(raw: *mut sys::ngx_conf_t) -> Self {
        Conf { raw, _lent: PhantomData }
    }

    #[inline]
    pub fn as_ptr(self) -> *mut sys::ngx_conf_t {
        self.raw
    }

    /// The directive's name and its arguments; the strings are in the cycle's pool. [`Conf::parse_block`] replaces them.
    pub fn args(self) -> &'a [Str] {
        // SAFETY: args is an array of ngx_str_t, which Str is transparently.
        unsafe {
            let args = (*self.raw).args;
            if args.is_null() || (*args).nelts == 0 {
                return &[];
            }
            std::slice::from_raw_parts((*args).elts.cast::<Str>(), (*args).nelts)
        }
    }

    /// The name (0) or an argument (from 1).
    pub fn arg(self, i: usize) -> Option<&'a [u8]> {
        self.args().get(i).map(Str::as_bytes)
    }

    /// How many words the directive has, its name among them.
    #[allow(clippy::len_without_is_empty, reason = "a directive has its name")]
    pub fn len(self) -> usize {
        self.args().len()
    }

    pub fn pool(self) -> Pool<'a> {
        // SAFETY: valid for 'a (from_raw).
        unsafe { Pool::from_raw((*self.raw).pool) }
    }

    pub fn log(self) -> Log<'a> {
        // SAFETY: valid for 'a (from_raw).
        unsafe { Log::from_raw((*self.raw).log) }
    }

    pub fn cycle(self) -> Cycle<'a> {
        // SAFETY: valid for 'a (from_raw).
        unsafe { Cycle::from_raw((*self.raw).cycle) }
    }

    /// Writes a line to which nginx adds ` in FILE:LINE`.
    pub fn log_error(self, level: Level, message: fmt::Arguments<'_>) {
        let mut line = Line::new();
        // A message that is cut is no error.
        let _ = fmt::write(&mut line, message);
        // SAFETY: nginx copies the line before the call returns.
        unsafe { sys::wasmx_conf_log(self.raw, level as usize, line.bytes().as_ptr(), line.bytes().len()) }
    }

    /// Where the directive stands; `None` for `-g`.
    pub fn file_line(self) -> Option<(String, usize)> {
        // SAFETY: conf_file is null or the file being read.
        unsafe {
            let file = (*self.raw).conf_file;
            if file.is_null() || (*file).file.fd == -1 {
                return None;
            }
            let name = bytes(&raw const (*file).file.name);
            Some((String::from_utf8_lossy(name).into_owned(), (*file).line))
        }
    }

    /// A path relative to the folder of nginx.conf, made absolute; [`Cycle::prefix_path`] is the other one.
    pub fn full_path(self, name: &[u8]) -> PathBuf {
        self.cycle().conf_path(name)
    }

    /// Reads the block that follows, in which the directives of `contexts` (one of the core module's) may stand.
    /// The arguments of the directive itself are gone afterwards.
    pub fn parse_block(self, contexts: Contexts) -> Result<(), Failed> {
        // SAFETY: nginx's own way (ngx_events_block): the conf is changed for the block and put back.
        let rv = unsafe {
            let saved = *self.raw;
            (*self.raw).module_type = sys::NGX_CORE_MODULE as usize;
            (*self.raw).cmd_type = contexts.core_bits() as usize;
            let rv = sys::ngx_conf_parse(self.raw, ptr::null_mut());
            *self.raw = saved;
            rv
        };
        if rv.is_null() { Ok(()) } else { Err(Failed) }
    }

    /// `1k`, `10m`; bytes without a unit.
    pub fn parse_size(self, text: &[u8]) -> Option<usize> {
        // SAFETY: nginx reads the string.
        usize::try_from(unsafe { sys::ngx_parse_size(&mut lend(text)) }).ok()
    }

    /// `10ms`, `1m30s`; seconds without a unit.
    pub fn parse_time(self, text: &[u8]) -> Option<Duration> {
        // SAFETY: nginx reads the string.
        let millis = unsafe { sys::ngx_parse_time(&mut lend(text), 0) };
        u64::try_from(millis).ok().map(Duration::from_millis)
    }

    /// `on` or `off`, in any case (ngx_conf_set_flag_slot).
    pub fn parse_flag(self, text: &[u8]) -> Option<bool> {
        if text.eq_ignore_ascii_case(b"on") {
            Some(true)
        } else if text.eq_ignore_ascii_case(b"off") {
            Some(false)
        } else {
            None
        }
    }

    /// The configuration of a core module in the cycle being read. A second borrow while one is held is a panic.
    pub fn core_conf<M: CoreModule>(self) -> RefMut<'a, M::Conf> {
        self.cycle().core_slot::<M>().expect("the modules of one library are loaded together").borrow_mut()
    }

    /// An http module's main configuration. Only inside `http {}`.
    pub fn http_main_conf<M: HttpModule>(self) -> RefMut<'a, M::Main> {
        http::conf::main_slot::<M>(self).expect("not inside http {}").borrow_mut()
    }

    /// The configuration of the location (server, http block) that is being read. Only inside `http {}`.
    pub fn loc_conf<M: HttpModule>(self) -> RefMut<'a, M::Loc> {
        http::conf::loc_slot::<M>(self).expect("not inside http {}").borrow_mut()
    }
}

/// A path from bytes, which is what paths are here.
pub(crate) fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

bitflags! {
    /// Where a directive may stand.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Contexts: u32 {
        const MAIN = 1;
        /// Inside `wasm {}`.
        const WASM = 1 << 1;
        const WASM_METRICS = 1 << 2;
        const WASM_WASMTIME = 1 << 3;
        const WASM_WASMER = 1 << 4;
        const WASM_WASMI = 1 << 5;
        const WASM_V8 = 1 << 6;
        const HTTP = 1 << 8;
        const SERVER = 1 << 9;
        const LOCATION = 1 << 10;
        /// `if` in a location; allowed where the location form is harmless there.
        const LOCATION_IF = 1 << 11;
    }
}

impl Contexts {
    /// nginx's bits in a core module. Those of blocks inside `wasm {}` are free for us: nginx compares them only with
    /// the `cmd_type` of the block being read, and no core module of nginx has directives with them. (`include` has
    /// them all.)
    const fn core_bits(self) -> u32 {
        let inner = (self.bits() >> 1) & 0x3f;
        assert!(self.bits() & !0x7f == 0, "an http context in a core module");
        ((self.bits() & 1) * sys::NGX_MAIN_CONF) | (inner << 25)
    }

    const fn http_bits(self) -> u32 {
        assert!(self.bits() & 0xff == 0, "a core context in an http module");
        let mut bits = 0;
        if self.contains(Contexts::HTTP) {
            bits |= sys::NGX_HTTP_MAIN_CONF;
        }
        if self.contains(Contexts::SERVER) {
            bits |= sys::NGX_HTTP_SRV_CONF;
        }
        if self.contains(Contexts::LOCATION) {
            bits |= sys::NGX_HTTP_LOC_CONF;
        }
        if self.contains(Contexts::LOCATION_IF) {
            bits |= sys::NGX_HTTP_LIF_CONF;
        }
        bits
    }
}

/// How many arguments a directive takes; nginx itself refuses others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// That many, up to 7.
    Exact(u8),
    /// From … to, both included, up to 7.
    Range(u8, u8),
    /// At least 0, 1 or 2.
    AtLeast(u8),
    /// None, and a block follows.
    Block,
    /// `on` or `off`.
    Flag,
}

impl Arity {
    const fn bits(self) -> u32 {
        match self {
            Arity::Exact(n) => Arity::take(n, n),
            Arity::Range(from, to) => Arity::take(from, to),
            Arity::AtLeast(0) => sys::NGX_CONF_ANY,
            Arity::AtLeast(1) => sys::NGX_CONF_1MORE,
            Arity::AtLeast(2) => sys::NGX_CONF_2MORE,
            Arity::AtLeast(_) => panic!("nginx knows at least 0, 1 or 2"),
            Arity::Block => sys::NGX_CONF_BLOCK | sys::NGX_CONF_NOARGS,
            Arity::Flag => sys::NGX_CONF_FLAG,
        }
    }

    /// NGX_CONF_NOARGS, NGX_CONF_TAKE1 … 7 are bits 0 to 7.
    const fn take(from: u8, to: u8) -> u32 {
        assert!(from <= to && to <= 7, "nginx counts up to 7");
        let mut bits = 0;
        let mut n = from;
        while n <= to {
            bits |= sys::NGX_CONF_NOARGS << n;
            n += 1;
        }
        bits
    }
}

/// What a directive's handler is.
pub type Set = fn(Conf<'_>) -> Result<(), ConfError>;

/// A directive of a module's table.
pub struct Directive {
    pub name: &'static CStr,
    pub contexts: Contexts,
    pub arity: Arity,
    pub set: Set,
}

impl Directive {
    pub const fn new(name: &'static CStr, contexts: Contexts, arity: Arity, set: Set) -> Self {
        Directive { name, contexts, arity, set }
    }

    /// nginx's form of it. The typed one goes along in `post`, for [`set`].
    pub(crate) const fn command(&'static self, kind: crate::module::Kind) -> sys::ngx_command_t {
        let contexts = match kind {
            // NGX_DIRECT_CONF: nginx then looks up conf_ctx itself, which is what cf->ctx is in our blocks too.
            crate::module::Kind::Core => self.contexts.core_bits() | sys::NGX_DIRECT_CONF,
            crate::module::Kind::Http => self.contexts.http_bits(),
        };
        sys::ngx_command_t {
            name: const_str(self.name),
            type_: (contexts | self.arity.bits()) as usize,
            set: Some(set),
            conf: 0,
            offset: 0,
            post: ptr::from_ref(self).cast_mut().cast(),
        }
    }
}

/// A constant as nginx's string. nginx only reads names.
pub(crate) const fn const_str(text: &'static CStr) -> sys::ngx_str_t {
    sys::ngx_str_t { len: text.count_bytes(), data: text.as_ptr().cast_mut().cast() }
}

/// Every directive's handler, for nginx.
unsafe extern "C" fn set(
    cf: *mut sys::ngx_conf_t,
    cmd: *mut sys::ngx_command_t,
    _conf: *mut std::ffi::c_void,
) -> *mut std::ffi::c_char {
    let ok = crate::guard::guard(false, || {
        // SAFETY: nginx's arguments are valid during the call; post is the 'static Directive that command() put there.
        let (conf, directive) = unsafe { (Conf::from_raw(cf), &*(*cmd).post.cast::<Directive>()) };
        match (directive.set)(conf) {
            Ok(()) => true,
            Err(ConfError(message)) => {
                if let Some(message) = message {
                    conf.log_error(Level::Emerg, format_args!("{message}"));
                }
                false
            }
        }
    });
    if ok { ptr::null_mut() } else { CONF_ERROR }
}

/// NGX_CONF_ERROR, a macro with a cast.
pub(crate) const CONF_ERROR: *mut std::ffi::c_char = ptr::without_provenance_mut(usize::MAX);

/// A mistake in the configuration: an `[emerg]` line with file and line, unless it was logged already.
#[derive(Debug)]
pub struct ConfError(Option<Cow<'static, str>>);

impl ConfError {
    /// The message; `None` when it is in the log already.
    pub fn message(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl From<String> for ConfError {
    fn from(message: String) -> Self {
        ConfError(Some(Cow::Owned(message)))
    }
}

impl From<&'static str> for ConfError {
    fn from(message: &'static str) -> Self {
        ConfError(Some(Cow::Borrowed(message)))
    }
}

impl From<Failed> for ConfError {
    fn from(_: Failed) -> Self {
        ConfError(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arities_are_the_bits_of_nginx() {
        assert_eq!(Arity::Exact(0).bits(), sys::NGX_CONF_NOARGS);
        assert_eq!(Arity::Exact(7).bits(), sys::NGX_CONF_TAKE7);
        assert_eq!(Arity::Range(1, 3).bits(), sys::NGX_CONF_TAKE1 | sys::NGX_CONF_TAKE2 | sys::NGX_CONF_TAKE3);
    }

    #[test]
    fn contexts_are_distinct_bits_above_those_of_arities() {
        let wasm = Contexts::WASM.core_bits();
        assert_eq!(wasm, 0x0200_0000);
        assert_eq!(Contexts::WASM_V8.core_bits(), 0x4000_0000);
        assert_eq!(Contexts::MAIN.core_bits(), sys::NGX_MAIN_CONF);
        assert_eq!((Contexts::HTTP | Contexts::SERVER).http_bits(), sys::NGX_HTTP_MAIN_CONF | sys::NGX_HTTP_SRV_CONF);
    }
}
