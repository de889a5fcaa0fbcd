//! The host functions as the ABI has them, with the statuses that the SDK would hide.

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    pub fn proxy_log(level: u32, data: *const u8, size: usize) -> u32;
    pub fn proxy_get_log_level(level: *mut u32) -> u32;
    pub fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    pub fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    pub fn proxy_set_effective_context(id: u32) -> u32;
    pub fn proxy_done() -> u32;
    pub fn proxy_continue_stream(part: u32) -> u32;
    pub fn proxy_close_stream(part: u32) -> u32;
    pub fn proxy_continue_request() -> u32;
    pub fn proxy_continue_response() -> u32;
    pub fn proxy_clear_route_cache() -> u32;
    pub fn proxy_get_configuration(data: *mut *mut u8, size: *mut usize) -> u32;
    pub fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    pub fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        length: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    pub fn proxy_set_buffer_bytes(buffer: u32, start: usize, length: usize, data: *const u8, size: usize) -> u32;
    pub fn proxy_get_buffer_status(buffer: u32, length: *mut usize, flags: *mut u32) -> u32;
    pub fn proxy_get_header_map_size(map: u32, size: *mut usize) -> u32;
    pub fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    pub fn proxy_set_header_map_pairs(map: u32, data: *const u8, size: usize) -> u32;
    pub fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    pub fn proxy_add_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    pub fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    pub fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    pub fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    pub fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    pub fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
}

/// A result that the host allocated in this guest: what a call gives through two pointers.
pub fn given(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> (u32, Vec<u8>) {
    let mut data = std::ptr::null_mut();
    let mut size = 0;
    let status = call(&mut data, &mut size);
    if status != 0 || data.is_null() {
        return (status, Vec::new());
    }
    // SAFETY: the host filled `size` bytes that it asked `proxy_on_memory_allocate` for, and gave them away.
    (status, unsafe { Vec::from_raw_parts(data, size, size) })
}

/// The wire form of header pairs.
pub fn pairs(pairs: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut wire = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in pairs {
        wire.extend((name.len() as u32).to_le_bytes());
        wire.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        wire.extend(name.as_bytes());
        wire.push(0);
        wire.extend(value);
        wire.push(0);
    }
    wire
}

/// Header pairs as text: `name=value` each, parted by `, `.
pub fn show_pairs(wire: &[u8]) -> String {
    let number = |at: usize| {
        let bytes = wire.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes) as usize
    };
    let count = number(0);
    let mut at = 4 + count * 8;
    let mut shown = Vec::new();
    for index in 0..count {
        let (name, value) = (number(4 + index * 8), number(8 + index * 8));
        let part = |from: usize, size: usize| String::from_utf8_lossy(wire.get(from..from + size).unwrap_or(b"?"));
        shown.push(format!("{}={}", part(at, name), part(at + name + 1, value)));
        at += name + value + 2;
    }
    shown.join(", ")
}
