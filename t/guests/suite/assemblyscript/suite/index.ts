// The suite in AssemblyScript: see ../../rust, of which this is the same filter.

export * from "@solo-io/proxy-runtime/proxy"; // the callbacks that the host calls
import {
  Context, Counter, FilterDataStatusValues, FilterHeadersStatusValues, Gauge, GrpcStatusValues, HeaderPair,
  Headers, Histogram, LogLevelValues, RootContext, WasmResultValues, continue_request, log, registerRootContext,
  send_local_response, stream_context,
} from "@solo-io/proxy-runtime";
import { BufferTypeValues, get_buffer_bytes, record_metric, set_tick_period_milliseconds } from "@solo-io/proxy-runtime/runtime";
import { get_metric, get_shared_data, must, replace_buffer, set_shared_data } from "./host";

class Metrics {
  counter: Counter = new Counter("suite_requests");
  gauge: Gauge = new Gauge("suite_level");
  histogram: Histogram = new Histogram("suite_sizes");
}

class Root extends RootContext {
  what: string = "";
  upstream: string = "";
  metrics: Metrics | null = null;
  ticks: i32 = 0;

  // In place of the SDK's, which writes the configuration's size where it should not.
  onConfigure(size: u32): bool {
    const configuration = text(get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size));
    info("configured: " + configuration);
    const space = configuration.indexOf(" ");
    this.what = space < 0 ? configuration : configuration.substring(0, space);
    this.upstream = space < 0 ? "" : configuration.substring(space + 1);
    if (this.what == "metrics") {
      this.metrics = new Metrics();
    } else if (this.what == "tick") {
      set_tick_period_milliseconds(20);
    } else if (!["headers", "body", "reply", "call", "shared"].includes(this.what)) {
      log(LogLevelValues.error, "unknown: " + this.what);
      return false;
    }
    return true;
  }

  onTick(): void {
    this.ticks += 1;
    info("tick " + this.ticks.toString());
    if (this.ticks == 3) {
      set_tick_period_milliseconds(0);
      info("no more ticks");
    }
  }

  createContext(id: u32): Context {
    return new Stream(id, this);
  }
}

class Stream extends Context {
  root: Root;

  constructor(id: u32, root: Root) {
    super(id, root);
    this.root = root;
  }

  onRequestHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const what = this.root.what;
    if (what == "headers") return change_request(count, end);
    if (what == "reply") return reply();
    if (what == "call") return this.call();
    if (what == "shared") return share();
    if (what == "metrics") return measure(this.root.metrics!);
    return FilterHeadersStatusValues.Continue;
  }

  onRequestBody(size: usize, end: bool): FilterDataStatusValues {
    if (this.root.what != "body") return FilterDataStatusValues.Continue;
    info("request body: " + size.toString() + " bytes, end " + end.toString());
    if (!end) return FilterDataStatusValues.StopIterationAndBuffer;
    const body = text(get_buffer_bytes(BufferTypeValues.HttpRequestBody, 0, size as u32));
    replace_buffer(BufferTypeValues.HttpRequestBody, String.UTF8.encode(body.toUpperCase()));
    return FilterDataStatusValues.Continue;
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const headers = stream_context.headers.response;
    if (this.root.what == "body") headers.remove("content-length");
    if (this.root.what != "headers") return FilterHeadersStatusValues.Continue;
    const status = headers.get(":status");
    info("response: " + count.toString() + " headers, end " + end.toString() + ", status " + status);
    list("response", headers.get_headers());
    headers.replace(":status", "201");
    headers.replace("content-type", "text/suite");
    headers.add("x-many", "1");
    headers.add("x-many", "2");
    headers.remove("x-secret");
    return FilterHeadersStatusValues.Continue;
  }

  onResponseBody(size: usize, end: bool): FilterDataStatusValues {
    if (this.root.what != "body") return FilterDataStatusValues.Continue;
    if (!end) return FilterDataStatusValues.StopIterationAndBuffer;
    info("response body: " + size.toString() + " bytes");
    const body = text(get_buffer_bytes(BufferTypeValues.HttpResponseBody, 0, size as u32));
    replace_buffer(BufferTypeValues.HttpResponseBody, String.UTF8.encode("<" + body + ">"));
    return FilterDataStatusValues.Continue;
  }

  onLog(): void {
    info("logged " + stream_context.headers.request.get(":method") + " " + stream_context.headers.response.get(":status"));
  }

  call(): FilterHeadersStatusValues {
    const headers = [
      pair(":method", "POST"), pair(":path", "/check?it=1"), pair(":authority", "checker"), pair("x-from", "suite"),
    ];
    const body = String.UTF8.encode("may it pass?");
    if (this.root.httpCall(this.root.upstream, headers, body, [], 5000, this, called) != WasmResultValues.Ok) {
      info("no call");
      return answer(500, [], "no call\n");
    }
    return FilterHeadersStatusValues.StopIteration;
  }
}

// Not a closure, which the language does not have.
function called(_origin: Context, headers: u32, body_size: usize, trailers: u32): void {
  const status = stream_context.headers.http_callback.get(":status");
  const body = text(get_buffer_bytes(BufferTypeValues.HttpCallResponseBody, 0, body_size as u32));
  const sizes = headers.toString() + " headers, " + body_size.toString() + " bytes, " + trailers.toString() + " trailers";
  info("answer: " + sizes + ", status " + status);
  if (headers == 0) {
    answer(502, [], "no answer\n");
  } else if (status == "200") {
    stream_context.headers.request.replace("x-checked", body);
    must(continue_request());
  } else {
    answer(403, [], "refused: " + status + " " + body + "\n");
  }
}

function change_request(count: u32, end: bool): FilterHeadersStatusValues {
  const headers = stream_context.headers.request;
  info("request: " + count.toString() + " headers, end " + end.toString());
  list("request", headers.get_headers());
  info('missing: "' + headers.get("x-missing") + '"');
  headers.replace(":path", "/changed?by=filter");
  headers.replace("x-replaced", "new");
  headers.add("x-added", "1");
  headers.add("x-added", "2");
  headers.remove("x-removed");
  return FilterHeadersStatusValues.Continue;
}

function reply(): FilterHeadersStatusValues {
  const request = stream_context.headers.request;
  const headers = [pair("content-type", "text/suite"), pair("x-many", "1"), pair("x-many", "2")];
  return answer(418, headers, request.get(":method") + " " + request.get(":path") + ": no\n");
}

function share(): FilterHeadersStatusValues {
  const found = get_shared_data("suite");
  const value = found.value;
  const count = (value === null ? 0 : I32.parseInt(text(value))) + 1;
  must(set_shared_data("suite", String.UTF8.encode(count.toString()), found.cas));
  const stale = set_shared_data("suite", String.UTF8.encode("never"), found.cas == 0 ? 7777 : found.cas);
  const mismatch = stale == WasmResultValues.CasMismatch;
  const facts = "found " + (value !== null).toString() + ", count " + count.toString();
  info(facts + ", stale refused " + mismatch.toString());
  return answer(200, [], "count " + count.toString() + "\n");
}

function measure(metrics: Metrics): FilterHeadersStatusValues {
  must(metrics.counter.increment(2));
  must(metrics.gauge.increment(5));
  must(metrics.gauge.increment(-8));
  must(record_metric(metrics.histogram.metric_id, 3));
  const counter = get_metric(metrics.counter.metric_id).toString();
  return answer(200, [], "counter " + counter + ", gauge " + get_metric(metrics.gauge.metric_id).toString() + "\n");
}

function answer(status: u32, headers: Headers, body: string): FilterHeadersStatusValues {
  must(send_local_response(status, "", String.UTF8.encode(body), headers, GrpcStatusValues.InvalidCode));
  return FilterHeadersStatusValues.StopIteration;
}

function list(what: string, headers: Headers): void {
  for (let i = 0; i < headers.length; i++) {
    info(what + " header " + text(headers[i].key) + "=" + text(headers[i].value));
  }
}

function pair(name: string, value: string): HeaderPair {
  return new HeaderPair(String.UTF8.encode(name), String.UTF8.encode(value));
}

function text(bytes: ArrayBuffer): string {
  return String.UTF8.decode(bytes);
}

function info(message: string): void {
  log(LogLevelValues.info, message);
}

registerRootContext((id: u32) => new Root(id), "");
