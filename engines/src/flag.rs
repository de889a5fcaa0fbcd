//! An engine's flags as a table, and nginx's notation of their values.

use crate::{FlagEffect, FlagError};

/// How a flag of an engine is set. `C` is what that engine is configured through.
pub(crate) enum Flag<C> {
    /// `on` or `off`.
    Switch(fn(&mut C, bool)),
    /// A size in nginx's notation.
    Size(fn(&mut C, u64)),
    /// One of a few words.
    Word(fn(&mut C, &str) -> Option<()>),
    /// `on` or `off`, of which only this one is what the engine does.
    Fixed(bool),
    /// A size that no longer has a counterpart.
    #[cfg(feature = "wasmtime")]
    GoneSize,
    /// Known to the engine, and not for users to change.
    #[cfg(any(feature = "wasmtime", feature = "wasmi"))]
    Unsupported,
}

impl<C> Flag<C> {
    /// Looks the flag up in an engine's table and sets it.
    pub(crate) fn set(
        table: &[(&str, Self)],
        config: &mut C,
        name: &str,
        value: &str,
    ) -> Result<FlagEffect, FlagError> {
        let (_, flag) = table.iter().find(|(known, _)| *known == name).ok_or(FlagError::Unknown)?;
        flag.apply(config, value)
    }

    fn apply(&self, config: &mut C, value: &str) -> Result<FlagEffect, FlagError> {
        let invalid = || FlagError::Invalid(value.to_owned());
        match self {
            Self::Switch(set) => set(config, parse_switch(value).ok_or_else(invalid)?),
            Self::Size(set) => set(config, parse_size(value).ok_or_else(invalid)?),
            Self::Word(set) => set(config, value).ok_or_else(invalid)?,
            Self::Fixed(always) => {
                let same = parse_switch(value).ok_or_else(invalid)? == *always;
                return Ok(if same { FlagEffect::Applied } else { FlagEffect::Ignored });
            }
            #[cfg(feature = "wasmtime")]
            Self::GoneSize => {
                parse_size(value).ok_or_else(invalid)?;
                return Ok(FlagEffect::Ignored);
            }
            #[cfg(any(feature = "wasmtime", feature = "wasmi"))]
            Self::Unsupported => return Err(FlagError::Unsupported),
        }
        Ok(FlagEffect::Applied)
    }
}

fn parse_switch(value: &str) -> Option<bool> {
    match value {
        _ if value.eq_ignore_ascii_case("on") => Some(true),
        _ if value.eq_ignore_ascii_case("off") => Some(false),
        _ => None,
    }
}

/// As nginx's own `ngx_parse_size`: digits and at most one of `k`, `m`; and `g`, as address space is measured in it.
fn parse_size(value: &str) -> Option<u64> {
    let (digits, shift) = match value.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&value[..value.len() - 1], 10),
        b'm' => (&value[..value.len() - 1], 20),
        b'g' => (&value[..value.len() - 1], 30),
        _ => (value, 0),
    };
    // `parse` alone would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_in_nginx() {
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size("64k"), Some(64 << 10));
        assert_eq!(parse_size("1M"), Some(1 << 20));
        assert_eq!(parse_size("4g"), Some(4 << 30));
        for wrong in ["", "k", "10U", "-1", "+1", "1 m", "1mm", "99999999999999999999", "20000000000g", "é"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn switches_are_on_and_off() {
        assert_eq!((parse_switch("on"), parse_switch("OFF")), (Some(true), Some(false)));
        assert_eq!((parse_switch("true"), parse_switch("")), (None, None));
    }
}
