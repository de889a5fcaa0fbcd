//! Exported functions that the configuration names: without parameters, with one result, which is ignored, or none.

use engines::{FuncType, Instance as _, Plan as _, Ret, Trap, ValType, WasmEngine};

use super::host::Host;
use super::state::State;

/// Calls one of them in an instance of its module.
pub type Function<E, H> =
    Box<dyn Fn(&mut <E as WasmEngine>::Instance<State<H>>) -> Result<(), Trap> + Send + Sync + 'static>;

/// Finds the function `name`; one that takes something, or gives back more than one number, is none.
pub fn locate<E: WasmEngine, H: Host>(plan: &E::Plan<State<H>>, name: &str) -> Option<Function<E, H>> {
    typed::<E, H, ()>(plan, name)
        .or_else(|| typed::<E, H, u32>(plan, name))
        .or_else(|| typed::<E, H, u64>(plan, name))
        .or_else(|| typed::<E, H, f32>(plan, name))
        .or_else(|| typed::<E, H, f64>(plan, name))
}

/// Whether a function of this type is one that [`locate`] finds.
pub fn is_callable(ty: &FuncType) -> bool {
    let number = |ty: &ValType| matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64);
    ty.params.is_empty() && ty.results.len() < 2 && ty.results.iter().all(number)
}

fn typed<E: WasmEngine, H: Host, R: Ret>(plan: &E::Plan<State<H>>, name: &str) -> Option<Function<E, H>> {
    let slot = plan.slot::<(), R>(name)?;
    Some(Box::new(move |instance| {
        let func = instance.bind(&slot);
        instance.call(&func, ()).map(drop)
    }))
}
