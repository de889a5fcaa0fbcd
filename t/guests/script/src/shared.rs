//! Statements of shared data and queues.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::host::given;
use crate::program::{bytes, number, word};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, value_size: usize, cas: u32) -> u32;
    fn proxy_register_shared_queue(name: *const u8, name_size: usize, token: *mut u32) -> u32;
    fn proxy_resolve_shared_queue(
        vm: *const u8,
        vm_size: usize,
        name: *const u8,
        name_size: usize,
        token: *mut u32,
    ) -> u32;
    fn proxy_enqueue_shared_queue(token: u32, item: *const u8, item_size: usize) -> u32;
    fn proxy_dequeue_shared_queue(token: u32, data: *mut *mut u8, size: *mut usize) -> u32;
}

const CAS_MISMATCH: u32 = 8;

thread_local! {
    /// What `kv_get` read last.
    static CAS: Cell<u32> = const { Cell::new(0) };
    static TOKENS: RefCell<HashMap<String, u32>> = RefCell::default();
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// The statements that give something.
pub const GIVING: [&str; 6] = ["kv_get", "kv_size", "kv_add", "kv_churn", "kv_time", "dequeue"];

/// Whether a statement is one of these:
///
/// `kv_get KEY`, `kv_size KEY`, `kv_set KEY CAS VALUE` and `kv_fill KEY CAS SIZE` (CAS `=` is what `kv_get` read last),
/// `kv_delete KEY CAS`; `kv_add KEY,KEY.. COUNT` adds 1 so many times, by CAS, to one key after the other, and gives the
/// number of mismatches; `kv_churn KEYS COUNT` sets random keys to random sizes and checks what it reads;
/// `kv_time KEY COUNT` gives nanoseconds per get. `queue NAME` registers, `queue_find VM NAME` resolves (VM `-` is
/// empty), `enqueue NAME ITEM`, `enqueue_many NAME COUNT PREFIX`, `dequeue NAME`, or without a name that of `queue_ready`.
pub fn knows(verb: &str) -> bool {
    GIVING.contains(&verb)
        || matches!(verb, "kv_set" | "kv_fill" | "kv_delete" | "queue" | "queue_find" | "enqueue" | "enqueue_many")
}

/// Runs one: the status, and what it gives. `ready` is the queue of `queue_ready`.
pub fn run(verb: &str, rest: &str, ready: u32) -> (u32, Vec<u8>) {
    let (name, rest) = word(rest);
    match verb {
        "kv_get" => get(name),
        "kv_size" => {
            let (status, value) = get(name);
            (status, value.len().to_string().into_bytes())
        }
        "kv_set" | "kv_fill" => {
            let (cas, value) = cas(rest);
            let value = if verb == "kv_set" { bytes(value) } else { vec![b'x'; number(value).0 as usize] };
            (set(name, &value, cas), value)
        }
        // SAFETY: address and size are those of `name`; address 0 is no value.
        "kv_delete" => unsafe {
            (proxy_set_shared_data(name.as_ptr(), name.len(), std::ptr::null(), 0, cas(rest).0), Vec::new())
        },
        "kv_add" => add(name, number(rest).0),
        "kv_churn" => churn(name.parse().unwrap_or(1), number(rest).0),
        "kv_time" => {
            let count = number(rest).0;
            let begun = std::time::Instant::now();
            let failed = (0..count).map(|_| get(name).0).find(|status| *status != 0);
            (failed.unwrap_or(0), (begun.elapsed().as_nanos() / u128::from(count.max(1))).to_string().into_bytes())
        }
        "queue" => keep(name, |token| {
            // SAFETY: addresses and sizes are those of `name` and of a variable.
            unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), token) }
        }),
        "queue_find" => {
            let vm = if name == "-" { "" } else { name };
            keep(rest, |token| {
                // SAFETY: as above.
                unsafe { proxy_resolve_shared_queue(vm.as_ptr(), vm.len(), rest.as_ptr(), rest.len(), token) }
            })
        }
        "enqueue" => (enqueue(token(name, ready), &bytes(rest)), Vec::new()),
        "enqueue_many" => {
            let (count, prefix) = number(rest);
            let items = (1..=count).map(|item| enqueue(token(name, ready), format!("{prefix}{item}").as_bytes()));
            (items.fold(0, u32::max), Vec::new())
        }
        // SAFETY: the addresses are those of two variables.
        _ => given(|data, size| unsafe { proxy_dequeue_shared_queue(token(name, ready), data, size) }),
    }
}

fn get(key: &str) -> (u32, Vec<u8>) {
    let mut cas = 0;
    // SAFETY: addresses and sizes are those of `key` and of variables.
    let found = given(|data, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &mut cas) });
    CAS.set(cas);
    found
}

fn set(key: &str, value: &[u8], cas: u32) -> u32 {
    // SAFETY: addresses and sizes are those of `key` and `value`.
    unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) }
}

fn cas(text: &str) -> (u32, &str) {
    match text.strip_prefix('=') {
        Some(rest) => (CAS.get(), rest.trim_start()),
        None => number(text),
    }
}

fn add(keys: &str, count: u32) -> (u32, Vec<u8>) {
    let keys: Vec<&str> = keys.split(',').collect();
    let mut mismatches = 0u32;
    for key in keys.iter().cycle().take(count as usize) {
        loop {
            let (status, value) = get(key);
            let old: u64 = if status == 0 { String::from_utf8_lossy(&value).parse().unwrap_or(0) } else { 0 };
            match set(key, (old + 1).to_string().as_bytes(), CAS.get()) {
                0 => break,
                CAS_MISMATCH => mismatches += 1,
                other => return (other, Vec::new()),
            }
        }
    }
    (0, mismatches.to_string().into_bytes())
}

/// Values are one byte, repeated: a torn one would show. Gives how many were read.
fn churn(keys: u32, count: u32) -> (u32, Vec<u8>) {
    let mut read = 0u32;
    for _ in 0..count {
        let random = random();
        let key = format!("churn{}", random as u32 % keys);
        let size = (random >> 40) as usize % 3000;
        let status = set(&key, &vec![(random >> 32) as u8; size], 0);
        if status != 0 {
            return (status, Vec::new());
        }
        let (status, value) = get(&format!("churn{}", (random >> 20) as u32 % keys));
        if status == 0 {
            assert!(value.windows(2).all(|pair| pair[0] == pair[1]), "a torn value");
            read += 1;
        }
    }
    (0, read.to_string().into_bytes())
}

fn random() -> u64 {
    let seed = match RANDOM.get() {
        0 => {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64)
        }
        seed => seed,
    };
    let next = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    RANDOM.set(next);
    next ^ (next >> 29)
}

fn keep(name: &str, call: impl FnOnce(&mut u32) -> u32) -> (u32, Vec<u8>) {
    let mut token = 0;
    let status = call(&mut token);
    if status == 0 {
        TOKENS.with_borrow_mut(|tokens| tokens.insert(name.to_owned(), token));
    }
    (status, Vec::new())
}

/// The token of a queue that was registered or found, or a number.
fn token(name: &str, ready: u32) -> u32 {
    match TOKENS.with_borrow(|tokens| tokens.get(name).copied()) {
        Some(token) => token,
        None if name.is_empty() => ready,
        None => number(name).0,
    }
}

fn enqueue(token: u32, item: &[u8]) -> u32 {
    // SAFETY: address and size are those of `item`.
    unsafe { proxy_enqueue_shared_queue(token, item.as_ptr(), item.len()) }
}
