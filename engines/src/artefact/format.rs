//! The bytes of an artefact:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `\x7fWASMX\r\n` |
//! | 4 | the version of this format |
//! | 4 | the length of the header |
//! | 8 | the length of the code |
//! | 32 | SHA-256 of all the others |
//! | | the header: the digest of the module, then the [`Key`], as lines of `NAME=VALUE` |
//! | | the code: what the engine has serialised |
//!
//! Numbers have their lowest byte first.

use sha2::{Digest as _, Sha256};

use super::{Digest, Key, Unfit};

/// No module starts so, nor any text.
const MAGIC: &[u8; 8] = b"\x7fWASMX\r\n";
/// Another one for every change of what is written here.
const FORMAT: u32 = 1;
/// Where the digest stands, and what follows it.
const DIGEST: usize = 24;
const HEADER: usize = DIGEST + 32;

/// Whether a file says of itself that it is an artefact.
pub fn is_artefact(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// An artefact that is as it was written. Who wrote it is another matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artefact<'a> {
    /// What it was made by and for.
    pub key: Key,
    /// The digest of the module that was compiled, in binary form.
    pub module: Digest,
    /// What the engine has serialised.
    pub code: &'a [u8],
}

pub(super) fn pack(key: &Key, module: &Digest, code: &[u8]) -> Vec<u8> {
    let header = format!("module={}\n{}", hex(module), key.text());
    let header_len = u32::try_from(header.len()).expect("a header is short");
    let mut bytes = Vec::with_capacity(HEADER + header.len() + code.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&header_len.to_le_bytes());
    bytes.extend_from_slice(&(code.len() as u64).to_le_bytes());
    let digest = digest(&bytes, header.as_bytes(), code);
    bytes.extend_from_slice(&digest);
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(code);
    bytes
}

fn digest(start: &[u8], header: &[u8], code: &[u8]) -> Digest {
    Sha256::new().chain_update(start).chain_update(header).chain_update(code).finalize().into()
}

impl<'a> Artefact<'a> {
    /// # Errors
    /// When it is none, one of another format, or not as it was written.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Unfit> {
        let short = || Unfit::new("the artefact is cut off");
        if !is_artefact(bytes) {
            return Err(Unfit::new("no artefact"));
        }
        let (start, rest) = bytes.split_at_checked(DIGEST).ok_or_else(short)?;
        let format = number(start, 8, 4).ok_or_else(short)?;
        if format != u64::from(FORMAT) {
            return Err(Unfit::new(format!("an artefact of format {format}, here it is {FORMAT}")));
        }
        let (written, rest) = rest.split_at_checked(HEADER - DIGEST).ok_or_else(short)?;
        let length = |at, size| number(start, at, size).and_then(|it| usize::try_from(it).ok()).ok_or_else(short);
        let (header, code) = rest.split_at_checked(length(12, 4)?).ok_or_else(short)?;
        match (code.len(), length(16, 8)?) {
            (is, should_be) if is < should_be => return Err(short()),
            (is, should_be) if is > should_be => return Err(Unfit::new("the artefact has more than it says")),
            _ => {}
        }
        if digest(start, header, code)[..] != *written {
            return Err(Unfit::new("the artefact is damaged: its digest is another"));
        }
        let parsed = str::from_utf8(header).ok().and_then(parse);
        let (module, key) = parsed.ok_or_else(|| Unfit::new("the artefact has a header that nobody writes"))?;
        Ok(Self { key, module, code })
    }
}

fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    Some(bytes.get(at..at + size)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn parse(header: &str) -> Option<(Digest, Key)> {
    let (module, key) = header.strip_prefix("module=")?.split_once('\n')?;
    Some((unhex(module)?, Key::parse(key)?))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    (hex(&digest) == text).then_some(digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key {
            engine: "e".into(),
            version: "1.2.3+00000000".into(),
            host: "0.1.0".into(),
            target: "x86_64-linux".into(),
            compiler: "c".into(),
            flags: vec!["a=1".into(), "b=on".into()],
            memory_limit: 1 << 20,
            pool: true,
            backtraces: false,
            cpu: vec!["avx".into(), "avx2".into()],
        }
    }

    fn good() -> Vec<u8> {
        pack(&key(), &[7; 32], b"code, or what passes for it")
    }

    #[test]
    fn what_was_packed_is_read() {
        for (key, code) in [(key(), &b"code"[..]), (Key { flags: vec![], cpu: vec![], ..key() }, b"")] {
            let bytes = pack(&key, &[7; 32], code);
            assert_eq!(Artefact::read(&bytes), Ok(Artefact { key, module: [7; 32], code }));
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let good = good();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Artefact::read(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_is_seen() {
        let good = good();
        for length in 0..good.len() {
            let error = Artefact::read(&good[..length]).unwrap_err().to_string();
            assert!(["no artefact", "the artefact is cut off"].contains(&error.as_str()), "{length}: {error}");
        }
        let longer = [&good[..], b"x"].concat();
        assert_eq!(Artefact::read(&longer).unwrap_err().to_string(), "the artefact has more than it says");
    }

    #[test]
    fn another_format_is_named() {
        let mut other = good();
        other[8] = 9;
        assert_eq!(Artefact::read(&other).unwrap_err().to_string(), "an artefact of format 9, here it is 1");
    }

    #[test]
    fn a_header_that_nobody_writes_is_refused_whatever_its_digest() {
        let same = |change: fn(&str) -> String| {
            let header = change(&format!("module={}\n{}", hex(&[7; 32]), key().text()));
            let mut start = good()[..DIGEST].to_vec();
            start[12..16].copy_from_slice(&u32::try_from(header.len()).unwrap().to_le_bytes());
            start[16..24].copy_from_slice(&1u64.to_le_bytes());
            let digest = digest(&start, header.as_bytes(), b"x");
            Artefact::read(&[&start[..], &digest, header.as_bytes(), b"x"].concat()).map(|_| ())
        };
        assert_eq!(same(str::to_owned), Ok(()));
        let changes: [fn(&str) -> String; 6] = [
            |it| it.replace("module=07", "module=0G"),
            |it| it.replace("engine=", "motor="),
            |it| it.replace("pool=true", "pool=yes"),
            |it| it.replace("memory_limit=1048576", "memory_limit=+1048576"),
            |it| format!("{it}more=1\n"),
            |it| it.trim_end().to_owned(),
        ];
        for change in changes {
            assert_eq!(same(change).unwrap_err().to_string(), "the artefact has a header that nobody writes");
        }
    }

    #[test]
    fn each_part_of_the_key_counts() {
        let here = key();
        type Change = fn(&mut Key);
        let table: [(Change, &str); 10] = [
            (|it| it.engine = "f".into(), "compiled for engine \"f\", here it is \"e\""),
            (|it| it.version = "1".into(), "compiled by version \"1\", here it is \"1.2.3+00000000\""),
            (|it| it.host = "9".into(), "compiled by WasmX \"9\", here it is \"0.1.0\""),
            (|it| it.target = "z80-cpm".into(), "compiled for \"z80-cpm\", here it is \"x86_64-linux\""),
            (|it| it.compiler = "d".into(), "compiled with compiler \"d\", here it is \"c\""),
            (|it| it.flags.clear(), "compiled with flags \"none\", here it is \"a=1, b=on\""),
            (|it| it.memory_limit = 1, "compiled for a memory limit of \"1\", here it is \"1048576\""),
            (|it| it.pool = false, "compiled for a pool of instances \"off\", here it is \"on\""),
            (|it| it.backtraces = true, "compiled with backtraces \"on\", here it is \"off\""),
            (|it| it.cpu.push("amx".into()), "compiled for a CPU with amx, which this one lacks"),
        ];
        for (change, text) in table {
            let mut other = key();
            change(&mut other);
            assert_eq!(other.check(&here).unwrap_err().to_string(), text);
            assert_ne!(other.digest(), here.digest(), "{text}");
        }
        assert_eq!(Key { cpu: vec![], ..key() }.check(&here), Ok(()), "a lesser CPU's code runs on a better one");
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(bytes: Vec<u8>) {
            let _ = Artefact::read(&bytes);
            prop_assert!(Artefact::read(&[&MAGIC[..], &bytes].concat()).is_err());
        }

        #[test]
        fn tampering_is_seen(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
            more: Vec<u8>,
        ) {
            let good = good();
            let mut bad = good.clone();
            for (at, byte) in edits {
                let at = at.index(bad.len());
                bad[at] = byte;
            }
            bad.truncate(cut.index(good.len()) + 1);
            bad.extend(more);
            prop_assert!(bad == good || Artefact::read(&bad).is_err());
        }
    }
}
