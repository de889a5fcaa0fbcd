//! Guests as text: a prelude of imports and helpers around the functions of a test.

use std::fmt::Write as _;

/// Imports by the names that tests use, the allocator, and helpers that log.
const PRELUDE: &str = r#"
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_log_level" (func $log_level (param i32) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $set_tick (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (import "env" "proxy_done" (func $done (result i32)))
  (import "env" "proxy_get_configuration" (func $configuration (param i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_size" (func $map_size (param i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $value (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $bytes (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_status" (func $buffer_status (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_buffer_bytes" (func $set_bytes (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
  (import "env" "proxy_continue_request" (func $continue_request (result i32)))
  (import "env" "proxy_continue_response" (func $continue_response (result i32)))
  (import "env" "proxy_clear_route_cache" (func $clear_route_cache (result i32)))
  (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define_metric (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_record_metric" (func $record_metric (param i32 i64) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment_metric (param i32 i64) (result i32)))
  (import "env" "proxy_get_metric" (func $metric (param i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_shared_data" (func $get_data (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set_data (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
  (import "env" "proxy_resolve_shared_queue" (func $resolve (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_call"
    (func $grpc_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_stream" (func $grpc_stream (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_send" (func $grpc_send (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_cancel" (func $grpc_cancel (param i32) (result i32)))
  (import "env" "proxy_grpc_close" (func $grpc_close (param i32) (result i32)))
  (import "env" "proxy_get_status" (func $status (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)

  ;; Results: the pointer at 0, the size at 4.
  (global $allocations (mut i32) (i32.const 0))
  (global $heap (mut i32) (i32.const 65536))

  ;; Logs text at info.
  (func $say (param $data i32) (param $size i32)
    (drop (call $log (i32.const 2) (local.get $data) (local.get $size))))
  ;; Logs a number.
  (func $number (param $n i32)
    (local $at i32)
    (local.set $at (i32.const 40))
    (loop $digits
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
      (br_if $digits (local.get $n)))
    (call $say (local.get $at) (i32.sub (i32.const 40) (local.get $at))))
  ;; Logs the result that a host function wrote to 0 and 4.
  (func $show (call $say (i32.load (i32.const 0)) (i32.load (i32.const 4))))
  ;; Logs a status, and after status 0 the result.
  (func $result (param $status i32)
    (if (local.get $status) (then (call $number (local.get $status))) (else (call $show))))
"#;

const ALLOCATOR: &str = r#"
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.set $allocations (i32.add (global.get $allocations) (i32.const 1)))
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get $size))))
"#;

const CREATE: &str = r#"(func (export "proxy_on_context_create") (param i32 i32))"#;
const VERSION: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;
/// Where the texts of a test are put.
const TEXTS: usize = 1024;

/// A guest of a test's functions. Text in single quotes becomes its address and its size; `\0` in it is a NUL, `\n` a newline. What
/// every filter needs is added where the test does not bring its own.
pub fn guest(functions: &str) -> Vec<u8> {
    let mut imports = String::new();
    let mut rest = String::new();
    for line in functions.lines() {
        let part = if line.trim_start().starts_with("(import") { &mut imports } else { &mut rest };
        part.push_str(line);
        part.push('\n');
    }
    let mut module = format!("(module {imports} {PRELUDE}");
    for (needed, text) in
        [("proxy_on_memory_allocate", ALLOCATOR), ("proxy_on_context_create", CREATE), ("proxy_abi_version_", VERSION)]
    {
        if !functions.contains(needed) {
            module.push_str(text);
        }
    }
    let mut at = TEXTS;
    let mut texts = String::new();
    for (index, part) in rest.split('\'').enumerate() {
        if index % 2 == 0 {
            module.push_str(part);
            continue;
        }
        let size = part.replace("\\0", "0").replace("\\n", "n").len();
        let _ = write!(module, "(i32.const {at}) (i32.const {size})");
        let _ = writeln!(texts, "(data (i32.const {at}) \"{}\")", part.replace("\\0", "\\00"));
        at += size;
    }
    module.push_str(&texts);
    module.push(')');
    wat::parse_str(&module).unwrap_or_else(|error| panic!("{error}"))
}

/// The text of a data segment with a header map, and its size.
pub fn map_at(address: usize, pairs: &[(&str, &str)]) -> (String, usize) {
    let mut bytes = u32::try_from(pairs.len()).unwrap().to_le_bytes().to_vec();
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
    }
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0);
    }
    let text: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    (format!("(data (i32.const {address}) \"{text}\")"), bytes.len())
}

/// A guest whose request headers callback runs `body`.
pub fn on_request_headers(body: &str) -> Vec<u8> {
    guest(&format!(
        r#"(func (export "proxy_on_request_headers") (param $context i32) (param i32 i32) (result i32)
             {body} (i32.const 0))"#
    ))
}
