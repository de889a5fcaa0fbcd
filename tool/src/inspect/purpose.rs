//! What a module is for: to be a filter, or to offer functions to `wasm_call`.

use engines::{Export, ExternType, ValType};
use wasmx_host::proxy_wasm::exports::{self, ALLOCATORS, Marker, STARTERS};
use wasmx_host::proxy_wasm::functions;

/// Named as the directive of nginx.conf that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Filter,
    Functions,
}

impl Purpose {
    pub const ALL: [Self; 2] = [Self::Filter, Self::Functions];

    /// The directive.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "proxy_wasm",
            Self::Functions => "wasm_call",
        }
    }

    /// What a module seems to be meant as: without the mark of a filter, it is one of functions if it has any.
    pub(super) fn guess(abi: Marker, functions: &[String]) -> Self {
        if abi == Marker::None && !functions.is_empty() { Self::Functions } else { Self::Filter }
    }

    /// Why a module with these exports cannot be that, in the words of nginx's log if it has any.
    pub(super) fn objection(self, abi: Marker, exports: &[Export], functions: &[String]) -> Option<String> {
        match self {
            Self::Filter => no_filter(abi, exports),
            Self::Functions if functions.is_empty() => {
                Some("no function that takes nothing, and gives back one number or nothing, is exported".to_owned())
            }
            Self::Functions => None,
        }
    }
}

/// The exports that `wasm_call` can name, sorted. Left out is what is called by others: entry points of filters, and what
/// starts an instance or belongs to the toolchain.
pub(super) fn functions(exports: &[Export]) -> Vec<String> {
    let meant = |name: &str| !name.starts_with("proxy_") && !name.starts_with("__") && !STARTERS.contains(&name);
    let callable = |ty: &ExternType| matches!(ty, ExternType::Func(ty) if functions::is_callable(ty));
    let found = exports.iter().filter(|export| meant(&export.name) && callable(&export.ty));
    let mut names: Vec<_> = found.map(|export| export.name.clone()).collect();
    names.sort_unstable();
    names
}

fn no_filter(abi: Marker, exports: &[Export]) -> Option<String> {
    let has = |name: &str, params: &[ValType], results: &[ValType]| {
        let is = |ty: &ExternType| matches!(ty, ExternType::Func(ty) if ty.params == params && ty.results == results);
        exports.iter().any(|export| export.name == name && is(&export.ty))
    };
    let allocator = ALLOCATORS.iter().any(|name| has(name, &[ValType::I32], &[ValType::I32]));
    let create = has("proxy_on_context_create", &[ValType::I32; 2], &[]);
    let problem = exports::check("", abi, allocator, create).err()?.to_string();
    // The texts of nginx's log name the module, which has no name yet.
    Some(problem.replace("\"\" ", ""))
}

#[cfg(test)]
mod tests {
    use engines::FuncType;

    use super::*;

    fn export(name: &str, params: &[ValType], results: &[ValType]) -> Export {
        let ty = FuncType { params: params.to_vec(), results: results.to_vec() };
        Export { name: name.into(), ty: ExternType::Func(ty) }
    }

    #[test]
    fn functions_take_nothing_and_are_called_by_nobody_else() {
        let exports = [
            export("second", &[], &[ValType::I64]),
            export("first", &[], &[]),
            export("takes", &[ValType::I32], &[]),
            export("gives_two", &[], &[ValType::I32; 2]),
            export("gives_a_vector", &[], &[ValType::V128]),
            export("proxy_abi_version_0_2_1", &[], &[]),
            export("_initialize", &[], &[]),
            export("__wasm_call_ctors", &[], &[]),
            Export { name: "memory".into(), ty: ExternType::Memory },
        ];
        assert_eq!(functions(&exports), ["first", "second"]);
    }

    #[test]
    fn the_mark_of_a_filter_decides() {
        let functions = ["f".to_owned()];
        assert_eq!(Purpose::guess(Marker::None, &functions), Purpose::Functions);
        assert_eq!(Purpose::guess(Marker::None, &[]), Purpose::Filter);
        assert_eq!(Purpose::guess(Marker::Other, &functions), Purpose::Filter);
        assert!(Purpose::Filter.objection(Marker::None, &[], &functions).is_some());
        assert!(Purpose::Functions.objection(Marker::None, &[], &functions).is_none());
        assert!(Purpose::Functions.objection(Marker::Other, &[], &[]).is_some());
    }
}
