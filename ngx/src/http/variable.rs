//! Variables (src/http/ngx_http_variables.c).

use std::{mem::zeroed, slice};

use crate::{
    Conf, Failed, Level,
    http::Request,
    str::{bytes, from_parts, lend},
    sys,
};

/// A variable's number in this configuration: looked up while it is read, cheap and cached while requests are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariableIndex(usize);

impl VariableIndex {
    /// The index of a variable, named without its `$`. That no module makes it turns out only when the whole
    /// configuration was read: nginx then says so and refuses to start.
    pub fn get(cf: Conf<'_>, name: &[u8]) -> Result<Self, Failed> {
        let mut copy = cf.pool().copy_str(name).ok_or(Failed)?;
        // SAFETY: cf is valid, and the name lives in the cycle's pool.
        let index = unsafe { sys::ngx_http_get_variable_index(cf.as_ptr(), &mut copy) };
        match usize::try_from(index) {
            Ok(index) => Ok(VariableIndex(index)),
            Err(_) => {
                cf.log_error(Level::Emerg, format_args!("no index for variable \"{}\"", String::from_utf8_lossy(name)));
                Err(Failed)
            }
        }
    }
}

/// Why a variable was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableError {
    /// No directive or module makes it.
    NotFound,
    /// It is computed, or used nowhere in the configuration, so that there is no place to keep a value.
    NotChangeable,
    NoMemory,
}

/// A name in lower case, which is how nginx keeps names: on the stack when it is short.
fn with_lower<R>(name: &[u8], f: impl FnOnce(sys::ngx_str_t, sys::ngx_uint_t) -> R) -> R {
    let mut short = [0_u8; 64];
    let mut long;
    let lower = match short.get_mut(..name.len()) {
        Some(lower) => lower,
        None => {
            long = vec![0; name.len()];
            &mut long[..]
        }
    };
    // SAFETY: both have the name's length; nginx reads the name and writes its lower case.
    let key = unsafe { sys::wasmx_hash_strlow(lower.as_mut_ptr(), name.as_ptr().cast_mut(), name.len()) };
    f(lend(lower), key)
}

impl<'a> Request<'a> {
    /// A variable's value by its name without `$`; `None` when there is no such variable or it has no value. Prefixed
    /// ones (`http_…`, `arg_…`, `cookie_…`) are found as well.
    pub fn variable(self, name: &[u8]) -> Option<&'a [u8]> {
        // Prefixed variables keep pointers into the name for the call only, the value is elsewhere.
        let value = with_lower(name, |mut name, key| {
            // SAFETY: the request is valid; the name is read during the call.
            unsafe { sys::ngx_http_get_variable(self.as_ptr(), &mut name, key) }
        });
        value_of(value)
    }

    /// Calls `visit` with the name and the value of each variable that the configuration uses and that has a value by
    /// now. None is computed for it.
    pub fn for_each_indexed_variable(self, mut visit: impl FnMut(&[u8], &[u8])) {
        // SAFETY: the request is valid; its main_conf has an entry for the http core module, which lives as long.
        let (known, values) = unsafe {
            let core = *(*self.as_ptr()).main_conf.add(sys::ngx_http_core_module.ctx_index);
            let known = &(*core.cast::<sys::ngx_http_core_main_conf_t>()).variables;
            let known = slice::from_raw_parts(known.elts.cast::<sys::ngx_http_variable_t>(), known.nelts);
            (known, (*self.as_ptr()).variables)
        };
        for (index, variable) in known.iter().enumerate() {
            // SAFETY: the request has a place for the value of each variable of the configuration, where the names live.
            let (name, value, valid) = unsafe {
                let value = values.add(index);
                let valid = (*value).valid() != 0;
                let fresh = valid && (*value).no_cacheable() != 0;
                let value = if fresh { sys::ngx_http_get_flushed_variable(self.as_ptr(), index) } else { value };
                (bytes(&raw const variable.name), value, valid)
            };
            if let Some(value) = value_of(value).filter(|_| valid) {
                visit(name, value);
            }
        }
    }

    /// Sets a variable as `set` does.
    pub fn set_variable(self, name: &[u8], value: &[u8]) -> Result<(), VariableError> {
        // SAFETY: the request is valid; its main_conf has an entry for the http core module.
        let variable = with_lower(name, |name, key| unsafe {
            let core = *(*self.as_ptr()).main_conf.add(sys::ngx_http_core_module.ctx_index);
            let core = core.cast::<sys::ngx_http_core_main_conf_t>();
            sys::ngx_hash_find(&raw mut (*core).variables_hash, key, name.data, name.len)
        });
        let variable = variable.cast::<sys::ngx_http_variable_t>();
        // SAFETY: null, or an element of the hash: a variable that lives as long as the configuration.
        let (flags, setter, data, index) = match unsafe { variable.as_ref() } {
            Some(found) => (found.flags as u32, found.set_handler, found.data, found.index),
            None => return Err(VariableError::NotFound),
        };
        if flags & sys::NGX_HTTP_VAR_CHANGEABLE == 0 {
            return Err(VariableError::NotChangeable);
        }
        let value = self.new_value(value).ok_or(VariableError::NoMemory)?;
        if let Some(set) = setter {
            let to = self.pool().calloc::<sys::ngx_http_variable_value_t>();
            if to.is_null() {
                return Err(VariableError::NoMemory);
            }
            // SAFETY: the handler is called as the rewrite module calls it (ngx_http_script_var_set_handler_code).
            unsafe {
                to.write(value);
                set(self.as_ptr(), to, data);
            }
            return Ok(());
        }
        if flags & sys::NGX_HTTP_VAR_INDEXED == 0 {
            return Err(VariableError::NotChangeable);
        }
        // SAFETY: an indexed variable's index is within the request's array.
        unsafe { (*self.as_ptr()).variables.add(index).write(value) };
        Ok(())
    }

    fn new_value(self, bytes: &[u8]) -> Option<sys::ngx_http_variable_value_t> {
        let bytes = self.pool().copy(bytes)?;
        // SAFETY: integers and a pointer: zero is a value.
        let mut value: sys::ngx_http_variable_value_t = unsafe { zeroed() };
        value.set_len(u32::try_from(bytes.len()).ok()?);
        value.set_valid(1);
        value.data = bytes.as_ptr().cast_mut();
        Some(value)
    }
}

/// The bytes of a value that nginx found.
#[inline]
fn value_of<'a>(value: *mut sys::ngx_http_variable_value_t) -> Option<&'a [u8]> {
    // SAFETY: null, or a value of the request, whose bytes live in its pool or in its headers.
    unsafe {
        let value = value.as_ref()?;
        if value.not_found() != 0 {
            return None;
        }
        Some(from_parts(value.data, value.len() as usize))
    }
}
