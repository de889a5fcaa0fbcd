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
    /// What is known of an offset in the module.
    pub(super) fn find(&self, offset: u64) -> Place {
        self.innermost(offset).unwrap_or_default()
    }

    fn innermost(&self, offset: u64) -> Option<Place> {
        let frames = self.context.find_frames(offset.checked_sub(self.code)?).skip_all_loads();
        let frame = frames.ok()?.next().ok()??;
        let function = frame.function.and_then(|it| it.raw_name().ok().map(|name| name.into_owned()));
        let file_and_line = frame.location.and_then(|it| Some((it.file?.to_owned(), it.line?)));
        Some(Place { function, file_and_line })
    }
}
