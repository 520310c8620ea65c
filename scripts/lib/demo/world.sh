# What the demo runs in and on: a testbed of its own, the daemon, the load; and the end of them all.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

# So many clients for each of the four listeners (two proxies, 80 and 443). The strict ones retry
# nothing and are counted apart, because a reload of nginx may cost one of them a request.
readonly CLIENTS=(--new 20@40 --standard 40@60 --slow 4 --stream 2 --ws 4@8)
readonly CLIENTS_COUNT=70 # the sum of these
readonly STRICT=(--strict 10@20)
readonly STRICT_COUNT=10
readonly LISTENERS=4

# ---------------------------------------------------------------- beginning

# Sets `binaries` unless they were named.
build() {
  if [[ -z $binaries ]]; then
    cargo build --quiet --locked --manifest-path "$root/Cargo.toml" --package verdigris --package verdigris-load
    binaries=$root/target/debug
  fi
  "$root/scripts/images" build
}

begin_testbed() {
  "$root/scripts/testbed" up >"$scratch/testbed.log" 2>&1 || return 1
  local lines
  lines=$("$root/scripts/testbed" env)
  set -a
  eval "$lines"
  set +a
  home=$TESTBED_DIR/demo
  mkdir -p "$home"
  echo $$ >"$home/demo.pid"
  export VERDIGRIS_DAEMON=unix:$home/verdigris.sock REGISTRY=$TESTBED_IMAGES
}

push_images() {
  local edition
  for edition in 1.0 2.0 3.0; do image "books-ms:$edition" "BOOKS_EDITION=$edition"; done
  image books-ms:3.1 BOOKS_EDITION=3.1 BOOKS_FAULT=wrong-answers
  image books-ms-tests:1.0
  image books-ms-tests:unhappy TESTS_MODE=fail-on=post-integration
}

image() { "$root/scripts/images" variant "$@" >/dev/null; }

# The configuration of the testbed, with templates that can be edited.
write_configuration() {
  cp "$root/templates/nginx.conf.tera" "$root/templates/haproxy.cfg.tera" "$home/"
  "$root/scripts/testbed" config --registry "$registry" --proxy both --state "$home/state" \
    --listen "unix:$home/verdigris.sock" |
    sed -e "/^kind = \"nginx\"/a template = \"$home/nginx.conf.tera\"" \
      -e "/^kind = \"haproxy\"/a template = \"$home/haproxy.cfg.tera\"" >"$home/verdigris.toml"
}

# In a session of its own, so that `--keep` can leave it behind.
begin_daemon() {
  setsid "$verdigris" serve --config "$home/verdigris.toml" </dev/null >"$home/daemon.log" 2>&1 &
  daemon=$!
  echo "$daemon" >"$home/daemon.pid"
  logs+=("$home/daemon.log")
  local attempt
  for attempt in $(seq 300); do
    if ready; then return; fi
    if ! kill -0 "$daemon" 2>/dev/null; then return 1; fi
    sleep 0.1
  done
  return "$attempt"
}

ready() {
  [[ $(curl -s -o /dev/null --max-time 2 -w '%{http_code}' --unix-socket "$home/verdigris.sock" http://daemon/readyz) == 200 ]]
}

# ---------------------------------------------------------------- load

begin_load() {
  loads=()
  begin_clients everybody "${CLIENTS[@]}" "${to_nginx[@]}" "${to_haproxy[@]}"
  begin_clients strict-haproxy "${STRICT[@]}" "${to_haproxy[@]}"
  begin_clients strict-nginx "${STRICT[@]}" "${to_nginx[@]}"
}

begin_clients() {
  local name=$1
  shift
  # Streams end sooner than the old colour's time to drain.
  "$load" --host "$HOST" --ca "$TESTBED_CA" --delay 800 --length 3 --quiet \
    --report "$scratch/$name.json" "$@" </dev/null >"$scratch/$name.log" 2>&1 &
  loads+=($!)
}

# Every client has its answer, or its loss, before this returns.
end_load() {
  local pid
  for pid in "${loads[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${loads[@]}"; do wait "$pid" || true; done
  loads=()
}

# counted FILTER REPORT…: the sum of a number over reports.
counted() {
  local filter=$1 name files=()
  shift
  for name in "$@"; do files+=("$scratch/$name.json"); done
  jq -s "map($filter) | add" "${files[@]}"
}

# ---------------------------------------------------------------- the end

# On every way out. Ends what this script started, by process id, and nothing else.
clean_up() {
  local status=$? pid
  trap '' INT TERM
  set +e # whatever fails, the rest is still to be ended
  if $lively; then printf '\r\e[K\e[?25h'; fi
  for pid in "${loads[@]}" ${deploying:-}; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${loads[@]}" ${deploying:-}; do wait "$pid" 2>/dev/null || true; done
  if ! $kept; then
    end_daemon
    if $owned; then "$root/scripts/testbed" down >/dev/null 2>&1 || echo 'demo: the testbed is not wholly gone' >&2; fi
  fi
  rm -rf "$scratch"
  exit "$status"
}

end_daemon() {
  if [[ -z ${daemon:-} ]]; then return 0; fi
  kill -TERM "$daemon" 2>/dev/null || return 0
  local attempt
  for attempt in $(seq 100); do
    # Explicitly 0: within a trap a bare return gives what was before it.
    if ! kill -0 "$daemon" 2>/dev/null; then return 0; fi
    sleep 0.1
  done
  echo "demo: the daemon did not end in ${attempt}00 ms: killed" >&2
  kill -KILL "$daemon" 2>/dev/null || true
}

# What an earlier `--keep` left: its daemon and its testbed. A demo that still goes on is let alone.
end_kept() {
  local directory
  directory=$("$root/scripts/testbed" env 2>/dev/null | sed -n 's/^TESTBED_DIR=//p') || true
  if is_process "$directory/demo/demo.pid" scripts/demo; then
    echo "demo: another one is running (process $(cat "$directory/demo/demo.pid")): wait for it, or set TESTBED_NAME" >&2
    exit 1
  fi
  if is_process "$directory/demo/daemon.pid" "$directory/demo/verdigris.toml"; then
    daemon=$(cat "$directory/demo/daemon.pid")
    end_daemon
    daemon=''
  fi
  "$root/scripts/testbed" down >/dev/null 2>&1
}

# Whether the file names a process whose command line has WORD: an old id may be another process' by now.
is_process() {
  local file=$1 word=$2 pid
  if [[ ! -s $file ]]; then return 1; fi
  pid=$(cat "$file")
  [[ $pid =~ ^[0-9]+$ && -r /proc/$pid/cmdline ]] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$word"
}
