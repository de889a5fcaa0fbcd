//! What crosses the boundary, as types: scalars, tuples of them, and what a function gives back.
//!
//! The one place where arity is spelled out, for both directions and for every engine. Another engine adds its bounds
//! to [`bound`] and its shim to the macro [`args`].

#[cfg(feature = "wasmtime")]
use ::wasmtime::ValRaw;

use crate::ValType;
#[cfg(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi"))]
use crate::guard::guard;

/// Each name is an engine's own bound, or nothing when that engine is not compiled in.
mod bound {
    #[cfg(not(all(feature = "wasmtime", feature = "wasmer", feature = "wasmi")))]
    pub trait Nothing {}
    #[cfg(not(all(feature = "wasmtime", feature = "wasmer", feature = "wasmi")))]
    impl<T: ?Sized> Nothing for T {}

    #[cfg(not(feature = "wasmer"))]
    pub use self::{Nothing as WasmerRet, Nothing as WasmerScalar};
    #[cfg(not(feature = "wasmi"))]
    pub use self::{Nothing as WasmiArgs, Nothing as WasmiRet, Nothing as WasmiScalar};
    #[cfg(not(feature = "wasmtime"))]
    pub use self::{
        Nothing as WasmtimeArgs, Nothing as WasmtimeRet, Nothing as WasmtimeResults, Nothing as WasmtimeScalar,
    };
    #[cfg(feature = "wasmer")]
    pub use ::wasmer::{FromToNativeWasmType as WasmerScalar, WasmTypeList as WasmerRet};
    #[cfg(feature = "wasmi")]
    pub use ::wasmi::{WasmParams as WasmiArgs, WasmResults as WasmiRet, WasmTy as WasmiScalar};
    #[cfg(feature = "wasmtime")]
    pub use ::wasmtime::{
        WasmParams as WasmtimeArgs, WasmResults as WasmtimeResults, WasmRet as WasmtimeRet, WasmTy as WasmtimeScalar,
    };
}

/// A number that crosses the boundary.
pub trait Scalar:
    Copy + Send + Sync + 'static + bound::WasmtimeScalar + bound::WasmerScalar + bound::WasmiScalar
{
    /// Its WebAssembly type.
    const TYPE: ValType;

    /// As wasmtime passes it.
    #[cfg(feature = "wasmtime")]
    #[doc(hidden)]
    fn to_wasmtime(self) -> ValRaw;
}

/// What a function gives back: nothing, or one scalar.
pub trait Ret:
    Copy + Send + 'static + bound::WasmtimeResults + bound::WasmtimeRet + bound::WasmerRet + bound::WasmiRet
{
    /// The result types, for checks that name no engine.
    const TYPES: &'static [ValType];

    /// What wasmtime has left in the place of the first value.
    #[cfg(feature = "wasmtime")]
    #[doc(hidden)]
    fn from_wasmtime(first: ValRaw) -> Self;

    /// What a host function returns to wasmi, which has no bound for "a result of any of these".
    #[cfg(feature = "wasmi")]
    #[doc(hidden)]
    type Wasmi: ::wasmi::WasmRet;
    #[cfg(feature = "wasmi")]
    #[doc(hidden)]
    fn wasmi(result: Result<Self, ::wasmi::Error>) -> Self::Wasmi;
}

macro_rules! ret {
    ($type:ty, $types:expr, $from_wasmtime:expr) => {
        impl Ret for $type {
            const TYPES: &'static [ValType] = $types;

            #[cfg(feature = "wasmtime")]
            #[inline]
            fn from_wasmtime(first: ValRaw) -> Self {
                $from_wasmtime(&first)
            }

            #[cfg(feature = "wasmi")]
            type Wasmi = Result<$type, ::wasmi::Error>;
            #[cfg(feature = "wasmi")]
            #[inline]
            fn wasmi(result: Result<Self, ::wasmi::Error>) -> Self::Wasmi {
                result
            }
        }
    };
}

macro_rules! scalars {
    ($($type:ty => $name:ident, $to:expr, $from:expr;)*) => { $(
        impl Scalar for $type {
            const TYPE: ValType = ValType::$name;

            #[cfg(feature = "wasmtime")]
            #[inline]
            fn to_wasmtime(self) -> ValRaw {
                $to(self)
            }
        }
        ret!($type, &[ValType::$name], $from);
    )* };
}

ret!((), &[], |_| ());
scalars! {
    i32 => I32, ValRaw::i32, ValRaw::get_i32;
    u32 => I32, ValRaw::u32, ValRaw::get_u32;
    i64 => I64, ValRaw::i64, ValRaw::get_i64;
    u64 => I64, ValRaw::u64, ValRaw::get_u64;
    f32 => F32, |value: f32| ValRaw::f32(value.to_bits()), |raw: &ValRaw| f32::from_bits(raw.get_f32());
    f64 => F64, |value: f64| ValRaw::f64(value.to_bits()), |raw: &ValRaw| f64::from_bits(raw.get_f64());
}

/// A tuple of scalars: the parameters of a function.
pub trait Args: Copy + Send + 'static + bound::WasmtimeArgs + bound::WasmiArgs {
    /// The parameter types, for checks that name no engine.
    const TYPES: &'static [ValType];

    /// Offers `F` to wasmtime under `module`.
    #[cfg(feature = "wasmtime")]
    #[doc(hidden)]
    fn define_wasmtime<T, F>(
        linker: &mut ::wasmtime::Linker<crate::wasmtime::Cell<T>>,
        module: &'static str,
    ) -> ::wasmtime::Result<()>
    where
        T: Send + 'static,
        F: crate::HostFunction<T, Args = Self>;

    /// Calls a function of wasmtime with these arguments.
    ///
    /// # Safety
    /// The function must take `Self` and return `R`.
    #[cfg(feature = "wasmtime")]
    #[doc(hidden)]
    unsafe fn call_wasmtime<R: Ret>(
        self,
        func: ::wasmtime::Func,
        store: impl ::wasmtime::AsContextMut,
    ) -> ::wasmtime::Result<R>;

    /// As wasmer has them: alone where there is one.
    #[cfg(feature = "wasmer")]
    #[doc(hidden)]
    type Wasmer: ::wasmer::WasmTypeList + Clone;

    /// `F` as a function of wasmer's.
    #[cfg(feature = "wasmer")]
    #[doc(hidden)]
    fn make_wasmer<T, F>(
        store: &mut ::wasmer::Store,
        env: &::wasmer::FunctionEnv<crate::wasmer::Cell<T>>,
    ) -> ::wasmer::Function
    where
        T: Send + 'static,
        F: crate::HostFunction<T, Args = Self>;

    /// Calls a function of wasmer's with these arguments.
    #[cfg(feature = "wasmer")]
    #[doc(hidden)]
    fn call_wasmer<R: Ret>(
        self,
        func: &::wasmer::TypedFunction<Self::Wasmer, R>,
        store: &mut impl ::wasmer::AsStoreMut,
    ) -> Result<R, ::wasmer::RuntimeError>;

    /// Offers `F` to wasmi under `module`.
    #[cfg(feature = "wasmi")]
    #[doc(hidden)]
    fn define_wasmi<T, F>(
        linker: &mut ::wasmi::Linker<crate::wasmi::Cell<T>>,
        module: &'static str,
    ) -> Result<(), ::wasmi::Error>
    where
        T: Send + 'static,
        F: crate::HostFunction<T, Args = Self>;
}

macro_rules! args {
    ($($param:ident)*) => {
        #[allow(non_snake_case, reason = "one letter is a type and the value of that type")]
        impl<$($param: Scalar),*> Args for ($($param,)*) {
            const TYPES: &'static [ValType] = &[$($param::TYPE),*];

            #[cfg(feature = "wasmtime")]
            fn define_wasmtime<T, F>(
                linker: &mut ::wasmtime::Linker<crate::wasmtime::Cell<T>>,
                module: &'static str,
            ) -> ::wasmtime::Result<()>
            where
                T: Send + 'static,
                F: crate::HostFunction<T, Args = Self>,
            {
                use crate::wasmtime::{Cell, Guest, raise};
                let shim = |caller: ::wasmtime::Caller<'_, Cell<T>> $(, $param: $param)*| {
                    guard(|| F::call(&mut Guest(caller), ($($param,)*))).map_err(raise)
                };
                linker.func_wrap(module, F::NAME, shim).map(drop)
            }

            #[cfg(feature = "wasmtime")]
            #[inline]
            unsafe fn call_wasmtime<R: Ret>(
                self,
                func: ::wasmtime::Func,
                store: impl ::wasmtime::AsContextMut,
            ) -> ::wasmtime::Result<R> {
                let ($($param,)*) = self;
                // One more than there are arguments: there is room for a result also where there are none.
                let mut room = [$($param.to_wasmtime(),)* ValRaw::u64(0)];
                // SAFETY: the room holds the arguments, by this function's contract of the types that the function
                // takes, all of them numbers; and it is long enough for the one result.
                unsafe { func.call_unchecked(store, &raw mut room)? };
                Ok(R::from_wasmtime(room[0]))
            }

            #[cfg(feature = "wasmer")]
            #[allow(unused_parens, reason = "around one type there is nothing to separate")]
            type Wasmer = ($($param),*);

            #[cfg(feature = "wasmer")]
            fn make_wasmer<T, F>(
                store: &mut ::wasmer::Store,
                env: &::wasmer::FunctionEnv<crate::wasmer::Cell<T>>,
            ) -> ::wasmer::Function
            where
                T: Send + 'static,
                F: crate::HostFunction<T, Args = Self>,
            {
                use crate::wasmer::{Cell, Guest, raise};
                let shim = |caller: ::wasmer::FunctionEnvMut<'_, Cell<T>> $(, $param: $param)*| {
                    guard(|| F::call(&mut Guest(caller), ($($param,)*))).map_err(raise)
                };
                ::wasmer::Function::new_typed_with_env(store, env, shim)
            }

            #[cfg(feature = "wasmer")]
            #[inline]
            fn call_wasmer<R: Ret>(
                self,
                func: &::wasmer::TypedFunction<Self::Wasmer, R>,
                store: &mut impl ::wasmer::AsStoreMut,
            ) -> Result<R, ::wasmer::RuntimeError> {
                let ($($param,)*) = self;
                func.call(store $(, $param)*)
            }

            #[cfg(feature = "wasmi")]
            fn define_wasmi<T, F>(
                linker: &mut ::wasmi::Linker<crate::wasmi::Cell<T>>,
                module: &'static str,
            ) -> Result<(), ::wasmi::Error>
            where
                T: Send + 'static,
                F: crate::HostFunction<T, Args = Self>,
            {
                use crate::wasmi::{Cell, Guest, raise};
                let shim = |caller: ::wasmi::Caller<'_, Cell<T>> $(, $param: $param)*| {
                    let result = guard(|| F::call(&mut Guest(caller), ($($param,)*)));
                    <F::Ret as Ret>::wasmi(result.map_err(raise))
                };
                linker.func_wrap(module, F::NAME, shim).map(drop).map_err(::wasmi::Error::from)
            }
        }
    };
}

args!();
args!(A);
args!(A B);
args!(A B C);
args!(A B C D);
args!(A B C D E);
args!(A B C D E G);
args!(A B C D E G H);
args!(A B C D E G H I);
args!(A B C D E G H I J);
args!(A B C D E G H I J K);
args!(A B C D E G H I J K L);
args!(A B C D E G H I J K L M);
args!(A B C D E G H I J K L M N);
