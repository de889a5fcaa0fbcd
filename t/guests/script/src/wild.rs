//! Every host function of the ABI, called with pointers that point nowhere.

/// Addresses and sizes that no guest has: past the end, wrapping around, the whole address space.
const BAD: [(usize, usize); 4] = [(0xffff_fff0, 0x20), (0xffff_ffff, 1), (0x7fff_ffff, 0xffff_ffff), (0, 0xffff_ffff)];

macro_rules! wild {
    ($($name:ident ( $($arg:ident),* );)*) => {
        /// The functions' names, and a call of each with a bad address and a bad size in every place for one.
        const CALLS: &[(&str, fn(usize, usize) -> u32)] = &[
            $((stringify!($name), {
                #[link(wasm_import_module = "env")]
                unsafe extern "C" {
                    fn $name($($arg: wild!(@type $arg)),*) -> u32;
                }
                // SAFETY: whatever the host makes of these numbers, it must not touch what is not there.
                |_p, _s| unsafe { $name($(wild!(@value $arg _p _s)),*) }
            }),)*
        ];
    };
    (@type long) => { u64 };
    (@type $other:ident) => { usize };
    (@value p $p:ident $s:ident) => { $p };
    (@value s $p:ident $s:ident) => { $s };
    (@value zero $p:ident $s:ident) => { 0usize };
    (@value six $p:ident $s:ident) => { 6usize };
    (@value long $p:ident $s:ident) => { 0u64 };
}

// p: an address, s: a size, zero: a map, buffer, type or id that exists, long: a number of 64 bits.
wild! {
    proxy_log(zero, p, s);
    proxy_get_log_level(p);
    proxy_get_current_time_nanoseconds(p);
    proxy_get_configuration(p, p);
    proxy_send_local_response(zero, p, s, p, s, p, s, zero);
    proxy_get_buffer_bytes(six, zero, s, p, p);
    proxy_set_buffer_bytes(zero, zero, s, p, s);
    proxy_get_buffer_status(six, p, p);
    proxy_get_header_map_size(zero, p);
    proxy_get_header_map_pairs(zero, p, p);
    proxy_set_header_map_pairs(zero, p, s);
    proxy_get_header_map_value(zero, p, s, p, p);
    proxy_add_header_map_value(zero, p, s, p, s);
    proxy_replace_header_map_value(zero, p, s, p, s);
    proxy_remove_header_map_value(zero, p, s);
    proxy_get_property(p, s, p, p);
    proxy_set_property(p, s, p, s);
    proxy_get_shared_data(p, s, p, p, p);
    proxy_set_shared_data(p, s, p, s, zero);
    proxy_register_shared_queue(p, s, p);
    proxy_resolve_shared_queue(p, s, p, s, p);
    proxy_dequeue_shared_queue(zero, p, p);
    proxy_enqueue_shared_queue(zero, p, s);
    proxy_define_metric(zero, p, s, p);
    proxy_get_metric(zero, p);
    proxy_record_metric(zero, long);
    proxy_increment_metric(zero, long);
    proxy_http_call(p, s, p, s, p, s, p, s, zero, p);
    proxy_grpc_call(p, s, p, s, p, s, p, s, p, s, zero, p);
    proxy_grpc_stream(p, s, p, s, p, s, p, s, p);
    proxy_grpc_send(zero, p, s, zero);
    proxy_grpc_cancel(zero);
    proxy_grpc_close(zero);
    proxy_get_status(p, p, p);
    proxy_call_foreign_function(p, s, p, s, p, p);
}

macro_rules! wild_wasi {
    ($($name:ident ( $($arg:ident : $type:ty),* );)*) => {
        const WASI: &[(&str, fn(usize, usize) -> u32)] = &[
            $((stringify!($name), {
                #[link(wasm_import_module = "wasi_snapshot_preview1")]
                unsafe extern "C" {
                    fn $name($($arg: $type),*) -> u32;
                }
                // SAFETY: as above.
                |_p, _s| unsafe { $name($(wild_wasi!(@value $arg _p _s)),*) }
            }),)*
        ];
    };
    (@value a $p:ident $s:ident) => { $p };
    (@value b $p:ident $s:ident) => { $p };
    (@value size $p:ident $s:ident) => { $s };
    (@value precision $p:ident $s:ident) => { $s as u64 };
    (@value one $p:ident $s:ident) => { 1 };
}

wild_wasi! {
    args_get(a: usize, b: usize);
    args_sizes_get(a: usize, b: usize);
    environ_get(a: usize, b: usize);
    environ_sizes_get(a: usize, b: usize);
    clock_time_get(one: u32, precision: u64, a: usize);
    clock_res_get(one: u32, a: usize);
    random_get(a: usize, size: usize);
    fd_write(one: u32, a: usize, size: usize, b: usize);
    fd_fdstat_get(one: u32, a: usize);
}

/// Makes all calls, and gives each result: the function's name, the address, the status.
pub fn call_all() -> Vec<(&'static str, usize, u32)> {
    let every = CALLS.iter().chain(WASI);
    every.flat_map(|(name, call)| BAD.map(|(data, size)| (*name, data, call(data, size)))).collect()
}
