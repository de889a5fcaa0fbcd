//! The report from its template.

use crate::Result;

/// Puts the parts where the template has `{{NAME}}`.
///
/// # Errors
/// When the template has a place without a part, or a part has no place.
pub fn fill(template: &str, parts: &[(&str, String)]) -> Result<String> {
    // What is in a part is not looked at again.
    let mut pieces = template.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    let mut placed = Vec::new();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").ok_or("engines.md: a place that does not end")?;
        let (_, part) = parts.iter().find(|(it, _)| *it == name).ok_or_else(|| format!("engines.md: no {name}"))?;
        placed.push(name);
        page += part;
        page += rest;
    }
    match parts.iter().find(|(name, _)| !placed.contains(name)) {
        Some((name, _)) => Err(format!("engines.md has no place for {name}").into()),
        None => Ok(page),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_place() {
        let parts = [("a", "1 {{b}}".to_owned()), ("b", "2".to_owned())];
        assert_eq!(fill("x {{a}} y {{b}} z", &parts).unwrap(), "x 1 {{b}} y 2 z");
        for wrong in ["{{a}}", "{{a}} {{b}} {{c}}", "{{a}} {{b"] {
            assert!(fill(wrong, &parts).is_err(), "{wrong}");
        }
    }
}
