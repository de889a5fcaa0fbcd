//! Which content handler a request is going to have, and how that one wants the body: what decides, before the content
//! phase, whether to read it.
//!
//! The handlers of nginx's own modules are private, and so are the layouts of their configurations. Both are found with
//! what modules make public: a directive is run on a configuration of its own to see which handler it installs, and the
//! offset in a directive's command says where its value is.

use std::{ffi::c_void, ptr, slice};

use crate::{Conf, http::Request, sys};

type Handler = unsafe extern "C" fn(*mut sys::ngx_http_request_t) -> sys::ngx_int_t;

/// A value of a module's location configuration.
#[derive(Clone, Copy)]
struct Setting {
    module: usize,
    offset: usize,
}

impl Setting {
    /// # Safety
    /// The value must be a number of this type: what the directive's command sets.
    unsafe fn get<T: Copy>(self, r: Request<'_>) -> Option<T> {
        // SAFETY: a live request has a configuration of each module, of the type that the command's offset is in.
        unsafe {
            let conf = *(*r.as_ptr()).loc_conf.add(self.module);
            (!conf.is_null()).then(|| *conf.cast::<u8>().add(self.offset).cast::<T>())
        }
    }
}

/// A content handler that passes the client's body to an upstream.
struct Pass {
    handler: Handler,
    /// `…_request_buffering`; `None`: never buffered.
    buffering: Option<Setting>,
    /// How it tells the upstream that the length of the body is not known yet.
    unknown_length: Unknown,
}

#[derive(Clone, Copy)]
enum Unknown {
    Always,
    Never,
    /// In HTTP/1.1, by the value of this setting.
    Version(Setting),
}

/// The content handlers that are known, and nginx's DAV.
#[derive(Default)]
pub struct BodyHandlers {
    passes: Vec<Pass>,
    dav_methods: Option<Setting>,
}

impl BodyHandlers {
    /// Looks for them in the modules of this configuration. In `postconfiguration`.
    pub fn find(cf: Conf<'_>) -> Self {
        let mut found = Self::default();
        for (pass, buffering) in [
            ("proxy_pass", Some("proxy_request_buffering")),
            ("fastcgi_pass", Some("fastcgi_request_buffering")),
            ("uwsgi_pass", Some("uwsgi_request_buffering")),
            ("scgi_pass", Some("scgi_request_buffering")),
            ("grpc_pass", None),
        ] {
            found.passes.extend(find_pass(cf, pass, buffering));
        }
        found.dav_methods = command(cf, "dav_methods").map(|found| found.setting());
        found
    }

    fn pass_of(&self, r: Request<'_>) -> Option<&Pass> {
        // SAFETY: a Request is a live request.
        let handler = unsafe { (*r.as_ptr()).content_handler }?;
        self.passes.iter().find(|pass| ptr::fn_addr_eq(pass.handler, handler))
    }
}

impl Request<'_> {
    /// Whether the content handler of this request, as its location is now, reads the body without buffering it.
    pub fn will_pass_body_unbuffered(self, handlers: &BodyHandlers) -> bool {
        match handlers.pass_of(self) {
            // SAFETY: a flag of nginx's is an ngx_flag_t.
            Some(Pass { buffering: Some(flag), .. }) => unsafe { flag.get::<sys::ngx_flag_t>(self) == Some(0) },
            Some(Pass { buffering: None, .. }) => true,
            None => false,
        }
    }

    /// Whether the content handler can begin to pass a body on whose length is not known yet.
    pub(super) fn may_pass_unknown_length(self, handlers: &BodyHandlers) -> bool {
        match handlers.pass_of(self).map(|pass| pass.unknown_length) {
            Some(Unknown::Always) => true,
            // SAFETY: an enumeration of nginx's is an ngx_uint_t.
            Some(Unknown::Version(version)) => unsafe {
                version.get::<sys::ngx_uint_t>(self).is_some_and(|version| version >= sys::NGX_HTTP_VERSION_11 as usize)
            },
            Some(Unknown::Never) | None => false,
        }
    }

    /// Whether nginx's DAV is going to store the body, which it wants in a file.
    pub(super) fn body_will_be_stored(self, handlers: &BodyHandlers) -> bool {
        let Some(methods) = handlers.dav_methods else { return false };
        // SAFETY: a Request is a live request; a bitmask of nginx's is an ngx_uint_t.
        unsafe {
            let r = self.as_ptr();
            (*r).method == sys::NGX_HTTP_PUT as usize
                && (*r).content_handler.is_none()
                && methods.get::<sys::ngx_uint_t>(self).is_some_and(|mask| mask & sys::NGX_HTTP_PUT as usize != 0)
        }
    }
}

fn find_pass(cf: Conf<'_>, pass: &str, buffering: Option<&str>) -> Option<Pass> {
    let handler = command(cf, pass)?.handler(cf)?;
    let buffering = match buffering {
        Some(name) => Some(command(cf, name)?.setting()),
        None => None,
    };
    let unknown_length = match pass {
        "grpc_pass" => Unknown::Always,
        "proxy_pass" => {
            command(cf, "proxy_http_version").map_or(Unknown::Never, |found| Unknown::Version(found.setting()))
        }
        _ => Unknown::Never,
    };
    Some(Pass { handler, buffering, unknown_length })
}

/// A directive of an http module.
struct Command {
    module: *mut sys::ngx_module_t,
    command: *mut sys::ngx_command_t,
}

/// The directive of this name in a location, if a module has it.
fn command(cf: Conf<'_>, name: &str) -> Option<Command> {
    // SAFETY: the cycle's modules end with null, and their directives with one without a name.
    unsafe {
        let mut modules = (*cf.cycle().as_ptr()).modules;
        while let Some(module) = (*modules).as_mut() {
            modules = modules.add(1);
            if module.type_ != sys::NGX_HTTP_MODULE as usize || module.commands.is_null() {
                continue;
            }
            let mut command = module.commands;
            while (*command).name.len > 0 {
                let found = slice::from_raw_parts((*command).name.data, (*command).name.len);
                if found == name.as_bytes() && (*command).type_ & sys::NGX_HTTP_LOC_CONF as usize != 0 {
                    return Some(Command { module, command });
                }
                command = command.add(1);
            }
        }
    }
    None
}

impl Command {
    fn setting(&self) -> Setting {
        // SAFETY: both are of a loaded module.
        unsafe { Setting { module: (*self.module).ctx_index, offset: (*self.command).offset } }
    }

    /// The content handler that this directive installs, seen by running it on a location of its own. With a variable
    /// for its argument it looks at nothing else of the configuration.
    fn handler(&self, cf: Conf<'_>) -> Option<Handler> {
        let core = &raw mut sys::ngx_http_core_module;
        let location = blank_conf(cf, core)?.cast::<sys::ngx_http_core_loc_conf_t>();
        let own = blank_conf(cf, self.module)?;
        // SAFETY: cf is that of http {}, whose context has ngx_http_max_module configurations. What is made here lives
        // in the configuration's pool, and `probe` and `args` as long as the call.
        unsafe {
            let outer = (*cf.as_ptr()).ctx.cast::<sys::ngx_http_conf_ctx_t>();
            let count = sys::ngx_http_max_module;
            let loc_conf = cf.pool().alloc(count * size_of::<*mut c_void>()).cast::<*mut c_void>();
            if outer.is_null() || loc_conf.is_null() {
                return None;
            }
            ptr::copy_nonoverlapping((*outer).loc_conf, loc_conf, count);
            *loc_conf.add((*core).ctx_index) = location.cast();
            *loc_conf.add((*self.module).ctx_index) = own;
            let mut ctx = sys::ngx_http_conf_ctx_t { loc_conf, ..*outer };
            let mut words = [(*self.command).name, cf.pool().copy_str(b"$uri")?];
            let mut args: sys::ngx_array_t = std::mem::zeroed();
            (args.elts, args.nelts, args.nalloc) = (words.as_mut_ptr().cast(), words.len(), words.len());
            (args.size, args.pool) = (size_of::<sys::ngx_str_t>(), cf.pool().as_ptr());
            let mut probe = *cf.as_ptr();
            (probe.ctx, probe.args) = ((&raw mut ctx).cast(), &mut args);
            let failed = (*self.command).set?(&mut probe, self.command, own);
            if failed.is_null() { (*location).handler } else { None }
        }
    }
}

/// A location's configuration of this module, as nginx makes it.
fn blank_conf(cf: Conf<'_>, module: *mut sys::ngx_module_t) -> Option<*mut c_void> {
    // SAFETY: an http module has a context of this type; its function takes the configuration being read.
    unsafe {
        let context = (*module).ctx.cast::<sys::ngx_http_module_t>().as_ref()?;
        let conf = context.create_loc_conf?(cf.as_ptr());
        (!conf.is_null()).then_some(conf)
    }
}
