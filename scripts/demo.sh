#!/usr/bin/env bash
# demo.sh: nginx with the filters of examples/, on loopback; sends requests and shows what the filters changed in them.
# Needs what `make demo` builds before. KEEP=1 leaves nginx running.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

nginx=$top/target/nginx/release/nginx
prefix=$top/target/demo
failed=0

running() { [ -f "$prefix/nginx.pid" ] && kill -0 "$(cat "$prefix/nginx.pid" 2>/dev/null)" 2>/dev/null; }
stop() {
    running || return 0
    kill -QUIT "$(cat "$prefix/nginx.pid")"
    for _ in $(seq 100); do
        running || return 0
        sleep 0.05
    done
    kill -TERM "$(cat "$prefix/nginx.pid")"
}

if running; then
    note "stopping the nginx of an earlier demo"
    stop
fi
rm -rf "$prefix"
mkdir -p "$prefix/modules" "$prefix/filters"
cp "$top/target/modules/release/ngx_wasmx_module.so" "$prefix/modules/"
cp "$top"/target/examples/*.wasm "$prefix/filters/"

# start PORT: 0 when nginx listens there.
start() {
    sed "s/127\.0\.0\.1:8080/127.0.0.1:$1/" "$top/examples/nginx.conf" >"$prefix/nginx.conf"
    "$nginx" -p "$prefix/" -c "$prefix/nginx.conf" 2>"$prefix/start.log"
}
say "starting nginx with five filters (a second)"
port=8080
until ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && start "$port"; do
    # Taken, also in the moment between: the next one. Any other failure is one.
    if [ -s "$prefix/start.log" ] && ! grep -q 'Address already in use' "$prefix/start.log"; then
        cat "$prefix/start.log" >&2
        die "nginx does not start"
    fi
    : >"$prefix/start.log"
    port=$((20000 + RANDOM % 10000))
done
trap stop EXIT
url=http://127.0.0.1:$port

get() { curl -sS -i --max-time 10 "$@" | tr -d '\r' | grep -v '^Date: '; }
# exchange TITLE FILTER PATH EXPECTED [CURL OPTION...]: one request with the filter, beside the same one without.
exchange() {
    local title=$1 filter=$2 path=$3 expected=$4 option quoted=
    shift 4
    for option; do
        case $option in *' '*) quoted+=" '$option'" ;; *) quoted+=" $option" ;; esac
    done
    printf '\n%s\n    nginx.conf: location %s { %s; }\n    $ curl -i%s %s\n\n' "$title" "$path" "$filter" "$quoted" "$url$path"
    get "$@" "$url/plain" >"$prefix/plain"
    get "$@" "$url$path" >"$prefix/filtered"
    diff --unchanged-line-format='      %L' --old-line-format='    - %L' --new-line-format='    + %L' \
        "$prefix/plain" "$prefix/filtered" || true
    if ! grep -qF "$expected" "$prefix/filtered"; then
        printf '\n    WRONG: there should be a line with "%s"\n' "$expected"
        failed=1
    fi
}

printf '\n+ what the filter made of it, - what it is without the filter\n'
exchange "1. A header added to the request, as the upstream tells, and one to the response" \
    "proxy_wasm hello_headers" /hello "x-hello: upstream"
grep -q '^x-hello: client' "$prefix/filtered" || failed=1
exchange "2. The body rewritten on the fly" \
    "proxy_wasm rewrite_body 'nginx=WasmX in nginx'" /rewrite "Hello from WasmX in nginx."
exchange "3. A request without a key, answered by the filter: the upstream is not asked" \
    "proxy_wasm api_key 'open sesame'; proxy_wasm hello_headers" /secret "HTTP/1.1 401"
exchange "4. A request with a wrong key" \
    "proxy_wasm api_key 'open sesame'; proxy_wasm hello_headers" /secret "HTTP/1.1 403" -H "x-api-key: hush"
exchange "5. A request with the right key, which the filter takes away; the next filter of the chain adds its headers" \
    "proxy_wasm api_key 'open sesame'; proxy_wasm hello_headers" /secret "x-hello: upstream" -H "x-api-key: open sesame"
grep -q '^x-api-key: open' "$prefix/filtered" && failed=1
exchange "6. A request that a service decides upon, without a token: the filter asks, and passes the refusal on" \
    "proxy_wasm auth_call 'auth /check 5000'" /members "HTTP/1.1 401"
exchange "7. With the right token: the service says who it is, and the upstream hears of it" \
    "proxy_wasm auth_call 'auth /check 5000'" /members "x-auth-user: ali" -H "authorization: Bearer sesame"
# Both in the same hour.
[ $(($(date +%s) % 3600)) -lt 3590 ] || sleep 10
get "$url/limited" >"$prefix/first"
grep -q '^ratelimit-remaining: 0' "$prefix/first" || failed=1
exchange "8. A client's second request in an hour, where one is allowed" \
    "proxy_wasm rate_limit 'hour=1'" /limited "HTTP/1.1 429"

if grep -E '\[(alert|emerg|crit)\]' "$prefix/error.log"; then failed=1; fi
echo
if [ $failed -ne 0 ]; then
    die "an exchange is not what it should be; the error log is $prefix/error.log"
fi
if [ "${KEEP:-0}" != 0 ]; then
    trap - EXIT
    cat <<TEXT
nginx is running: $url/hello, /rewrite, /secret, /members, /limited
    its nginx.conf:  $prefix/nginx.conf
    its error log:   $prefix/error.log
    reload:          kill -HUP \$(cat $prefix/nginx.pid)
    stop:            kill -QUIT \$(cat $prefix/nginx.pid)
TEXT
else
    stop
    trap - EXIT
    echo "All as it should be; nginx is stopped. To keep it running: make demo KEEP=1"
fi
