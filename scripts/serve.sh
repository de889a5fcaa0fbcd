# Sourced by the tests of packages and of nginx's own build: one nginx on loopback, one request through a filter.
# shellcheck shell=bash

# The parts of a configuration: the filter of examples/, and a server whose upstream, the same nginx, tells what it was sent.
main_part() {
    printf 'worker_processes 1;\npid %s/nginx.pid;\nerror_log %s/error.log info;\n' "$1" "$1"
    printf 'wasm { module hello_headers %s/target/examples/hello_headers.wasm; }\n' "$top"
}
http_part() {
    local dir=$1 port=$2 temp
    for temp in client_body proxy fastcgi uwsgi scgi; do printf '%s_temp_path %s/temp/%s;\n' "$temp" "$dir" "$temp"; done
    cat <<CONF
access_log off;
server {
    listen 127.0.0.1:$port;
    location / {
        proxy_wasm hello_headers;
        proxy_pass http://127.0.0.1:$port;
        proxy_set_header Host upstream.test;
    }
}
server {
    listen 127.0.0.1:$port;
    server_name upstream.test;
    location / { return 200 "the upstream was sent \$http_x_hello\\n"; }
}
CONF
}
# A whole configuration: plain_conf DIR PORT, with the module of $module.
plain_conf() {
    printf 'load_module %s;\nevents {}\n' "$module"
    main_part "$1"
    printf 'http {\n%s\n}\n' "$(http_part "$1" "$2")"
}

running() { [ -s "$1/nginx.pid" ] && kill -0 "$(cat "$1/nginx.pid" 2>/dev/null)" 2>/dev/null; }
stop() {
    running "$1" || return 0
    kill -QUIT "$(cat "$1/nginx.pid")"
    for _ in $(seq 100); do
        running "$1" || return 0
        sleep 0.05
    done
    kill -TERM "$(cat "$1/nginx.pid")"
}

# serves DIR CONF NGINX [OPTION...]: nginx takes the configuration that `CONF DIR PORT` prints, changes a request and its
# response, ends, and logs nothing bad.
serves() {
    local dir=$1 conf=$2 port said rc=0
    shift 2
    rm -rf "$dir"
    mkdir -p "$dir/temp"
    for _ in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 10000))
        "$conf" "$dir" $port >"$dir/nginx.conf"
        "$@" -c "$dir/nginx.conf" -t 2>"$dir/start.log" && "$@" -c "$dir/nginx.conf" 2>>"$dir/start.log" && break
        grep -q 'Address already in use' "$dir/start.log" || break
    done
    # It goes into the background before it writes its pid.
    for _ in $(seq 100); do ! running "$dir" || break; sleep 0.05; done
    running "$dir" || { cat "$dir/start.log" >&2; note "$1 does not start"; return 1; }
    said=$(curl -sS -i --max-time 10 "http://127.0.0.1:$port/" | tr -d '\r') || rc=1
    stop "$dir"
    grep -qx 'x-hello: client' <<<"$said" && grep -qx 'the upstream was sent upstream' <<<"$said" || rc=1
    ! grep -E '\[(alert|emerg|crit)\]' "$dir/error.log" >&2 || rc=1
    [ $rc -eq 0 ] || note "wrong: $said; $dir/error.log"
    return $rc
}

# What nginx compares when it loads a module: word sizes and one digit for each feature.
signature() { LC_ALL=C grep -aoE '[0-9],[0-9],[0-9],[01]{20,}' "$1" | head -n 1; }
