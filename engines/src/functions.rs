//! What a linker holds, and the one check of a module's imports.

use std::collections::HashMap;

use crate::{Args, ExternType, FuncType, HostFunction, Import, ImportError, Ret, ValType};

/// The functions of a linker, by module and field name. `D` is how one of them is given to an engine.
pub(crate) struct Functions<D>(HashMap<&'static str, HashMap<&'static str, Function<D>>>);

struct Function<D> {
    params: &'static [ValType],
    results: &'static [ValType],
    give: D,
}

impl<D: Copy> Functions<D> {
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Adds `F`, or puts it in the place of what had that name.
    pub(crate) fn define<T, F: HostFunction<T>>(&mut self, module: &'static str, give: D) {
        let function = Function { params: F::Args::TYPES, results: F::Ret::TYPES, give };
        self.0.entry(module).or_default().insert(F::NAME, function);
    }

    /// The functions that satisfy `imports`, each once, with the module name it goes by; or every import that
    /// cannot be satisfied.
    #[cfg(any(feature = "wasmtime", feature = "wasmi"))]
    pub(crate) fn resolve(&self, imports: Vec<Import>) -> Result<Vec<(&'static str, D)>, Vec<ImportError>> {
        // A module may import one function twice; an engine's linker takes each name once.
        let each = self.resolve_each(imports)?.into_iter();
        let wanted: HashMap<_, _> = each.map(|(module, name, give)| ((module, name), give)).collect();
        Ok(wanted.into_iter().map(|((module, _), give)| (module, give)).collect())
    }

    /// The function that satisfies each of the `imports`, in their order, with the names it goes by; or every import
    /// that cannot be satisfied.
    pub(crate) fn resolve_each(
        &self,
        imports: Vec<Import>,
    ) -> Result<Vec<(&'static str, &'static str, D)>, Vec<ImportError>> {
        let mut wanted = Vec::with_capacity(imports.len());
        let mut errors = Vec::new();
        for import in imports {
            match self.find(&import) {
                Ok(found) => wanted.push(found),
                Err(should_be) => errors.push(ImportError { import, should_be }),
            }
        }
        if errors.is_empty() { Ok(wanted) } else { Err(errors) }
    }

    /// The function that satisfies the import; failing that, the type it should have had, if its name is known.
    fn find(&self, import: &Import) -> Result<(&'static str, &'static str, D), Option<FuncType>> {
        let (module, names) = self.0.get_key_value(import.module.as_str()).ok_or(None)?;
        let (name, host) = names.get_key_value(import.name.as_str()).ok_or(None)?;
        match &import.ty {
            ExternType::Func(ty) if ty.params == host.params && ty.results == host.results => {
                Ok((module, name, host.give))
            }
            _ => Err(Some(FuncType { params: host.params.to_vec(), results: host.results.to_vec() })),
        }
    }
}
