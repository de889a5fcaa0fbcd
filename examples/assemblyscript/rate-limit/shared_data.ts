// Shared data as the ABI has it: the SDK's own wrappers pass other arguments, and leave out the number that tells whether
// a value was changed meanwhile (cas).

import { WasmResultValues } from "@solo-io/proxy-runtime";
import { free } from "@solo-io/proxy-runtime/malloc";

// @ts-ignore: decorator
@external("env", "proxy_get_shared_data")
declare function proxy_get_shared_data(key: usize, key_size: usize, value: usize, value_size: usize, cas: usize): u32;
// @ts-ignore: decorator
@external("env", "proxy_set_shared_data")
declare function proxy_set_shared_data(key: usize, key_size: usize, value: usize, value_size: usize, cas: u32): u32;

export class SharedData {
  /** Empty when there is none. */
  value: ArrayBuffer = new ArrayBuffer(0);
  cas: u32 = 0;
}

export function get_shared_data(key: string): SharedData {
  const name = String.UTF8.encode(key);
  // The host writes an address, a size and the cas.
  const out = new StaticArray<u32>(3);
  const at = changetype<usize>(out);
  const result = proxy_get_shared_data(changetype<usize>(name), name.byteLength, at, at + 4, at + 8);
  const found = new SharedData();
  if (result == WasmResultValues.Ok) {
    found.cas = out[2];
    if (out[1] > 0) {
      // The host got the memory from the SDK's malloc(), which holds a reference for it: `found` has its own now.
      found.value = changetype<ArrayBuffer>(out[0] as usize);
      free(out[0]);
    }
  }
  return found;
}

/** With a cas other than 0 the value is set only if it still has that one: else `CasMismatch`. */
export function set_shared_data(key: string, value: ArrayBuffer, cas: u32): WasmResultValues {
  const name = String.UTF8.encode(key);
  const data = changetype<usize>(value);
  return proxy_set_shared_data(changetype<usize>(name), name.byteLength, data, value.byteLength, cas);
}
