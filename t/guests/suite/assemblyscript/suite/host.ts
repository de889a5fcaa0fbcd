// What the SDK gets wrong: its wrappers for these four pass other arguments than the ABI asks for.

import { BufferTypeValues, WasmResultValues } from "@solo-io/proxy-runtime/runtime";
import { free } from "@solo-io/proxy-runtime/malloc";

// @ts-ignore: decorator
@external("env", "proxy_set_buffer_bytes")
declare function proxy_set_buffer_bytes(type: i32, start: u32, length: u32, data: usize, size: usize): u32;
// @ts-ignore: decorator
@external("env", "proxy_get_shared_data")
declare function proxy_get_shared_data(key: usize, key_size: usize, data: usize, size: usize, cas: usize): u32;
// @ts-ignore: decorator
@external("env", "proxy_set_shared_data")
declare function proxy_set_shared_data(key: usize, key_size: usize, data: usize, size: usize, cas: u32): u32;
// @ts-ignore: decorator
@external("env", "proxy_get_metric")
declare function proxy_get_metric(id: u32, value: usize): u32;

/** Puts `data` in place of a whole buffer. */
export function replace_buffer(type: BufferTypeValues, data: ArrayBuffer): void {
  must(proxy_set_buffer_bytes(type, 0, u32.MAX_VALUE, changetype<usize>(data), data.byteLength));
}

export class SharedData {
  value: ArrayBuffer | null = null;
  cas: u32 = 0;
}

export function get_shared_data(key: string): SharedData {
  const name = String.UTF8.encode(key);
  // The host writes an address, a size and the cas.
  const out = new StaticArray<u32>(3);
  const at = changetype<usize>(out);
  const result = proxy_get_shared_data(changetype<usize>(name), name.byteLength, at, at + 4, at + 8);
  const found = new SharedData();
  if (result == WasmResultValues.NotFound) return found;
  must(result);
  found.cas = out[2];
  found.value = new ArrayBuffer(0);
  if (out[1] != 0) {
    // The host got the memory from malloc(), which gives away one reference.
    found.value = changetype<ArrayBuffer>(out[0] as usize);
    free(out[0]);
  }
  return found;
}

export function set_shared_data(key: string, value: ArrayBuffer, cas: u32): WasmResultValues {
  const name = String.UTF8.encode(key);
  const data = changetype<usize>(value);
  return proxy_set_shared_data(changetype<usize>(name), name.byteLength, data, value.byteLength, cas);
}

export function get_metric(id: u32): i64 {
  const out = new StaticArray<u64>(1);
  must(proxy_get_metric(id, changetype<usize>(out)));
  return out[0] as i64;
}

/** A status that the filter does not foresee ends its instance, as in the Rust SDK. */
export function must(result: WasmResultValues): void {
  if (result != WasmResultValues.Ok) throw new Error("unexpected status: " + (result as i32).toString());
}
