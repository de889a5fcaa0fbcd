//! Values of directives: pure parsers, whose errors are the texts of mistakes.

use crate::proxy_wasm::host::PropertyFormat;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// Which requests share an instance of a module (design.md, "Isolation").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All of a worker: the instance of the root contexts.
    #[default]
    None,
    /// An instance for each request and module.
    Stream,
    /// An instance for each request and filter.
    Filter,
}

/// What becomes of a request when a filter fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It is answered with 500, or reset when its response has begun.
    #[default]
    Closed,
    /// It goes on without that filter.
    Open,
}

/// A name that a module may have: not empty, without space, tab and colon.
///
/// # Errors
/// The text of the mistake.
pub fn module_name(name: &[u8]) -> Result<&str, String> {
    let name = utf8("module name", name)?;
    match name.chars().find(|c| matches!(c, ' ' | '\t' | ':')) {
        _ if name.is_empty() => Err("invalid module name \"\"".to_owned()),
        Some(bad) => Err(format!("invalid module name \"{name}\": character not allowed \"{bad}\"")),
        None => Ok(name),
    }
}

/// # Errors
/// The text of the mistake.
pub fn utf8<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|_| format!("invalid {what} \"{}\": not UTF-8", String::from_utf8_lossy(bytes)))
}

/// # Errors
/// The text of the mistake.
pub fn isolation(value: &[u8]) -> Result<Isolation, String> {
    match value {
        b"none" => Ok(Isolation::None),
        b"stream" => Ok(Isolation::Stream),
        b"filter" => Ok(Isolation::Filter),
        _ => Err(format!("invalid isolation mode \"{}\"", String::from_utf8_lossy(value))),
    }
}

/// # Errors
/// The text of the mistake.
pub fn failure_policy(value: &[u8]) -> Result<FailurePolicy, String> {
    match value {
        b"closed" => Ok(FailurePolicy::Closed),
        b"open" => Ok(FailurePolicy::Open),
        _ => Err(format!("invalid failure policy \"{}\"", String::from_utf8_lossy(value))),
    }
}

/// # Errors
/// The text of the mistake.
pub fn property_format(value: &[u8]) -> Result<PropertyFormat, String> {
    match value {
        b"strings" => Ok(PropertyFormat::Strings),
        b"envoy" => Ok(PropertyFormat::Envoy),
        _ => Err(format!("invalid property format \"{}\"", String::from_utf8_lossy(value))),
    }
}

/// A whole number that is not 0.
///
/// # Errors
/// The text of the mistake.
pub fn count(value: &[u8]) -> Result<u32, String> {
    number(value).and_then(|count| u32::try_from(count).ok()).filter(|&count| count > 0).ok_or_else(|| invalid(value))
}

/// A whole number: only digits.
pub fn number(value: &[u8]) -> Option<usize> {
    str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// `NAME=VALUE`, as WASI gives it to guests: without a zero in it.
///
/// # Errors
/// The text of the mistake.
pub fn environ(value: &[u8]) -> Result<&[u8], String> {
    match value.iter().position(|&byte| byte == b'=') {
        Some(at) if at > 0 && !value.contains(&0) => Ok(value),
        _ => Err(format!("invalid environ \"{}\": it must be NAME=VALUE", String::from_utf8_lossy(value))),
    }
}

/// 64 hexadecimal digits, in any case.
pub fn digest(hex: &[u8]) -> Option<Digest> {
    let mut digest = [0; 32];
    if hex.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        let text = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|c| c.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(text, 16).ok()?;
    }
    Some(digest)
}

/// A digest as [`digest`] reads it.
pub fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of a mistake in any other value.
pub fn invalid(value: &[u8]) -> String {
    format!("invalid value \"{}\"", String::from_utf8_lossy(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_names() {
        for good in ["a", "my-filter", "my_filter.v2", "ä"] {
            assert_eq!(module_name(good.as_bytes()), Ok(good));
        }
        assert_eq!(module_name(b"").unwrap_err(), "invalid module name \"\"");
        assert_eq!(module_name(b"a b").unwrap_err(), "invalid module name \"a b\": character not allowed \" \"");
        assert_eq!(module_name(b"a\tb").unwrap_err(), "invalid module name \"a\tb\": character not allowed \"\t\"");
        assert!(module_name(b"\xff").is_err());
    }

    #[test]
    fn words() {
        assert_eq!(isolation(b"stream"), Ok(Isolation::Stream));
        assert_eq!(isolation(b"Stream").unwrap_err(), "invalid isolation mode \"Stream\"");
        assert_eq!(failure_policy(b"open"), Ok(FailurePolicy::Open));
        assert_eq!(failure_policy(b"").unwrap_err(), "invalid failure policy \"\"");
        assert_eq!(property_format(b"envoy"), Ok(PropertyFormat::Envoy));
        assert!(property_format(b"json").is_err());
    }

    #[test]
    fn counts_are_digits_and_not_zero() {
        assert_eq!(count(b"1000"), Ok(1000));
        for bad in ["", "0", "-1", "+1", "1k", " 1", "4294967296"] {
            assert_eq!(count(bad.as_bytes()), Err(format!("invalid value \"{bad}\"")));
        }
    }

    #[test]
    fn environment_variables_have_a_name() {
        assert_eq!(environ(b"A=b=c"), Ok(&b"A=b=c"[..]));
        assert_eq!(environ(b"A="), Ok(&b"A="[..]));
        for bad in [&b""[..], b"A", b"=b", b"A=\0"] {
            assert!(environ(bad).is_err());
        }
    }

    #[test]
    fn digests_are_read_as_they_are_written() {
        let text = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let read = digest(text.as_bytes()).unwrap();
        assert_eq!(hex(&read), text);
        assert_eq!(digest(text.to_uppercase().as_bytes()), Some(read));
        assert_eq!(digest(&text.as_bytes()[1..]), None);
        assert_eq!(digest(text.replace('a', "+").as_bytes()), None);
    }
}
