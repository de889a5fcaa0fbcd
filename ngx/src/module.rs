//! Modules (src/core/ngx_module.h): nginx's tables, made from typed Rust at compile time.

use std::{
    cell::{RefCell, UnsafeCell},
    ffi::{CStr, c_char, c_void},
    marker::PhantomData,
    ptr,
};

use crate::{
    Cycle, Directive, Failed, Pool,
    conf::{CONF_ERROR, const_str},
    guard::{guard, install_hook},
    sys,
};

/// Implemented by [`crate::modules!`]: where the module's `ngx_module_t` is.
pub trait Placed<Cell: 'static>: 'static {
    fn cell() -> &'static Cell;
}

/// A module outside of `http {}`.
pub trait CoreModule: Placed<CoreCell<Self>> + Sized {
    /// One value for each reading of the configuration.
    type Conf: Default + 'static;

    const DIRECTIVES: &'static [Directive];

    /// The whole configuration was read. What can fail belongs here.
    fn init_conf(cycle: Cycle<'_>, conf: &mut Self::Conf) -> Result<(), Failed> {
        let _ = (cycle, conf);
        Ok(())
    }

    /// In the master, once shared memory and listeners are there. A failure ends a running nginx: don't.
    fn init_module(cycle: Cycle<'_>, conf: &Self::Conf) -> Result<(), Failed> {
        let _ = (cycle, conf);
        Ok(())
    }

    /// A worker (or another process with an event loop) starts.
    fn init_process(cycle: Cycle<'_>, conf: &Self::Conf) -> Result<(), Failed> {
        let _ = (cycle, conf);
        Ok(())
    }

    fn exit_process(cycle: Cycle<'_>, conf: &Self::Conf) {
        let _ = (cycle, conf);
    }

    fn exit_master(cycle: Cycle<'_>, conf: &Self::Conf) {
        let _ = (cycle, conf);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Core,
    Http,
}

/// A module's directives for nginx: `N` of them and the empty one that ends the table.
#[repr(transparent)]
pub struct Commands<const N: usize>([sys::ngx_command_t; N]);

// SAFETY: the table is constant; nginx only reads it.
unsafe impl<const N: usize> Sync for Commands<N> {}

impl<const N: usize> Commands<N> {
    pub const fn new(directives: &'static [Directive], kind: Kind) -> Self {
        assert!(N == directives.len() + 1, "one more for the end");
        let end = sys::ngx_command_t {
            name: crate::str::EMPTY,
            type_: 0,
            set: None,
            conf: 0,
            offset: 0,
            post: ptr::null_mut(),
        };
        let mut commands = [end; N];
        let mut i = 0;
        while i < directives.len() {
            commands[i] = directives[i].command(kind);
            i += 1;
        }
        Commands(commands)
    }

    pub(crate) const fn as_ptr(&'static self) -> *mut sys::ngx_command_t {
        ptr::from_ref(&self.0).cast_mut().cast()
    }
}

/// The `ngx_core_module_t` of `M`.
#[repr(transparent)]
pub struct CoreContext<M>(sys::ngx_core_module_t, PhantomData<fn() -> M>);

// SAFETY: constant; nginx only reads it.
unsafe impl<M> Sync for CoreContext<M> {}

impl<M: CoreModule> CoreContext<M> {
    pub const fn new(name: &'static CStr) -> Self {
        CoreContext(
            sys::ngx_core_module_t {
                name: const_str(name),
                create_conf: Some(create_conf::<M>),
                init_conf: Some(init_conf::<M>),
            },
            PhantomData,
        )
    }
}

/// The `ngx_module_t` of a core module; nginx writes indices into it.
#[repr(transparent)]
pub struct CoreCell<M>(UnsafeCell<sys::ngx_module_t>, PhantomData<fn() -> M>);

// SAFETY: nginx writes it while it loads modules, before any of our code runs, and from one thread.
unsafe impl<M> Sync for CoreCell<M> {}

impl<M: CoreModule> CoreCell<M> {
    pub const fn new<const N: usize>(context: &'static CoreContext<M>, commands: &'static Commands<N>) -> Self {
        let mut module = blank(sys::NGX_CORE_MODULE);
        module.ctx = ptr::from_ref(&context.0).cast_mut().cast();
        module.commands = commands.as_ptr();
        module.init_module = Some(init_module::<M>);
        module.init_process = Some(init_process::<M>);
        module.exit_process = Some(exit_process::<M>);
        module.exit_master = Some(exit_master::<M>);
        CoreCell(UnsafeCell::new(module), PhantomData)
    }

    #[inline]
    pub const fn as_ptr(&self) -> *mut sys::ngx_module_t {
        self.0.get()
    }
}

/// NGX_MODULE_V1 and NGX_MODULE_V1_PADDING, with the signature that C computed.
pub(crate) const fn blank(kind: u32) -> sys::ngx_module_t {
    sys::ngx_module_t {
        ctx_index: usize::MAX,
        index: usize::MAX,
        name: ptr::null_mut(),
        spare0: 0,
        spare1: 0,
        version: sys::nginx_version as usize,
        signature: (&raw const sys::wasmx_module_signature).cast(),
        ctx: ptr::null_mut(),
        commands: ptr::null_mut(),
        type_: kind as usize,
        init_master: None,
        init_module: None,
        init_process: None,
        init_thread: None,
        exit_thread: None,
        exit_process: None,
        exit_master: None,
        spare_hook0: 0,
        spare_hook1: 0,
        spare_hook2: 0,
        spare_hook3: 0,
        spare_hook4: 0,
        spare_hook5: 0,
        spare_hook6: 0,
        spare_hook7: 0,
    }
}

/// A configuration slot: a value that is dropped with the pool. Null when there is no memory.
pub(crate) fn new_slot<T: Default + 'static>(pool: Pool<'_>) -> *mut c_void {
    let slot = Box::into_raw(Box::new(RefCell::new(T::default())));
    let address = slot as usize;
    // SAFETY: made above and given to nginx, which is done with it when it destroys the pool. When no cleanup could be
    // registered, the closure is dropped without being run, and the value is freed here.
    match pool.cleanup(move || unsafe { drop(Box::from_raw(address as *mut RefCell<T>)) }) {
        Ok(()) => slot.cast(),
        Err(Failed) => {
            // SAFETY: nobody else has the pointer.
            unsafe { drop(Box::from_raw(slot)) };
            ptr::null_mut()
        }
    }
}

unsafe extern "C" fn create_conf<M: CoreModule>(cycle: *mut sys::ngx_cycle_t) -> *mut c_void {
    guard(ptr::null_mut(), || {
        install_hook();
        // SAFETY: nginx's argument is valid during the call.
        new_slot::<M::Conf>(unsafe { Cycle::from_raw(cycle) }.pool())
    })
}

unsafe extern "C" fn init_conf<M: CoreModule>(cycle: *mut sys::ngx_cycle_t, conf: *mut c_void) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx's arguments are valid during the call; conf is what create_conf::<M> returned.
        let (cycle, slot) = unsafe { (Cycle::from_raw(cycle), &*conf.cast::<RefCell<M::Conf>>()) };
        match M::init_conf(cycle, &mut slot.borrow_mut()) {
            Ok(()) => ptr::null_mut(),
            Err(Failed) => CONF_ERROR,
        }
    })
}

/// Calls a hook with the module's configuration. Hooks of cycles without one (nginx calls exit_process for any) are
/// skipped.
fn hook<M: CoreModule>(
    cycle: *mut sys::ngx_cycle_t,
    run: impl FnOnce(Cycle<'_>, &M::Conf) -> Result<(), Failed>,
) -> sys::ngx_int_t {
    guard(-1, || {
        // SAFETY: nginx's argument is valid during the call.
        let cycle = unsafe { Cycle::from_raw(cycle) };
        match cycle.core_conf::<M>() {
            Some(conf) => crate::Status::from(run(cycle, conf)).0,
            None => 0,
        }
    })
}

unsafe extern "C" fn init_module<M: CoreModule>(cycle: *mut sys::ngx_cycle_t) -> sys::ngx_int_t {
    hook::<M>(cycle, M::init_module)
}

unsafe extern "C" fn init_process<M: CoreModule>(cycle: *mut sys::ngx_cycle_t) -> sys::ngx_int_t {
    hook::<M>(cycle, M::init_process)
}

unsafe extern "C" fn exit_process<M: CoreModule>(cycle: *mut sys::ngx_cycle_t) {
    hook::<M>(cycle, |cycle, conf| {
        M::exit_process(cycle, conf);
        Ok(())
    });
}

unsafe extern "C" fn exit_master<M: CoreModule>(cycle: *mut sys::ngx_cycle_t) {
    hook::<M>(cycle, |cycle, conf| {
        M::exit_master(cycle, conf);
        Ok(())
    });
}

/// What nginx looks up in a dynamic module: arrays of pointers that end with null.
#[repr(transparent)]
pub struct List<T, const N: usize>([*const T; N]);

// SAFETY: the pointers are constant and point to statics.
unsafe impl<T, const N: usize> Sync for List<T, N> {}

impl<T, const N: usize> List<T, N> {
    pub const fn new(list: [*const T; N]) -> Self {
        assert!(N > 0 && list[N - 1].is_null(), "a null ends the list");
        List(list)
    }
}

/// Makes the statics that nginx looks up in a dynamic module (`ngx_modules`, `ngx_module_names`), and the modules in
/// them, in this order. There is no `ngx_module_order`: without it nginx appends, and the output filter, last in the
/// list, is the first in the output chain.
///
/// ```ignore
/// ngx::modules! {
///     core ngx_wasmx_core_module: crate::conf::Core,
///     http ngx_http_wasmx_module: crate::http::Http,
///     filter ngx_http_wasmx_filter_module: crate::http::Filter,
/// }
/// ```
///
/// In unit tests nothing is exported: such a binary has no nginx to link against.
#[macro_export]
macro_rules! modules {
    ($($kind:ident $name:ident: $module:ty),+ $(,)?) => {
        $($crate::modules!(@$kind $name, $module);)+

        #[cfg_attr(not(test), used, unsafe(no_mangle))]
        #[allow(non_upper_case_globals, dead_code, reason = "nginx looks this name up")]
        pub static ngx_modules: $crate::module::List<$crate::sys::ngx_module_t, { $crate::modules!(@count $($name)+) }> =
            $crate::module::List::new([$($name.as_ptr().cast_const(),)+ ::core::ptr::null()]);

        #[cfg_attr(not(test), used, unsafe(no_mangle))]
        #[allow(non_upper_case_globals, dead_code, reason = "nginx looks this name up")]
        pub static ngx_module_names: $crate::module::List<::core::ffi::c_char, { $crate::modules!(@count $($name)+) }> =
            $crate::module::List::new([$(concat!(stringify!($name), "\0").as_ptr().cast(),)+ ::core::ptr::null()]);
    };

    (@core $name:ident, $module:ty) => {
        #[allow(non_upper_case_globals, reason = "C's name, in nginx's messages")]
        pub static $name: $crate::module::CoreCell<$module> = {
            static CONTEXT: $crate::module::CoreContext<$module> =
                $crate::module::CoreContext::new($crate::modules!(@name $name));
            $crate::modules!(@commands $module, $crate::module::CoreModule, Core);
            $crate::module::CoreCell::new(&CONTEXT, &COMMANDS)
        };
        $crate::modules!(@placed $name, $module, $crate::module::CoreCell<$module>);
    };

    (@http $name:ident, $module:ty) => {
        #[allow(non_upper_case_globals, reason = "C's name, in nginx's messages")]
        pub static $name: $crate::http::HttpCell<$module> = {
            static CONTEXT: $crate::http::HttpContext<$module> = $crate::http::HttpContext::new();
            $crate::modules!(@commands $module, $crate::http::HttpModule, Http);
            $crate::http::HttpCell::new(&CONTEXT, &COMMANDS)
        };
        $crate::modules!(@placed $name, $module, $crate::http::HttpCell<$module>);
    };

    (@filter $name:ident, $module:ty) => {
        #[allow(non_upper_case_globals, reason = "C's name, in nginx's messages")]
        pub static $name: $crate::http::FilterCell<$module> = {
            static CONTEXT: $crate::http::FilterContext<$module> = $crate::http::FilterContext::new();
            $crate::http::FilterCell::new(&CONTEXT)
        };
    };

    (@commands $module:ty, $trait:path, $kind:ident) => {
        static COMMANDS: $crate::module::Commands<{ <$module as $trait>::DIRECTIVES.len() + 1 }> =
            $crate::module::Commands::new(<$module as $trait>::DIRECTIVES, $crate::module::Kind::$kind);
    };

    (@placed $name:ident, $module:ty, $cell:ty) => {
        impl $crate::module::Placed<$cell> for $module {
            #[inline]
            fn cell() -> &'static $cell {
                &$name
            }
        }
    };

    (@name $name:ident) => {
        match ::core::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
            Ok(name) => name,
            Err(_) => panic!("a name without zeros"),
        }
    };

    (@count) => { 1 };
    (@count $first:ident $($rest:ident)*) => { 1 + $crate::modules!(@count $($rest)*) };
}
