//! The wire format of header maps (spec v0.2.1, "Serialization"): a count, the lengths of each name and value, then
//! the names and values themselves, each with a NUL after it. Integers are 32 bits, little endian.

/// The most bytes that a guest may send as one map.
pub const MAX_BYTES: usize = 1 << 20;
/// The most pairs that a guest may send as one map.
pub const MAX_PAIRS: usize = 1024;

/// Bytes of the count, and of the two lengths of a pair.
const COUNT: usize = 4;
const LENGTHS: usize = 8;

/// Bytes that are not a map: a NUL is missing, something is left over, or there is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A map that a guest has sent, read where it lies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pairs<'a> {
    lengths: &'a [[u8; LENGTHS]],
    text: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Checks the whole map. No bytes and a single NUL are the empty map.
    ///
    /// # Errors
    /// [`Malformed`] for whatever is not exactly one map within the limits.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if matches!(bytes, [] | [0]) {
            return Ok(Self::default());
        }
        if bytes.len() > MAX_BYTES {
            return Err(Malformed);
        }
        let (count, rest) = bytes.split_first_chunk::<COUNT>().ok_or(Malformed)?;
        let count = usize::try_from(u32::from_le_bytes(*count)).map_err(|_| Malformed)?;
        if count > MAX_PAIRS {
            return Err(Malformed);
        }
        let (lengths, text) = rest.split_at_checked(count * LENGTHS).ok_or(Malformed)?;
        let pairs = Self { lengths: lengths.as_chunks().0, text };
        let mut iter = pairs.iter();
        let whole = iter.by_ref().count() == count && iter.text.is_empty();
        if whole { Ok(pairs) } else { Err(Malformed) }
    }

    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Names and values in order; names as the guest wrote them.
    pub fn iter(&self) -> Iter<'a> {
        Iter { lengths: self.lengths.iter(), text: self.text }
    }
}

impl<'a> IntoIterator for &Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The pairs of a map.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    lengths: std::slice::Iter<'a, [u8; LENGTHS]>,
    text: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [a, b, c, d, e, f, g, h] = *self.lengths.next()?;
        let (name, rest) = terminated(self.text, u32::from_le_bytes([a, b, c, d]))?;
        let (value, rest) = terminated(rest, u32::from_le_bytes([e, f, g, h]))?;
        self.text = rest;
        Some((name, value))
    }
}

/// Parts `len` bytes and the NUL after them from the rest.
fn terminated(text: &[u8], len: u32) -> Option<(&[u8], &[u8])> {
    let (part, rest) = text.split_at_checked(usize::try_from(len).ok()?)?;
    match rest {
        [0, rest @ ..] => Some((part, rest)),
        _ => None,
    }
}

/// How large a map becomes on the wire, summed up before room is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    count: usize,
    text: usize,
}

impl Size {
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.count += 1;
        self.text += name.len() + value.len() + 2;
    }

    /// Bytes on the wire. The empty map has none.
    pub fn bytes(&self) -> usize {
        if self.count == 0 { 0 } else { COUNT + self.count * LENGTHS + self.text }
    }
}

/// Writes a map of a known [`Size`] into the room made for it.
#[derive(Debug)]
pub struct Writer<'a> {
    lengths: std::slice::IterMut<'a, [u8; LENGTHS]>,
    text: &'a mut [u8],
    fits: bool,
}

impl<'a> Writer<'a> {
    /// `None` when `room` is not of the size.
    pub fn new(room: &'a mut [u8], size: Size) -> Option<Self> {
        if room.len() != size.bytes() {
            return None;
        }
        let (count, rest) = room.split_first_chunk_mut::<COUNT>()?;
        *count = u32::try_from(size.count).ok()?.to_le_bytes();
        let (lengths, text) = rest.split_at_mut_checked(size.count.checked_mul(LENGTHS)?)?;
        Some(Self { lengths: lengths.as_chunks_mut().0.iter_mut(), text, fits: true })
    }

    /// Writes the next pair, its name in lower case.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.fits = self.fits && self.try_push(name, value).is_some();
    }

    fn try_push(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        let lengths = self.lengths.next()?;
        let (name_room, value_room) = lengths.split_first_chunk_mut::<4>()?;
        *name_room = u32::try_from(name.len()).ok()?.to_le_bytes();
        value_room.copy_from_slice(&u32::try_from(value.len()).ok()?.to_le_bytes());
        for (to, from) in self.part(name.len())?.iter_mut().zip(name) {
            *to = from.to_ascii_lowercase();
        }
        self.part(value.len())?.copy_from_slice(value);
        Some(())
    }

    /// The next `len` bytes of text, the NUL after them written.
    fn part(&mut self, len: usize) -> Option<&'a mut [u8]> {
        let (part, rest) = std::mem::take(&mut self.text).split_at_mut_checked(len)?;
        let (nul, rest) = rest.split_first_mut()?;
        *nul = 0;
        self.text = rest;
        Some(part)
    }

    /// Whether exactly the pairs that were counted have been written.
    pub fn finish(self) -> bool {
        self.fits && self.text.is_empty() && self.lengths.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Owned = Vec<(Vec<u8>, Vec<u8>)>;

    fn wire(pairs: &Owned) -> Vec<u8> {
        let mut size = Size::default();
        pairs.iter().for_each(|(name, value)| size.add(name, value));
        let mut room = vec![0xff; size.bytes()];
        if let Some(mut writer) = Writer::new(&mut room, size) {
            pairs.iter().for_each(|(name, value)| writer.push(name, value));
            assert!(writer.finish());
        }
        room
    }

    fn read(bytes: &[u8]) -> Result<Owned, Malformed> {
        Pairs::parse(bytes).map(|pairs| pairs.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect())
    }

    fn owned(pairs: &[(&str, &str)]) -> Owned {
        pairs.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_map_has_the_bytes_of_the_specification() {
        let bytes = b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0a\x001\0b\x0022\0";
        assert_eq!(wire(&owned(&[("a", "1"), ("B", "22")])), bytes);
        assert_eq!(read(bytes).unwrap(), owned(&[("a", "1"), ("b", "22")]));
    }

    #[test]
    fn an_empty_map_has_three_spellings() {
        assert_eq!(wire(&vec![]), b"");
        for bytes in [&b""[..], b"\0", b"\0\0\0\0"] {
            assert_eq!(read(bytes), Ok(vec![]), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_not_exactly_a_map_is_refused() {
        let good = wire(&owned(&[("name", "value"), ("x", "")]));
        for len in 1..good.len() {
            assert_eq!(read(&good[..len]), Err(Malformed), "cut at {len}");
        }
        assert_eq!(read(&[&good[..], b"\0"].concat()), Err(Malformed), "something left over");
        for at in [24, 30, 32, 33] {
            let mut bytes = good.clone();
            assert_eq!(bytes[at], 0);
            bytes[at] = b'!';
            assert_eq!(read(&bytes), Err(Malformed), "no NUL at {at}");
        }
        assert_eq!(read(b"\x01"), Err(Malformed));
        assert_eq!(read(b"\xff\xff\xff\xff"), Err(Malformed));
        assert_eq!(read(b"\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0"), Err(Malformed));
    }

    #[test]
    fn limits_hold_to_the_last_pair_and_byte() {
        let many = |count: usize| wire(&vec![(b"n".to_vec(), vec![]); count]);
        assert_eq!(read(&many(MAX_PAIRS)).unwrap().len(), MAX_PAIRS);
        assert_eq!(read(&many(MAX_PAIRS + 1)), Err(Malformed));
        let long = |len: usize| wire(&vec![(b"n".to_vec(), vec![b'v'; len - COUNT - LENGTHS - 3])]);
        assert!(read(&long(MAX_BYTES)).is_ok());
        assert_eq!(read(&long(MAX_BYTES + 1)), Err(Malformed));
    }

    #[test]
    fn a_writer_tells_when_the_map_changed_after_it_was_sized() {
        let mut size = Size::default();
        size.add(b"a", b"1");
        let mut room = vec![0; size.bytes()];
        let mut more = Writer::new(&mut room, size).unwrap();
        more.push(b"a", b"12345");
        assert!(!more.finish());
        let fewer = Writer::new(&mut room, size).unwrap();
        assert!(!fewer.finish());
        assert!(Writer::new(&mut room[1..], size).is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(pairs in vec((vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..80)), 0..40)) {
            let lower: Owned = pairs.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.clone())).collect();
            prop_assert_eq!(read(&wire(&pairs)).unwrap(), lower);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..80)) {
            if let Ok(pairs) = Pairs::parse(&bytes) {
                prop_assert_eq!(pairs.iter().count(), pairs.len());
            }
        }

        #[test]
        fn a_flipped_byte_is_read_or_refused(at in 0usize..60, by in 1u8.., pairs in vec((vec(any::<u8>(), 0..5), vec(any::<u8>(), 0..5)), 1..5)) {
            let mut bytes = wire(&pairs);
            let at = at % bytes.len();
            bytes[at] ^= by;
            if let Ok(read) = read(&bytes) {
                prop_assert_eq!(wire(&read).len(), bytes.len());
            }
        }
    }
}
