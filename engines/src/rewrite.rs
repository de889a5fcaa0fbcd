//! What a module keeps to itself, as exports: a host sees nothing of an instance that is not exported.
//!
//! [`rewind`](crate::rewind) must know all that a call can change; wasmi cannot interrupt a start function that it runs
//! by itself; and where wasmer puts looks at the clock into the code, they go through a table of their own. Indices stay
//! as they are, and so do names and what debuggers know.

use anyhow::bail;
use wasm_encoder::{Encode as _, ExportKind, ExportSection, RawSection, SectionId};
use wasmparser::{CompositeInnerType, ExternalKind, Operator, Parser, Payload, RefType, TypeRef, ValType};

/// What the names of our exports begin with. No toolchain makes such names.
const RESERVED: &str = "wasmx:";
/// The memory of a module whose instances can be rewound.
pub(crate) const MEMORY: &str = "wasmx:memory";
/// One of its variables.
pub(crate) const GLOBAL: &str = "wasmx:global:";
/// The start function.
#[cfg(any(feature = "wasmer", feature = "wasmi"))]
pub(crate) const START: &str = "wasmx:start";
/// A table of one function, which the guest does not know of.
#[cfg(feature = "wasmer")]
pub(crate) const CLOCK: &str = "wasmx:clock";

/// Whether an export is one of ours.
pub(crate) fn is_ours(export: &str) -> bool {
    export.starts_with(RESERVED)
}

/// What becomes of a start section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartSection {
    #[cfg(feature = "wasmtime")]
    Kept,
    /// It becomes an export.
    #[cfg(any(feature = "wasmer", feature = "wasmi"))]
    Exported,
}

/// The module with what it hides as exports; `None` when there is nothing to change, or when it is malformed, which is for
/// the engine to tell.
///
/// # Errors
/// When the module has an export by one of our names.
#[cfg(any(feature = "wasmtime", feature = "wasmi", test))]
pub(crate) fn rewrite(wasm: &[u8], start: StartSection) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(found) = Found::checked(wasm, start)? else { return Ok(None) };
    let changes = found.rewindable() || found.start.is_some();
    Ok(if changes { found.write(wasm, start) } else { None })
}

/// A module with a [`CLOCK`].
#[cfg(feature = "wasmer")]
pub(crate) struct Clocked {
    pub(crate) wasm: Vec<u8>,
    /// The length of each of its functions, in bytes.
    pub(crate) bodies: Vec<u32>,
}

/// As [`rewrite`], for a module whose start section is to be an export and that is to have a [`CLOCK`]; `None` only when it
/// is malformed.
#[cfg(feature = "wasmer")]
pub(crate) fn with_clock(wasm: &[u8]) -> anyhow::Result<Option<Clocked>> {
    let start = StartSection::Exported;
    let Some(mut found) = Found::checked(wasm, start)? else { return Ok(None) };
    found.clock = Some(found.tables);
    Ok(found.write(wasm, start).map(|wasm| Clocked { wasm, bodies: found.bodies }))
}

/// What is looked for in a module.
#[derive(Default)]
struct Found<'a> {
    exports: Vec<wasmparser::Export<'a>>,
    reserved: Option<&'a str>,
    memories: u32,
    /// Tables, those that are imported among them.
    tables: u32,
    /// The index of the [`CLOCK`] that is to be added.
    clock: Option<u32>,
    /// The length of each function in bytes.
    bodies: Vec<u32>,
    /// Variables that can change, by their index.
    globals: Vec<u32>,
    start: Option<u32>,
    /// Something else changes while the guest runs, where a host cannot follow.
    unknowable: bool,
    /// Sections are there twice, or out of order: the engine is to see that.
    malformed: bool,
}

impl<'a> Found<'a> {
    /// `None` when the module is malformed.
    fn checked(wasm: &'a [u8], start: StartSection) -> anyhow::Result<Option<Self>> {
        let Ok(found) = Self::read(wasm, start) else { return Ok(None) };
        if let Some(name) = found.reserved {
            bail!("the export \"{name}\" has a name that is reserved");
        }
        Ok((!found.malformed).then_some(found))
    }

    fn read(wasm: &'a [u8], start: StartSection) -> wasmparser::Result<Self> {
        let mut found = Self::default();
        let mut globals = 0;
        let (mut seen_exports, mut seen_start, mut seen_later) = (false, false, false);
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let ty = import?.ty;
                        found.unknowable |= !matches!(ty, TypeRef::Func(_));
                        found.tables += u32::from(matches!(ty, TypeRef::Table(_)));
                    }
                }
                Payload::TypeSection(types) => {
                    // What these make lies in a heap of the engine's own.
                    for group in types {
                        let of_heap =
                            |ty: &wasmparser::SubType| !matches!(ty.composite_type.inner, CompositeInnerType::Func(_));
                        found.unknowable |= group?.types().any(of_heap);
                    }
                }
                Payload::TagSection(_) => found.unknowable = true,
                Payload::TableSection(tables) => {
                    for table in tables {
                        found.tables += 1;
                        found.unknowable |= table?.ty.element_type != RefType::FUNCREF;
                    }
                }
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        found.unknowable |= memory?.shared;
                        found.memories += 1;
                    }
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        found.global(globals, global?.ty);
                        globals += 1;
                    }
                }
                Payload::ExportSection(exports) => {
                    found.malformed |= seen_exports || seen_later;
                    seen_exports = true;
                    for export in exports {
                        let export = export?;
                        found.reserved = found.reserved.or(is_ours(export.name).then_some(export.name));
                        found.exports.push(export);
                    }
                }
                Payload::StartSection { func, .. } => {
                    found.malformed |= seen_start || seen_later;
                    seen_start = true;
                    found.start = start.moves().then_some(func);
                }
                Payload::ElementSection(_) | Payload::DataCountSection { .. } | Payload::DataSection(_) => {
                    seen_later = true;
                }
                Payload::CodeSectionStart { .. } => seen_later = true,
                Payload::CodeSectionEntry(body) => found.code(&body)?,
                _ => {}
            }
        }
        Ok(found)
    }

    fn global(&mut self, index: u32, ty: wasmparser::GlobalType) {
        match ty.content_type {
            // What it refers to can have changed even where it cannot itself.
            ValType::Ref(it) => self.unknowable |= ty.mutable || it != RefType::FUNCREF,
            _ if ty.mutable => self.globals.push(index),
            _ => {}
        }
    }

    fn code(&mut self, body: &wasmparser::FunctionBody<'_>) -> wasmparser::Result<()> {
        self.bodies.push(u32::try_from(body.range().len()).unwrap_or(u32::MAX));
        if self.unknowable {
            return Ok(());
        }
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            self.unknowable |= matches!(
                operators.read()?,
                Operator::TableSet { .. }
                    | Operator::TableGrow { .. }
                    | Operator::TableFill { .. }
                    | Operator::TableCopy { .. }
                    | Operator::TableInit { .. }
                    | Operator::ElemDrop { .. }
                    | Operator::DataDrop { .. }
            );
        }
        Ok(())
    }

    /// Whether all that its instances can change is one memory and some variables.
    fn rewindable(&self) -> bool {
        !self.unknowable && self.memories == 1
    }

    fn write(&self, wasm: &[u8], start: StartSection) -> Option<Vec<u8>> {
        let mut module = wasm_encoder::Module::new();
        let mut clock = self.clock.is_some();
        let mut exports = Some(self.exports());
        for payload in Parser::new(0).parse_all(wasm) {
            let Some((id, range)) = payload.ok()?.as_section() else { continue };
            let data = wasm.get(range)?;
            if clock && !comes_before_tables(id) {
                let tables: &[u8] = if id == SectionId::Table as u8 { data } else { &[0] };
                add_clock(&mut module, tables)?;
            }
            if !comes_before_exports(id)
                && let Some(exports) = exports.take()
            {
                module.section(&exports);
            }
            let replaced = id == SectionId::Export as u8
                || id == SectionId::Start as u8 && start.moves()
                || id == SectionId::Table as u8 && clock;
            clock &= comes_before_tables(id);
            if !replaced {
                module.section(&RawSection { id, data });
            }
        }
        if clock {
            add_clock(&mut module, &[0])?;
        }
        exports.iter().for_each(|exports| {
            module.section(exports);
        });
        Some(module.finish())
    }

    fn exports(&self) -> ExportSection {
        let mut exports = ExportSection::new();
        for export in &self.exports {
            exports.export(export.name, kind(export.kind), export.index);
        }
        if self.rewindable() {
            exports.export(MEMORY, ExportKind::Memory, 0);
            for index in &self.globals {
                exports.export(&format!("{GLOBAL}{index}"), ExportKind::Global, *index);
            }
        }
        #[cfg(feature = "wasmer")]
        if let Some(table) = self.clock {
            exports.export(CLOCK, ExportKind::Table, table);
        }
        #[cfg(any(feature = "wasmer", feature = "wasmi"))]
        if let Some(func) = self.start {
            exports.export(START, ExportKind::Func, func);
        }
        exports
    }
}

impl StartSection {
    fn moves(self) -> bool {
        match self {
            #[cfg(feature = "wasmtime")]
            Self::Kept => false,
            #[cfg(any(feature = "wasmer", feature = "wasmi"))]
            Self::Exported => true,
        }
    }
}

/// The table section with one table more. Its number of elements has no upper bound: an engine may know better than to
/// look into a table that never changes.
fn add_clock(module: &mut wasm_encoder::Module, tables: &[u8]) -> Option<()> {
    let mut reader = wasmparser::BinaryReader::new(tables, 0);
    let count = reader.read_var_u32().ok()?;
    let mut data = Vec::with_capacity(tables.len() + 8);
    count.checked_add(1)?.encode(&mut data);
    data.extend_from_slice(tables.get(reader.current_position()..)?);
    let ty = wasm_encoder::TableType {
        element_type: wasm_encoder::RefType::FUNCREF,
        table64: false,
        minimum: 1,
        maximum: None,
        shared: false,
    };
    ty.encode(&mut data);
    module.section(&RawSection { id: SectionId::Table as u8, data: &data });
    Some(())
}

fn comes_before_tables(id: u8) -> bool {
    const BEFORE: [SectionId; 4] = [SectionId::Custom, SectionId::Type, SectionId::Import, SectionId::Function];
    BEFORE.iter().any(|before| *before as u8 == id)
}

/// The order of sections is not that of their numbers (core specification, 5.5.2).
fn comes_before_exports(id: u8) -> bool {
    const BEFORE: [SectionId; 8] = [
        SectionId::Custom,
        SectionId::Type,
        SectionId::Import,
        SectionId::Function,
        SectionId::Table,
        SectionId::Memory,
        SectionId::Tag,
        SectionId::Global,
    ];
    BEFORE.iter().any(|before| *before as u8 == id)
}

fn kind(kind: ExternalKind) -> ExportKind {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        ExternalKind::Tag => ExportKind::Tag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(feature = "wasmer", feature = "wasmi"))]
    const MOVES: StartSection = StartSection::Exported;
    #[cfg(not(any(feature = "wasmer", feature = "wasmi")))]
    const MOVES: StartSection = StartSection::Kept;

    fn names(wat: &str) -> Option<Vec<String>> {
        let wasm = wat::parse_str(wat).unwrap();
        let changed = rewrite(&wasm, MOVES).unwrap()?;
        wasmparser::validate(&changed).unwrap();
        let found = Found::read(&changed, MOVES).unwrap();
        Some(found.exports.iter().map(|export| export.name.to_owned()).collect())
    }

    #[test]
    fn what_can_change_is_exported() {
        let wat = r#"(module (memory 1) (global (mut i32) (i32.const 1)) (global i32 (i32.const 2))
            (global (mut v128) (v128.const i64x2 1 2)) (func (export "f")) (data (i32.const 0) "x"))"#;
        assert_eq!(names(wat).unwrap(), ["f", MEMORY, "wasmx:global:0", "wasmx:global:2"]);
        assert_eq!(names("(module (memory 1))").unwrap(), [MEMORY]);
        assert_eq!(names("(module (memory 1) (table 1 funcref) (elem (i32.const 0) $f) (func $f))").unwrap(), [MEMORY]);
    }

    #[test]
    fn a_module_that_changes_what_no_host_sees_stays_as_it_is() {
        for wat in [
            "(module)",
            "(module (memory 1) (memory 1))",
            "(module (memory 1 1 shared))",
            r#"(module (import "env" "memory" (memory 1)))"#,
            r#"(module (import "env" "g" (global (mut i32))) (memory 1))"#,
            "(module (memory 1) (global (mut funcref) (ref.null func)))",
            "(module (memory 1) (global externref (ref.null extern)))",
            "(module (memory 1) (table 1 externref))",
            "(module (memory 1) (table 1 funcref) (func (table.set (i32.const 0) (ref.null func))))",
            "(module (memory 1) (table 1 funcref) (func (drop (table.grow (ref.null func) (i32.const 1)))))",
            "(module (memory 1) (table 1 funcref) (func (table.fill (i32.const 0) (ref.null func) (i32.const 1))))",
            "(module (memory 1) (table 1 funcref) (func (table.copy (i32.const 0) (i32.const 0) (i32.const 1))))",
            r#"(module (memory 1) (table 1 funcref) (elem func)
                (func (table.init 0 (i32.const 0) (i32.const 0) (i32.const 0)) (elem.drop 0)))"#,
            r#"(module (memory 1) (data "x") (func (data.drop 0)))"#,
            "(module (memory 1) (type (struct (field i32))))",
            "(module (memory 1) (tag))",
        ] {
            assert_eq!(names(wat), None, "{wat}");
        }
        assert_eq!(rewrite(b"", MOVES).unwrap(), None);
        assert_eq!(rewrite(b"\0asm\x01\0\0\0\x08\x7f", MOVES).unwrap(), None, "cut off");
    }

    #[test]
    fn our_names_are_refused() {
        let wasm = wat::parse_str(r#"(module (memory (export "wasmx:memory") 1))"#).unwrap();
        let error = rewrite(&wasm, MOVES).unwrap_err().to_string();
        assert_eq!(error, r#"the export "wasmx:memory" has a name that is reserved"#);
    }

    #[cfg(feature = "wasmer")]
    #[test]
    fn a_clock_is_the_last_table() {
        for (wat, index) in [
            ("(module)", 0),
            (r#"(module (import "env" "t" (table 1 funcref)) (memory 1))"#, 1),
            ("(module (table 2 externref) (table 1 1 funcref) (func $f) (start $f) (data \"x\"))", 2),
            (r#"(module (type (func)) (func (export "f")) (@custom "last" (after last) "x"))"#, 0),
        ] {
            let wasm = wat::parse_str(wat).unwrap();
            let changed = with_clock(&wasm).unwrap().unwrap();
            wasmparser::validate(&changed.wasm).unwrap();
            let found = Found::read(&changed.wasm, MOVES).unwrap();
            assert_eq!(found.tables, index + 1, "{wat}");
            let clock = found.exports.iter().find(|export| export.name == CLOCK).unwrap();
            assert_eq!((clock.kind, clock.index), (ExternalKind::Table, index), "{wat}");
            assert_eq!(found.bodies, changed.bodies);
        }
        assert!(with_clock(b"").unwrap().is_none());
    }

    #[cfg(any(feature = "wasmer", feature = "wasmi"))]
    #[test]
    fn a_start_section_becomes_an_export() {
        assert_eq!(names("(module (func $f) (start $f))").unwrap(), [START]);
        assert_eq!(names("(module (memory 1) (func $f) (start $f))").unwrap(), [MEMORY, START]);
        let wasm = wat::parse_str("(module (func $f) (start $f))").unwrap();
        let changed = rewrite(&wasm, StartSection::Exported).unwrap().unwrap();
        assert_eq!(Found::read(&changed, StartSection::Exported).unwrap().start, None);
    }
}
