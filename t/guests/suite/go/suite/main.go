// The suite in Go: see ../../rust, of which this is the same filter.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &root{} })
}

type metrics struct {
	counter   proxywasm.MetricCounter
	gauge     proxywasm.MetricGauge
	histogram proxywasm.MetricHistogram
}

type root struct {
	types.DefaultPluginContext
	what     string
	upstream string
	metrics  metrics
	ticks    int
}

func (r *root) OnPluginStart(int) types.OnPluginStartStatus {
	// Without a configuration this is an error: it stays empty.
	configuration, _ := proxywasm.GetPluginConfiguration()
	proxywasm.LogInfof("configured: %s", configuration)
	r.what, r.upstream, _ = strings.Cut(string(configuration), " ")
	switch r.what {
	case "headers", "body", "reply", "call", "shared":
	case "metrics":
		r.metrics = metrics{
			counter:   proxywasm.DefineCounterMetric("suite_requests"),
			gauge:     proxywasm.DefineGaugeMetric("suite_level"),
			histogram: proxywasm.DefineHistogramMetric("suite_sizes"),
		}
	case "tick":
		must(proxywasm.SetTickPeriodMilliSeconds(20))
	default:
		proxywasm.LogErrorf("unknown: %s", r.what)
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (r *root) OnTick() {
	r.ticks++
	proxywasm.LogInfof("tick %d", r.ticks)
	if r.ticks == 3 {
		must(proxywasm.SetTickPeriodMilliSeconds(0))
		proxywasm.LogInfo("no more ticks")
	}
}

func (r *root) NewHttpContext(uint32) types.HttpContext {
	return &stream{root: r}
}

type stream struct {
	types.DefaultHttpContext
	root *root
}

func (s *stream) OnHttpRequestHeaders(count int, end bool) types.Action {
	switch s.root.what {
	case "headers":
		return changeRequest(count, end)
	case "reply":
		return reply()
	case "call":
		return s.call()
	case "shared":
		return share()
	case "metrics":
		return s.root.metrics.measure()
	}
	return types.ActionContinue
}

func (s *stream) OnHttpRequestBody(size int, end bool) types.Action {
	if s.root.what != "body" {
		return types.ActionContinue
	}
	proxywasm.LogInfof("request body: %d bytes, end %v", size, end)
	if !end {
		return types.ActionPause
	}
	body, err := proxywasm.GetHttpRequestBody(0, size)
	must(err)
	must(proxywasm.ReplaceHttpRequestBody(bytes.ToUpper(body)))
	return types.ActionContinue
}

func (s *stream) OnHttpResponseHeaders(count int, end bool) types.Action {
	if s.root.what == "body" {
		must(proxywasm.RemoveHttpResponseHeader("content-length"))
	}
	if s.root.what != "headers" {
		return types.ActionContinue
	}
	status, err := proxywasm.GetHttpResponseHeader(":status")
	must(err)
	proxywasm.LogInfof("response: %d headers, end %v, status %s", count, end, status)
	headers, err := proxywasm.GetHttpResponseHeaders()
	must(err)
	for _, header := range headers {
		proxywasm.LogInfof("response header %s=%s", header[0], header[1])
	}
	must(proxywasm.ReplaceHttpResponseHeader(":status", "201"))
	must(proxywasm.ReplaceHttpResponseHeader("content-type", "text/suite"))
	must(proxywasm.AddHttpResponseHeader("x-many", "1"))
	must(proxywasm.AddHttpResponseHeader("x-many", "2"))
	must(proxywasm.RemoveHttpResponseHeader("x-secret"))
	return types.ActionContinue
}

func (s *stream) OnHttpResponseBody(size int, end bool) types.Action {
	if s.root.what != "body" {
		return types.ActionContinue
	}
	if !end {
		return types.ActionPause
	}
	proxywasm.LogInfof("response body: %d bytes", size)
	// An empty body is an error here: it stays empty.
	body, _ := proxywasm.GetHttpResponseBody(0, size)
	must(proxywasm.ReplaceHttpResponseBody(fmt.Appendf(nil, "<%s>", body)))
	return types.ActionContinue
}

func (s *stream) OnHttpStreamDone() {
	method, _ := proxywasm.GetHttpRequestHeader(":method")
	status, _ := proxywasm.GetHttpResponseHeader(":status")
	proxywasm.LogInfof("logged %s %s", method, status)
}

func changeRequest(count int, end bool) types.Action {
	proxywasm.LogInfof("request: %d headers, end %v", count, end)
	headers, err := proxywasm.GetHttpRequestHeaders()
	must(err)
	for _, header := range headers {
		proxywasm.LogInfof("request header %s=%s", header[0], header[1])
	}
	missing, err := proxywasm.GetHttpRequestHeader("x-missing")
	if !errors.Is(err, types.ErrorStatusNotFound) {
		proxywasm.LogErrorf("x-missing: %v", err)
	}
	proxywasm.LogInfof("missing: %q", missing)
	must(proxywasm.ReplaceHttpRequestHeader(":path", "/changed?by=filter"))
	must(proxywasm.ReplaceHttpRequestHeader("x-replaced", "new"))
	must(proxywasm.AddHttpRequestHeader("x-added", "1"))
	must(proxywasm.AddHttpRequestHeader("x-added", "2"))
	must(proxywasm.RemoveHttpRequestHeader("x-removed"))
	return types.ActionContinue
}

func reply() types.Action {
	method, err := proxywasm.GetHttpRequestHeader(":method")
	must(err)
	path, err := proxywasm.GetHttpRequestHeader(":path")
	must(err)
	headers := [][2]string{{"content-type", "text/suite"}, {"x-many", "1"}, {"x-many", "2"}}
	return answer(418, headers, fmt.Sprintf("%s %s: no\n", method, path))
}

func (s *stream) call() types.Action {
	headers := [][2]string{{":method", "POST"}, {":path", "/check?it=1"}, {":authority", "checker"}, {"x-from", "suite"}}
	_, err := proxywasm.DispatchHttpCall(s.root.upstream, headers, []byte("may it pass?"), nil, 5000, called)
	if err != nil {
		proxywasm.LogInfo("no call")
		return answer(500, nil, "no call\n")
	}
	return types.ActionPause
}

func called(headers, bodySize, trailers int) {
	// In here the SDK keeps the context of the request that called.
	status := ""
	pairs, _ := proxywasm.GetHttpCallResponseHeaders()
	for _, pair := range pairs {
		if pair[0] == ":status" {
			status = pair[1]
		}
	}
	body, _ := proxywasm.GetHttpCallResponseBody(0, bodySize)
	proxywasm.LogInfof("answer: %d headers, %d bytes, %d trailers, status %s", headers, bodySize, trailers, status)
	switch {
	case headers == 0:
		answer(502, nil, "no answer\n")
	case status == "200":
		must(proxywasm.ReplaceHttpRequestHeader("x-checked", string(body)))
		must(proxywasm.ResumeHttpRequest())
	default:
		answer(403, nil, fmt.Sprintf("refused: %s %s\n", status, body))
	}
}

func share() types.Action {
	value, cas, err := proxywasm.GetSharedData("suite")
	found := !errors.Is(err, types.ErrorStatusNotFound)
	count, _ := strconv.Atoi(string(value))
	count++
	must(proxywasm.SetSharedData("suite", []byte(strconv.Itoa(count)), cas))
	if cas == 0 {
		cas = 7777
	}
	mismatch := errors.Is(proxywasm.SetSharedData("suite", []byte("never"), cas), types.ErrorStatusCasMismatch)
	proxywasm.LogInfof("found %v, count %d, stale refused %v", found, count, mismatch)
	return answer(200, nil, fmt.Sprintf("count %d\n", count))
}

func (m metrics) measure() types.Action {
	m.counter.Increment(2)
	m.gauge.Add(5)
	m.gauge.Add(-8)
	m.histogram.Record(3)
	return answer(200, nil, fmt.Sprintf("counter %d, gauge %d\n", m.counter.Value(), m.gauge.Value()))
}

func answer(status uint32, headers [][2]string, body string) types.Action {
	must(proxywasm.SendHttpResponse(status, headers, []byte(body), -1))
	return types.ActionPause
}

// A status that the filter does not foresee ends its instance, as in the Rust SDK.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
