//! Statements about metrics: `define KIND NAME`, `increment DELTA NAME`, `record VALUE NAME`, `metric NAME`. KIND is
//! `counter`, `gauge`, `histogram` or a number; NAME is what was defined last under that name here, or `#ID`.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::program::{bytes, number, word};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_increment_metric(id: u32, delta: i64) -> u32;
    fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
}

thread_local! {
    static IDS: RefCell<HashMap<Vec<u8>, u32>> = RefCell::default();
}

/// Whether a statement is one of these.
pub fn knows(verb: &str) -> bool {
    matches!(verb, "define" | "increment" | "record" | "metric")
}

/// Its status, and what it gave: an id or a value.
pub fn call(verb: &str, rest: &str) -> (u32, Vec<u8>) {
    let (status, given) = match verb {
        "define" => define(rest),
        "metric" => {
            let mut value = 0;
            // SAFETY: the address is that of a variable.
            (unsafe { proxy_get_metric(id(rest), &mut value) }, value)
        }
        _ => {
            let (amount, name) = word(rest);
            let amount: i128 = amount.parse().unwrap_or_else(|_| panic!("no number: {amount:?}"));
            // SAFETY: neither takes an address.
            let status = unsafe {
                match verb {
                    "increment" => proxy_increment_metric(id(name), amount as i64),
                    _ => proxy_record_metric(id(name), amount as u64),
                }
            };
            (status, 0)
        }
    };
    (status, if status == 0 { given.to_string().into_bytes() } else { Vec::new() })
}

fn define(rest: &str) -> (u32, u64) {
    let (kind, name) = word(rest);
    let kind = match kind {
        "counter" => 0,
        "gauge" => 1,
        "histogram" => 2,
        other => number(other).0,
    };
    let (name, mut id) = (bytes(name), 0);
    // SAFETY: address and size are those of `name`, the other address that of a variable.
    let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) };
    if status == 0 {
        IDS.with_borrow_mut(|ids| ids.insert(name, id));
    }
    (status, id.into())
}

fn id(name: &str) -> u32 {
    match name.strip_prefix('#') {
        Some(number) => number.parse().unwrap_or_else(|_| panic!("no id: {number:?}")),
        None => {
            IDS.with_borrow(|ids| ids.get(&bytes(name)).copied().unwrap_or_else(|| panic!("{name:?} is not defined")))
        }
    }
}
