//! What the sections of a module say, as far as they can be read.

use wasmparser::{KnownCustom, MemoryType, Parser, Payload, TypeRef};

/// What engines do not show.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The first memory, its own or an imported one.
    pub memory: Option<Memory>,
    /// Whether it has a start section.
    pub start: bool,
    /// The `producers` section: `FIELD`, `NAME VERSION`.
    pub producers: Vec<(String, String)>,
    /// Whether functions have names.
    pub names: bool,
}

/// In pages of 64 KiB.
#[derive(Debug, PartialEq, Eq)]
pub struct Memory {
    pub least: u64,
    pub most: Option<u64>,
}

impl From<MemoryType> for Memory {
    fn from(ty: MemoryType) -> Self {
        Self { least: ty.initial, most: ty.maximum }
    }
}

impl Facts {
    pub fn of(wasm: &[u8]) -> Self {
        let mut facts = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload {
                Ok(payload) => facts.add(payload),
                // Engines tell what is wrong.
                Err(_) => break,
            }
        }
        facts
    }

    fn add(&mut self, payload: Payload<'_>) {
        match payload {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports().flatten() {
                    if let TypeRef::Memory(ty) = import.ty {
                        self.memory.get_or_insert(ty.into());
                    }
                }
            }
            Payload::MemorySection(memories) => {
                if let Some(Ok(ty)) = memories.into_iter().next() {
                    self.memory.get_or_insert(ty.into());
                }
            }
            Payload::StartSection { .. } => self.start = true,
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::Name(_) => self.names = true,
                KnownCustom::Producers(fields) => {
                    for field in fields.into_iter().flatten() {
                        for value in field.values.into_iter().flatten() {
                            let text = format!("{} {}", value.name, value.version).trim_end().to_owned();
                            self.producers.push((field.name.to_owned(), text));
                        }
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(wat: &str) -> Facts {
        Facts::of(&wat::parse_str(wat).unwrap())
    }

    #[test]
    fn sections_are_read() {
        assert_eq!(facts("(module)"), Facts::default());
        let all = facts("(module (memory 2 9) (func $f) (start $f))");
        assert_eq!(all.memory, Some(Memory { least: 2, most: Some(9) }));
        assert!(all.start && all.names);
        let imported = facts(r#"(module (import "env" "memory" (memory 3)))"#);
        assert_eq!(imported.memory, Some(Memory { least: 3, most: None }));
        let producers = r#"(module (@producers (language "Rust" "") (processed-by "rustc" "1.95.0")))"#;
        let pairs = [("language", "Rust"), ("processed-by", "rustc 1.95.0")];
        assert_eq!(facts(producers).producers, pairs.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn what_is_cut_off_is_read_as_far_as_it_goes() {
        let wasm = wat::parse_str("(module (memory 2) (func $f) (start $f))").unwrap();
        for length in 0..wasm.len() {
            let _ = Facts::of(&wasm[..length]);
        }
    }
}
