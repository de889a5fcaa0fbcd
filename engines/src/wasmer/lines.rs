//! Where in its sources a guest's code comes from, which wasmer leaves to its host.

use addr2line::{
    Context,
    gimli::{Dwarf, EndianSlice, Error, LittleEndian, SectionId},
};
use wasm_encoder::{CustomSection, Module};
use wasmparser::{Parser, Payload};

/// The DWARF of a module, as a module of nothing but its `.debug_*` sections.
pub(super) struct Lines {
    /// Where the code begins in the module. Offsets in DWARF count from there.
    code: u64,
    sections: Vec<u8>,
}

impl Lines {
    /// Of a module that is valid.
    pub(super) fn of(wasm: &[u8]) -> Self {
        let mut code = 0;
        let mut sections = Module::new();
        for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
            match payload {
                Payload::CodeSectionStart { range, .. } => code = range.start as u64,
                Payload::CustomSection(custom) if custom.name().starts_with(".debug_") => {
                    sections.section(&CustomSection { name: custom.name().into(), data: custom.data().into() });
                }
                _ => {}
            }
        }
        Self { code, sections: sections.finish() }
    }

    /// Its bytes, for artefacts.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&self.code.to_le_bytes()[..], &(self.sections.len() as u64).to_le_bytes(), &self.sections].concat()
    }

    /// What [`to_bytes`](Self::to_bytes) wrote, and what follows it.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (code, bytes) = bytes.split_first_chunk()?;
        let (len, bytes) = bytes.split_first_chunk()?;
        let (sections, rest) = bytes.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        Some((Self { code: u64::from_le_bytes(*code), sections: sections.to_vec() }, rest))
    }

    /// What finds lines. Takes as long as there is much to read; `None` when there is none, or none that can be read.
    pub(super) fn finder(&self) -> Option<Finder<'_>> {
        let custom = |name: &str| {
            let payloads = Parser::new(0).parse_all(&self.sections).map_while(Result::ok);
            let mut sections = payloads.filter_map(|payload| match payload {
                Payload::CustomSection(custom) if custom.name() == name => Some(custom.data()),
                _ => None,
            });
            sections.next().unwrap_or(&[])
        };
        let load = |id: SectionId| Ok::<_, Error>(EndianSlice::new(custom(id.name()), LittleEndian));
        let dwarf = Dwarf::load(load).ok()?;
        Some(Finder { code: self.code, context: Context::from_dwarf(dwarf).ok()? })
    }
}

/// Finds lines.
pub(super) struct Finder<'a> {
    code: u64,
    context: Context<EndianSlice<'a, LittleEndian>>,
}

/// What is known of a place in the code.
#[derive(Default)]
pub(super) struct Place {
    /// Of the innermost function that was inlined there; as the compiler has mangled it.
    pub(super) function: Option<String>,
    pub(super) file_and_line: Option<(String, u32)>,
}

impl Finder<'_> {
    /// What is known of the instruction that ends at an offset in the module: wasmer notes where it has read up to.
    pub(super) fn find(&self, end: u64) -> Place {
        self.innermost(end).unwrap_or_default()
    }

    fn innermost(&self, end: u64) -> Option<Place> {
        let frames = self.context.find_frames(end.checked_sub(self.code)?.checked_sub(1)?).skip_all_loads();
        let frame = frames.ok()?.next().ok()??;
        let function = frame.function.and_then(|it| it.raw_name().ok().map(|name| name.into_owned()));
        let file_and_line = frame.location.and_then(|it| Some((it.file?.to_owned(), it.line?)));
        Some(Place { function, file_and_line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_finds_what_was_there() {
        let text = "(module\n (func\n  unreachable)\n (func (export \"f\")\n  call 0))";
        let mut parser = wat::Parser::new();
        let wasm = parser.generate_dwarf(wat::GenerateDwarf::Lines).parse_str(Some("guest.wat".as_ref()), text);
        let lines = Lines::of(&wasm.unwrap());
        let bytes = [&lines.to_bytes()[..], b"and more"].concat();
        let (kept, rest) = Lines::from_bytes(&bytes).unwrap();
        assert_eq!(rest, b"and more");
        assert!(Lines::from_bytes(&bytes[..20]).is_none());
        let finder = kept.finder().unwrap();
        // Behind the number of functions, the first one's length and that of its variables.
        let (file, line) = finder.find(lines.code + 4).file_and_line.unwrap();
        assert!(file.ends_with("guest.wat") && line == 3, "{file}:{line}");
        for unknown in [0, lines.code, lines.code + 100, u64::MAX] {
            assert!(finder.find(unknown).file_and_line.is_none(), "{unknown}");
        }
    }
}
