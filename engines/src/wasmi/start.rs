//! Start sections that can be interrupted.
//!
//! wasmi runs a module's start function while it makes the instance, and that run cannot be resumed after its first
//! slice of fuel. So the start function becomes an export, and we call it.

/// The export's name. No toolchain makes it, and a module that has it beside a start section is refused for having it
/// twice.
pub(super) const NAME: &str = "wasmx:start";

const HEADER: usize = 8;
const EXPORTS: u8 = 7;
const START: u8 = 8;
const FUNCTION: u8 = 0;

/// The module with its start function as an export; `None` when it has no start section. What is malformed is left to
/// the engine's own validation.
pub(super) fn as_export(wasm: &[u8]) -> Option<Vec<u8>> {
    let sections = sections(wasm.get(HEADER..)?)?;
    let start = sections.iter().find(|section| section.id == START)?;
    let export = [&leb(NAME.len() as u32), NAME.as_bytes(), &[FUNCTION], start.body].concat();
    let has_exports = sections.iter().any(|section| section.id == EXPORTS);

    let mut module = wasm[..HEADER].to_vec();
    for section in &sections {
        match section.id {
            EXPORTS => {
                let (count, exports) = read_leb(section.body)?;
                let body = [&leb(count.checked_add(1)?), exports, &export].concat();
                push(&mut module, EXPORTS, &body);
            }
            // Exports come right before it, so it can give its place to them.
            START if !has_exports => push(&mut module, EXPORTS, &[&leb(1), export.as_slice()].concat()),
            START => {}
            id => push(&mut module, id, section.body),
        }
    }
    Some(module)
}

struct Section<'a> {
    id: u8,
    body: &'a [u8],
}

fn sections(mut rest: &[u8]) -> Option<Vec<Section<'_>>> {
    let mut sections = Vec::new();
    while let Some((&id, after)) = rest.split_first() {
        let (size, after) = read_leb(after)?;
        let (body, after) = after.split_at_checked(usize::try_from(size).ok()?)?;
        sections.push(Section { id, body });
        rest = after;
    }
    Some(sections)
}

fn push(module: &mut Vec<u8>, id: u8, body: &[u8]) {
    module.push(id);
    module.extend(leb(body.len() as u32));
    module.extend(body);
}

fn read_leb(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, &bytes[i + 1..]));
        }
    }
    None
}

fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5);
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive() {
        for value in [0, 1, 127, 128, 300, 65_535, u32::MAX] {
            assert_eq!(read_leb(&leb(value)), Some((value, &[][..])));
        }
        assert_eq!(read_leb(&[0x80]), None);
        assert_eq!(read_leb(&[0xff; 6]), None);
    }

    #[test]
    fn a_module_without_a_start_section_stays_as_it_is() {
        assert_eq!(as_export(b"\0asm\x01\0\0\0"), None);
        assert_eq!(as_export(b""), None);
        assert_eq!(as_export(b"\0asm\x01\0\0\0\x08\x7f"), None, "cut off");
    }
}
