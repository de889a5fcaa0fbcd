//! Imports and exports in words of no engine.

use std::fmt;

/// The type of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValType {
    /// A whole number of 32 bits.
    I32,
    /// A whole number of 64 bits.
    I64,
    /// A number with a fraction, of 32 bits.
    F32,
    /// A number with a fraction, of 64 bits.
    F64,
    /// A vector of 128 bits.
    V128,
    /// A function or nothing.
    FuncRef,
    /// Something of the host's, or nothing.
    ExternRef,
    /// A reference type that no host function of ours can take.
    OtherRef,
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::V128 => "v128",
            Self::FuncRef => "funcref",
            Self::ExternRef => "externref",
            Self::OtherRef => "ref",
        })
    }
}

/// The type of a function, written `(i32, i32) -> i32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuncType {
    /// What it takes.
    pub params: Vec<ValType>,
    /// What it gives back.
    pub results: Vec<ValType>,
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, &self.params)?;
        f.write_str(" -> ")?;
        match self.results.as_slice() {
            [one] => write!(f, "{one}"),
            results => write_list(f, results),
        }
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, types: &[ValType]) -> fmt::Result {
    f.write_str("(")?;
    for (i, ty) in types.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        write!(f, "{comma}{ty}")?;
    }
    f.write_str(")")
}

/// What a module imports or exports under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternType {
    /// A function of this type.
    Func(FuncType),
    /// A linear memory.
    Memory,
    /// A table of references.
    Table,
    /// A global variable.
    Global,
    /// The tag of an exception.
    Tag,
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Func(ty) => ty.fmt(f),
            Self::Memory => f.write_str("memory"),
            Self::Table => f.write_str("table"),
            Self::Global => f.write_str("global"),
            Self::Tag => f.write_str("tag"),
        }
    }
}

/// Something that a module asks of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The name before the dot.
    pub module: String,
    /// The name behind it.
    pub name: String,
    /// What the module takes it for.
    pub ty: ExternType,
}

/// Something that a module offers to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// What it is.
    pub ty: ExternType,
}

/// An import that cannot be satisfied. Its text is a line of the error log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    pub(crate) import: Import,
    /// The type that the host has under that name.
    pub(crate) should_be: Option<FuncType>,
}

impl ImportError {
    /// The import as the module has it.
    pub fn import(&self) -> &Import {
        &self.import
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Import { module, name, ty } = &self.import;
        write!(f, "failed importing \"{module}.{name}\": ")?;
        match (ty, &self.should_be) {
            (ty, Some(should_be)) => write!(f, "incompatible type {ty}, should be {should_be}"),
            (ExternType::Func(_), None) => f.write_str("missing host function"),
            (kind, None) => write!(f, "missing host {kind}"),
        }
    }
}

impl std::error::Error for ImportError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(ty: ExternType, should_be: Option<FuncType>) -> String {
        let import = Import { module: "env".into(), name: "f".into(), ty };
        ImportError { import, should_be }.to_string()
    }

    fn func(params: &[ValType], results: &[ValType]) -> FuncType {
        FuncType { params: params.to_vec(), results: results.to_vec() }
    }

    #[test]
    fn errors_are_lines_of_the_log() {
        let found = ExternType::Func(func(&[ValType::I32], &[]));
        assert_eq!(error(found.clone(), None), r#"failed importing "env.f": missing host function"#);
        assert_eq!(
            error(found, Some(func(&[ValType::I32, ValType::I64], &[ValType::F32]))),
            r#"failed importing "env.f": incompatible type (i32) -> (), should be (i32, i64) -> f32"#
        );
        assert_eq!(error(ExternType::Memory, None), r#"failed importing "env.f": missing host memory"#);
    }
}
