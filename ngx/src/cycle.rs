//! A cycle: one reading of the configuration and all that lives as long as it (src/core/ngx_cycle.h).

use std::{cell::RefCell, marker::PhantomData, path::PathBuf};

use crate::{
    Log, Pool,
    http::HttpModule,
    module::CoreModule,
    str::{bytes, lend},
    sys,
};

#[derive(Clone, Copy)]
pub struct Cycle<'a> {
    raw: *mut sys::ngx_cycle_t,
    _lent: PhantomData<&'a ()>,
}

impl<'a> Cycle<'a> {
    /// # Safety
    /// `raw` must stay a valid cycle for `'a`.
    #[inline]
    pub unsafe fn from_raw(raw: *mut sys::ngx_cycle_t) -> Self {
        Cycle { raw, _lent: PhantomData }
    }

    #[inline]
    pub fn as_ptr(self) -> *mut sys::ngx_cycle_t {
        self.raw
    }

    pub fn log(self) -> Log<'a> {
        // SAFETY: valid for 'a, as the cycle.
        unsafe { Log::from_raw((*self.raw).log) }
    }

    pub fn pool(self) -> Pool<'a> {
        // SAFETY: valid for 'a, as the cycle.
        unsafe { Pool::from_raw((*self.raw).pool) }
    }

    /// The number of workers that the configuration asks for; known in `init_conf`.
    pub fn worker_processes(self) -> usize {
        // SAFETY: the core module is the first that is configured; its slot is an ngx_core_conf_t (ngx_core_module_create_conf).
        let count = unsafe {
            let slots = (*self.raw).conf_ctx;
            let slot = if slots.is_null() { std::ptr::null_mut() } else { *slots.add(sys::ngx_core_module.index) };
            slot.cast::<sys::ngx_core_conf_t>().as_ref().map_or(1, |conf| conf.worker_processes)
        };
        usize::try_from(count).unwrap_or(1).max(1)
    }

    /// The folder that relative paths are resolved against (`-p`).
    pub fn prefix(self) -> PathBuf {
        // SAFETY: valid for 'a, as the cycle.
        crate::conf::path(unsafe { bytes(&raw const (*self.raw).prefix) })
    }

    /// A path relative to the folder of nginx.conf, made absolute (ngx_conf_full_name).
    pub fn conf_path(self, name: &[u8]) -> PathBuf {
        self.full_name(name, 1)
    }

    /// A path relative to nginx's prefix, made absolute.
    pub fn prefix_path(self, name: &[u8]) -> PathBuf {
        self.full_name(name, 0)
    }

    fn full_name(self, name: &[u8], conf_prefix: usize) -> PathBuf {
        let mut full = lend(name);
        // SAFETY: nginx reads the name and puts another string, from the cycle's pool, in its place.
        let rc = unsafe { sys::ngx_conf_full_name(self.raw, &mut full, conf_prefix) };
        // SAFETY: nginx's string in its pool, or our own argument.
        if rc == 0 { crate::conf::path(unsafe { bytes(&full) }) } else { crate::conf::path(name) }
    }

    /// A core module's configuration; `None` while it is being written to.
    pub fn core_conf<M: CoreModule>(self) -> Option<&'a M::Conf> {
        // SAFETY: valid for 'a, as the cycle; the slot is the box that CoreCell's create_conf made, freed with the
        // cycle's pool.
        unsafe { self.core_slot::<M>()?.try_borrow_unguarded().ok() }
    }

    pub(crate) fn core_slot<M: CoreModule>(self) -> Option<&'a RefCell<M::Conf>> {
        // SAFETY: conf_ctx has room for every module nginx can load, and is zeroed (ngx_init_cycle). A slot at our index
        // was filled by our create_conf::<M> or is null: indices are not shared with the modules of an older cycle
        // (ngx_module_index).
        unsafe {
            let slots = (*self.raw).conf_ctx;
            if slots.is_null() {
                return None;
            }
            let slot = *slots.add((*M::cell().as_ptr()).index);
            slot.cast::<RefCell<M::Conf>>().as_ref()
        }
    }

    /// An http module's main configuration; `None` without `http {}`.
    pub fn http_main_conf<M: HttpModule>(self) -> Option<&'a M::Main> {
        // SAFETY: as in core_conf.
        unsafe { self.http_main_slot::<M>()?.try_borrow_unguarded().ok() }
    }

    pub(crate) fn http_main_slot<M: HttpModule>(self) -> Option<&'a RefCell<M::Main>> {
        // SAFETY: ngx_http_cycle_get_module_main_conf; the http module's slot is an ngx_http_conf_ctx_t once http {} was
        // seen, and its main_conf has an entry for each http module, ours made by create_main_conf::<M>.
        unsafe {
            let slots = (*self.raw).conf_ctx;
            if slots.is_null() {
                return None;
            }
            let http = (*slots.add(sys::ngx_http_module.index)).cast::<sys::ngx_http_conf_ctx_t>().as_ref()?;
            let slot = *http.main_conf.add((*M::cell().as_ptr()).ctx_index);
            slot.cast::<RefCell<M::Main>>().as_ref()
        }
    }

    /// The same module's configuration in the cycle that this one replaces. Only while this cycle is being made (in
    /// `init_conf` and before): afterwards nginx frees the old one.
    pub fn old_core_conf<M: CoreModule>(self) -> Option<&'a M::Conf> {
        // SAFETY: during ngx_init_cycle, ngx_cycle is still the old cycle, and that is how we know that it is alive.
        unsafe {
            let old = (*self.raw).old_cycle;
            if old.is_null() || !std::ptr::eq(old, sys::ngx_cycle) {
                return None;
            }
            Cycle::from_raw(old).core_conf::<M>()
        }
    }
}
