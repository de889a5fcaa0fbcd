// Limits how often a client may ask, by its address: `second=5 minute=100 hour=1000`, of which each may be left out.
//
// A request over a limit is answered with 429 and asks no upstream. Every response tells where its client stands, with
// the header fields that most clients know: RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset (in seconds), of the
// limit that has the least left. Later drafts of the IETF put the same into two structured fields.
//
// The counts are in shared data, which all workers see: one entry for each address, written over for ever, with a window
// and the requests in it for each limit. Give them a zone, from which the longest unused go when it is full:
// `wasm { shm_kv rates 10m eviction=lru; }`. Two requests that are an address's first at the very same moment may count
// as one.

// What the host calls: the SDK's own functions, but for those of a request, which are at the end.
export { malloc } from "@solo-io/proxy-runtime/malloc";
export {
  proxy_abi_version_0_2_0, proxy_on_configure, proxy_on_context_create, proxy_on_delete, proxy_on_done, proxy_on_vm_start,
} from "@solo-io/proxy-runtime/exports";

import {
  Context, FilterHeadersStatusValues, GrpcStatusValues, HeaderPair, LogLevelValues, RootContext, WasmResultValues, log,
  registerRootContext, send_local_response, stream_context,
} from "@solo-io/proxy-runtime";
import {
  BufferTypeValues, getBaseContext, get_buffer_bytes, get_current_time_nanoseconds, get_property,
} from "@solo-io/proxy-runtime/runtime";
import { get_shared_data, set_shared_data } from "./shared_data";

// The windows and their seconds. They begin when the clock says so, not with a client's first request.
const WINDOWS = ["hour", "minute", "second"];
const SECONDS: u64[] = [3600, 60, 1];

/** How often a count is tried again that another worker changed meanwhile. */
const TRIES = 20;

class Root extends RootContext {
  /** For each window the requests that it has room for; 0 is no limit. */
  limits: StaticArray<u32> = new StaticArray<u32>(3);

  // In place of the SDK's, which writes the configuration's size where it should not.
  onConfigure(size: u32): bool {
    const good = this.parse(String.UTF8.decode(get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size)));
    if (!good) log(LogLevelValues.error, 'the configuration must be like "second=5 minute=100 hour=1000"');
    return good;
  }

  /** Says whether there is a limit in it, and nothing else. */
  parse(configuration: string): bool {
    const parts = configuration.split(" ");
    let some = false;
    for (let i = 0; i < parts.length; i++) {
      if (parts[i] == "") continue;
      const equals = parts[i].indexOf("=");
      const index = WINDOWS.indexOf(parts[i].substring(0, max(equals, 0)));
      const value = parts[i].substring(equals + 1);
      const limit = U32.parseInt(value);
      // parseInt() takes a number with something behind it as well.
      if (index < 0 || limit == 0 || limit.toString() != value) return false;
      this.limits[index] = limit;
      some = true;
    }
    return some;
  }

  createContext(id: u32): Context {
    return new RateLimit(id, this);
  }
}

/** Where a client stands with one limit; `left` counts the request that asks. */
class Standing {
  window: string = "";
  limit: u32 = 0;
  left: u32 = 0;
  reset: u64 = 0;
}

class RateLimit extends Context {
  root: Root;
  /** For the response; of one that passes. */
  standing: Standing | null = null;

  constructor(id: u32, root: Root) {
    super(id, root);
    this.root = root;
  }

  onRequestHeaders(_count: u32, _end: bool): FilterHeadersStatusValues {
    const standing = this.count();
    if (standing === null) {
      // A limit that does not work shall not be an outage.
      log(LogLevelValues.warn, "no count: the request passes");
      return FilterHeadersStatusValues.Continue;
    }
    if (standing.left > 0) {
      this.standing = standing;
      return FilterHeadersStatusValues.Continue;
    }
    const headers = fields(standing);
    headers.push(pair("content-type", "application/json"));
    headers.push(pair("retry-after", standing.reset.toString()));
    const body = `{"error":"more than ` + standing.limit.toString() + ` requests in this ` + standing.window + `"}\n`;
    send_local_response(429, "", String.UTF8.encode(body), headers, GrpcStatusValues.InvalidCode);
    return FilterHeadersStatusValues.StopIteration;
  }

  onResponseHeaders(_count: u32, _end: bool): FilterHeadersStatusValues {
    const standing = this.standing;
    if (standing !== null) {
      const all = fields(standing);
      for (let i = 0; i < all.length; i++) {
        stream_context.headers.response.replace(String.UTF8.decode(all[i].key), String.UTF8.decode(all[i].value));
      }
    }
    return FilterHeadersStatusValues.Continue;
  }

  /** Counts the request, unless it is over a limit. `null` when too much is going on. */
  count(): Standing | null {
    const key = "rates/" + without_port(String.UTF8.decode(get_property("source\0address")));
    const now = get_current_time_nanoseconds() / 1000000000;
    for (let i = 0; i < TRIES; i++) {
      const entry = get_shared_data(key);
      const counts = read(entry.value, now);
      const standing = this.least(counts, now);
      if (standing.left == 0) return standing;
      if (set_shared_data(key, one_more(counts, now), entry.cas) == WasmResultValues.Ok) return standing;
    }
    return null;
  }

  /** With the limit that has the least left; of several such, the one of the longest window. */
  least(counts: StaticArray<u32>, now: u64): Standing {
    const least = new Standing();
    for (let i = 0; i < WINDOWS.length; i++) {
      const limit = this.root.limits[i];
      const left = max(limit, counts[i]) - counts[i];
      if (limit > 0 && (least.limit == 0 || left < least.left)) {
        least.window = WINDOWS[i];
        least.limit = limit;
        least.left = left;
        least.reset = SECONDS[i] - now % SECONDS[i];
      }
    }
    return least;
  }
}

// An entry has two numbers for each window, little endian: which window it is, and the requests in it. Those of a window
// that is over count as none.
function read(entry: ArrayBuffer, now: u64): StaticArray<u32> {
  const counts = new StaticArray<u32>(3);
  const numbers = Uint32Array.wrap(entry, 0, entry.byteLength / 4);
  for (let i = 0; i < WINDOWS.length && 2 * i + 1 < numbers.length; i++) {
    if (numbers[2 * i] == (now / SECONDS[i]) as u32) counts[i] = numbers[2 * i + 1];
  }
  return counts;
}

/** The entry with one request more in each window. */
function one_more(counts: StaticArray<u32>, now: u64): ArrayBuffer {
  const numbers = new Uint32Array(2 * WINDOWS.length);
  for (let i = 0; i < WINDOWS.length; i++) {
    numbers[2 * i] = (now / SECONDS[i]) as u32;
    numbers[2 * i + 1] = counts[i] + 1;
  }
  return numbers.buffer;
}

function fields(standing: Standing): HeaderPair[] {
  return [
    pair("ratelimit-limit", standing.limit.toString()),
    pair("ratelimit-remaining", (max(standing.left, 1) - 1).toString()),
    pair("ratelimit-reset", standing.reset.toString()),
  ];
}

function pair(name: string, value: string): HeaderPair {
  return new HeaderPair(String.UTF8.encode(name), String.UTF8.encode(value));
}

// Envoy has the port in it, and so has nginx with `proxy_wasm_property_format envoy`: "[::1]:443", "127.0.0.1:443".
function without_port(address: string): string {
  const colon = address.lastIndexOf(":");
  return colon >= 0 && (address.startsWith("[") || address.indexOf(":") == colon) ? address.substring(0, colon) : address;
}

// With the SDK's functions for these, each request stays in memory for ever, since the compiler forgets a reference where
// they narrow a type with `as`. And what is not exported is not called: a filter that exports body callbacks is given
// every body.
export function proxy_on_request_headers(id: u32, count: u32, end: u32): i32 {
  return changetype<RateLimit>(getBaseContext(id)).onRequestHeaders(count, end != 0);
}

export function proxy_on_response_headers(id: u32, count: u32, end: u32): i32 {
  return changetype<RateLimit>(getBaseContext(id)).onResponseHeaders(count, end != 0);
}

registerRootContext((id: u32) => new Root(id), "");
