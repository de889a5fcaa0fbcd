//! Which process this is (src/os/unix/ngx_process_cycle.c, src/core/nginx.c).

use crate::sys;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `master_process off`: one process does all.
    Single,
    Master,
    /// `nginx -s`.
    Signaller,
    Worker,
    /// The cache manager and loader.
    Helper,
}

/// What this process is. Until the configuration was read, every nginx is [`Kind::Single`] or a signaller.
pub fn kind() -> Kind {
    // SAFETY: nginx writes these variables before it calls modules; the event loop is one thread.
    match unsafe { sys::ngx_process } as u32 {
        sys::NGX_PROCESS_MASTER => Kind::Master,
        sys::NGX_PROCESS_SIGNALLER => Kind::Signaller,
        sys::NGX_PROCESS_WORKER => Kind::Worker,
        sys::NGX_PROCESS_HELPER => Kind::Helper,
        _ => Kind::Single,
    }
}

/// The worker's number, from 0. A respawned worker has the number of the one it replaces.
pub fn worker_index() -> usize {
    // SAFETY: as in kind().
    unsafe { sys::ngx_worker }
}

/// The worker was told to end: it waits for its requests, or (quick shutdown) for nothing.
pub fn is_exiting() -> bool {
    // SAFETY: as in kind(); signal handlers set the last two, and a stale value does no harm.
    unsafe { sys::ngx_exiting != 0 || sys::ngx_quit != 0 || sys::ngx_terminate != 0 }
}

/// The process id, as nginx caches it.
pub fn pid() -> i32 {
    // SAFETY: as in kind().
    unsafe { sys::ngx_pid }
}
