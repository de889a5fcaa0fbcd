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
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// The windows and their seconds. They begin when the clock says so, not with a client's first request.
var (
	windows = [...]string{"hour", "minute", "second"}
	seconds = [len(windows)]int64{3600, 60, 1}
)

// How often a count is tried again that another worker changed meanwhile.
const tries = 20

// One number for each window: the requests it has room for (0: no limit), or those in it.
type numbers [len(windows)]uint32

// Not called: such a module is a library, and init() is its start.
func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &root{} })
}

type root struct {
	types.DefaultPluginContext
	limits numbers
}

func (r *root) OnPluginStart(int) types.OnPluginStartStatus {
	configuration, err := proxywasm.GetPluginConfiguration()
	if err != nil || !r.parse(string(configuration)) {
		proxywasm.LogError("the configuration must be like \"second=5 minute=100 hour=1000\"")
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

// Says whether there is a limit in it, and nothing else.
func (r *root) parse(configuration string) bool {
	for _, part := range strings.Fields(configuration) {
		name, value, _ := strings.Cut(part, "=")
		index := slices.Index(windows[:], name)
		limit, err := strconv.ParseUint(value, 10, 32)
		if index < 0 || err != nil || limit == 0 {
			return false
		}
		r.limits[index] = uint32(limit)
	}
	return r.limits != numbers{}
}

func (r *root) NewHttpContext(uint32) types.HttpContext {
	return &rateLimit{limits: r.limits}
}

type rateLimit struct {
	types.DefaultHttpContext
	limits numbers
	// For the response: RateLimit-Limit, -Remaining, -Reset.
	fields [][2]string
}

func (r *rateLimit) OnHttpRequestHeaders(int, bool) types.Action {
	standing, err := r.count()
	if err != nil {
		// A limit that does not work shall not be an outage.
		proxywasm.LogWarnf("no count, the request passes: %v", err)
		return types.ActionContinue
	}
	fields := [][2]string{
		{"ratelimit-limit", fmt.Sprint(standing.limit)},
		{"ratelimit-remaining", fmt.Sprint(max(standing.left, 1) - 1)},
		{"ratelimit-reset", fmt.Sprint(standing.reset)},
	}
	if standing.left > 0 {
		r.fields = fields
		return types.ActionContinue
	}
	headers := append([][2]string{{"content-type", "application/json"}, {"retry-after", fields[2][1]}}, fields...)
	body := fmt.Sprintf("{\"error\":\"more than %d requests in this %s\"}\n", standing.limit, standing.window)
	if err := proxywasm.SendHttpResponse(429, headers, []byte(body), -1); err != nil {
		proxywasm.LogErrorf("no response: %v", err)
	}
	return types.ActionPause
}

func (r *rateLimit) OnHttpResponseHeaders(int, bool) types.Action {
	for _, field := range r.fields {
		if err := proxywasm.ReplaceHttpResponseHeader(field[0], field[1]); err != nil {
			proxywasm.LogErrorf("%s: %v", field[0], err)
		}
	}
	return types.ActionContinue
}

// Where a client stands with one limit; left counts the request that asks.
type standing struct {
	window      string
	limit, left uint32
	reset       int64
}

// Counts the request, unless it is over a limit.
func (r *rateLimit) count() (standing, error) {
	address, err := proxywasm.GetProperty([]string{"source", "address"})
	if err != nil {
		return standing{}, err
	}
	key := "rates/" + withoutPort(string(address))
	now := time.Now().Unix()
	for range tries {
		entry, cas, err := proxywasm.GetSharedData(key)
		if err != nil && !errors.Is(err, types.ErrorStatusNotFound) {
			return standing{}, err
		}
		counts := read(entry, now)
		standing := r.standing(counts, now)
		if standing.left == 0 {
			return standing, nil
		}
		err = proxywasm.SetSharedData(key, oneMore(counts, now), cas)
		if !errors.Is(err, types.ErrorStatusCasMismatch) {
			return standing, err
		}
	}
	return standing{}, types.ErrorStatusCasMismatch
}

// With the limit that has the least left; of several such, the one of the longest window.
func (r *rateLimit) standing(counts numbers, now int64) (least standing) {
	for i, limit := range r.limits {
		left := max(limit, counts[i]) - counts[i]
		if limit > 0 && (least.limit == 0 || left < least.left) {
			least = standing{windows[i], limit, left, seconds[i] - now%seconds[i]}
		}
	}
	return least
}

// An entry has two numbers for each window, little endian: which window it is, and the requests in it. Those of a window
// that is over count as none.
func read(entry []byte, now int64) (counts numbers) {
	for i := range counts {
		if len(entry) >= 8*(i+1) && binary.LittleEndian.Uint32(entry[8*i:]) == uint32(now/seconds[i]) {
			counts[i] = binary.LittleEndian.Uint32(entry[8*i+4:])
		}
	}
	return counts
}

// The entry with one request more in each window.
func oneMore(counts numbers, now int64) (entry []byte) {
	for i, count := range counts {
		entry = binary.LittleEndian.AppendUint32(entry, uint32(now/seconds[i]))
		entry = binary.LittleEndian.AppendUint32(entry, count+1)
	}
	return entry
}

// Envoy has the port in it, and so has nginx with `proxy_wasm_property_format envoy`: "[::1]:443", "127.0.0.1:443".
func withoutPort(address string) string {
	colon := strings.LastIndexByte(address, ':')
	if colon >= 0 && (address[0] == '[' || strings.IndexByte(address, ':') == colon) {
		return address[:colon]
	}
	return address
}
