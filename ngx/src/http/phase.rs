//! Phases (ngx_http_init_phase_handlers and ngx_http_core_*_phase in src/http/ngx_http_core_module.c).

use crate::{Conf, Failed, Level, Status, guard::guard, http::Request, sys};

/// When a handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    PostRead,
    /// Before the location is found.
    ServerRewrite,
    Rewrite,
    PreAccess,
    Access,
    PreContent,
    Content,
    Log,
}

impl Phase {
    const fn index(self) -> usize {
        let index = match self {
            Phase::PostRead => sys::NGX_HTTP_POST_READ_PHASE,
            Phase::ServerRewrite => sys::NGX_HTTP_SERVER_REWRITE_PHASE,
            Phase::Rewrite => sys::NGX_HTTP_REWRITE_PHASE,
            Phase::PreAccess => sys::NGX_HTTP_PREACCESS_PHASE,
            Phase::Access => sys::NGX_HTTP_ACCESS_PHASE,
            Phase::PreContent => sys::NGX_HTTP_PRECONTENT_PHASE,
            Phase::Content => sys::NGX_HTTP_CONTENT_PHASE,
            Phase::Log => sys::NGX_HTTP_LOG_PHASE,
        };
        index as usize
    }
}

/// A handler. Its result is read as the phase reads it: `DECLINED` goes on with the next handler; `AGAIN` and `DONE`
/// leave the request to the handler, which calls [`Request::run_phases`] when it may go on; others end the request.
pub trait PhaseHandler: 'static {
    fn handle(r: Request<'_>) -> Status;
}

type Handler = unsafe extern "C" fn(*mut sys::ngx_http_request_t) -> sys::ngx_int_t;

unsafe extern "C" fn run<H: PhaseHandler>(r: *mut sys::ngx_http_request_t) -> sys::ngx_int_t {
    // SAFETY: nginx's argument is valid during the call.
    guard(Status::http(500), || H::handle(unsafe { Request::from_raw(r) })).0
}

fn core_main_conf(cf: Conf<'_>) -> Option<*mut sys::ngx_http_core_main_conf_t> {
    // SAFETY: module_type says whether ctx is that of http.
    unsafe {
        let raw = cf.as_ptr();
        if (*raw).module_type != sys::NGX_HTTP_MODULE as usize {
            return None;
        }
        let ctx = (*raw).ctx.cast::<sys::ngx_http_conf_ctx_t>();
        Some((*(*ctx).main_conf.add(sys::ngx_http_core_module.ctx_index)).cast())
    }
}

impl Conf<'_> {
    /// Adds a handler before all that were installed until now: nginx's own, and those of modules that were loaded before
    /// ours. In `postconfiguration`. (nginx runs the handlers of a phase in the reverse order of their installation, but
    /// for those of [`Phase::Log`].)
    pub fn phase_first<H: PhaseHandler>(self, phase: Phase) -> Result<(), Failed> {
        self.install(phase, run::<H>, phase == Phase::Log)
    }

    /// Adds a handler after all others. In `postconfiguration`.
    pub fn phase_last<H: PhaseHandler>(self, phase: Phase) -> Result<(), Failed> {
        self.install(phase, run::<H>, phase != Phase::Log)
    }

    /// Adds to the front or the end of the phase's array.
    fn install(self, phase: Phase, run: Handler, front: bool) -> Result<(), Failed> {
        // SAFETY: the context of http {} is there, so its core module made the array (ngx_http_init_phases, called before
        // any postconfiguration). Between the push and the write, only copies of handlers are moved.
        unsafe {
            let core = core_main_conf(self).ok_or(Failed)?;
            let handlers = &raw mut (*core).phases[phase.index()].handlers;
            let last = sys::ngx_array_push(handlers).cast::<sys::ngx_http_handler_pt>();
            if last.is_null() {
                self.log_error(Level::Emerg, format_args!("no memory for a phase handler"));
                return Err(Failed);
            }
            let first = (*handlers).elts.cast::<sys::ngx_http_handler_pt>();
            if front {
                first.copy_to(first.add(1), (*handlers).nelts - 1);
            }
            (if front { first } else { last }).write(Some(run));
        }
        Ok(())
    }

    /// Makes `H` the content handler of the location being read, as `proxy_pass` and others do: it takes the place of
    /// the whole content phase. `DONE` and `AGAIN` are not special there: its result is given to
    /// `ngx_http_finalize_request`.
    pub fn set_content_handler<H: PhaseHandler>(self) -> Result<(), Failed> {
        // SAFETY: while a location is read, cf->ctx is its context, whose loc_conf has the core module's.
        unsafe {
            let raw = self.as_ptr();
            if (*raw).module_type != sys::NGX_HTTP_MODULE as usize {
                return Err(Failed);
            }
            let ctx = (*raw).ctx.cast::<sys::ngx_http_conf_ctx_t>();
            let core = *(*ctx).loc_conf.add(sys::ngx_http_core_module.ctx_index);
            (*core.cast::<sys::ngx_http_core_loc_conf_t>()).handler = Some(run::<H>);
        }
        Ok(())
    }
}
