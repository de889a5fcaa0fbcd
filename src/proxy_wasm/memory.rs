//! Guest memory, as host functions read and write it: every range is checked, in arithmetic that cannot wrap.

use std::ops::Range;

/// A range that does not lie within guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds;

fn range(start: u32, len: usize) -> Option<Range<usize>> {
    let start = usize::try_from(start).ok()?;
    Some(start..start.checked_add(len)?)
}

fn length(len: u32) -> Result<usize, OutOfBounds> {
    usize::try_from(len).map_err(|_| OutOfBounds)
}

/// `len` bytes from `start`.
pub fn bytes(memory: &[u8], start: u32, len: u32) -> Result<&[u8], OutOfBounds> {
    memory.get(range(start, length(len)?).ok_or(OutOfBounds)?).ok_or(OutOfBounds)
}

/// `len` bytes from `start`, to be written.
pub fn bytes_mut(memory: &mut [u8], start: u32, len: u32) -> Result<&mut [u8], OutOfBounds> {
    memory.get_mut(range(start, length(len)?).ok_or(OutOfBounds)?).ok_or(OutOfBounds)
}

/// Whether a value of `len` bytes may be written at `start`, before anything is done for its sake.
pub fn check(memory: &[u8], start: u32, len: u32) -> Result<(), OutOfBounds> {
    bytes(memory, start, len).map(drop)
}

/// The `N` bytes at `start`.
pub fn array<const N: usize>(memory: &[u8], start: u32) -> Result<[u8; N], OutOfBounds> {
    let bytes = range(start, N).and_then(|range| memory.get(range)).ok_or(OutOfBounds)?;
    bytes.try_into().map_err(|_| OutOfBounds)
}

pub fn read_u32(memory: &[u8], start: u32) -> Result<u32, OutOfBounds> {
    array(memory, start).map(u32::from_le_bytes)
}

/// Writes `bytes` at `start`.
pub fn write(memory: &mut [u8], start: u32, bytes: &[u8]) -> Result<(), OutOfBounds> {
    let target = range(start, bytes.len()).and_then(|range| memory.get_mut(range)).ok_or(OutOfBounds)?;
    target.copy_from_slice(bytes);
    Ok(())
}

pub fn write_u32(memory: &mut [u8], start: u32, value: u32) -> Result<(), OutOfBounds> {
    write(memory, start, &value.to_le_bytes())
}

pub fn write_u64(memory: &mut [u8], start: u32, value: u64) -> Result<(), OutOfBounds> {
    write(memory, start, &value.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked_without_wrapping() {
        let memory = [7u8; 16];
        assert_eq!(bytes(&memory, 0, 16), Ok(&memory[..]));
        assert_eq!(bytes(&memory, 16, 0), Ok(&[][..]));
        assert_eq!(bytes(&memory, 17, 0), Err(OutOfBounds));
        assert_eq!(bytes(&memory, 1, 16), Err(OutOfBounds));
        assert_eq!(bytes(&memory, u32::MAX, u32::MAX), Err(OutOfBounds));
        assert_eq!(bytes(&memory, 8, u32::MAX - 7), Err(OutOfBounds));
    }

    #[test]
    fn words_are_little_endian_and_may_be_unaligned() {
        let mut memory = [0u8; 8];
        write_u32(&mut memory, 3, 0x0102_0304).unwrap();
        assert_eq!(memory, [0, 0, 0, 4, 3, 2, 1, 0]);
        assert_eq!(read_u32(&memory, 3), Ok(0x0102_0304));
        assert_eq!(write_u32(&mut memory, 5, 1), Err(OutOfBounds));
        assert_eq!(write_u64(&mut memory, u32::MAX, 1), Err(OutOfBounds));
    }
}
