# Docker engines, each on a "machine" of its own: network namespace, mounts, host name, control group.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

engine_dir() { echo "$dir/node$1"; }
engine_pid_file() { echo "$dir/node$1/pid"; }
engine_socket() { echo "$dir/node$1/docker.sock"; }

# engine_api NODE METHOD PATH [BODY]: prints the answer; fails on an HTTP error.
engine_api() {
  local node=$1 method=$2 path=$3
  local arguments=(-sS --fail-with-body --max-time 30 --unix-socket "$(engine_socket "$node")" -X "$method")
  if (($# > 3)); then arguments+=(-H 'Content-Type: application/json' -d "$4"); fi
  curl "${arguments[@]}" "http://engine$path"
}

engine_answers() {
  runs "$(engine_pid_file "$1")" && engine_api "$1" GET /_ping >/dev/null 2>&1
}

start_engines() {
  local node
  for node in $(seq "$nodes"); do start_engine "$node"; done
}

# Not by `ip netns exec`: it hides the mounts of cgroup v1, and dockerd then refuses to start.
# /run, /etc and /opt are the engine's own copies, for it writes to all three (sockets,
# /etc/docker/key.json, /opt/containerd). TESTBED_ENGINE_PATH is a directory of another engine's
# binaries (dockerd, containerd, runc and their helpers), to try a version that is not installed.
start_engine() {
  local node=$1 home
  home=$(engine_dir "$node")
  mkdir -p "$home/data"
  rm -f "$home/docker.sock" "$home/dockerd.pid"
  write_engine_configuration "$node" "$home"
  # shellcheck disable=SC2016
  start_process "$home/pid" "$home/log" \
    nsenter --net="/run/netns/$prefix-node$node" unshare --mount --uts --propagation private \
    bash -euc '
      mount -t tmpfs -o mode=755 tmpfs /run
      for copy in etc opt; do
        if [ ! -d "/$copy" ]; then continue; fi
        mkdir "/run/$copy" "/run/$copy-work"
        mount -t overlay overlay -o "lowerdir=/$copy,upperdir=/run/$copy,workdir=/run/$copy-work" "/$copy"
      done
      hostname "$1"
      PATH=${3:+$3:}$PATH exec dockerd --config-file "$2"' \
    dockerd "node$node" "$home/daemon.json" "$(cat "$dir/engine-path")"
}

write_engine_configuration() {
  local node=$1 home=$2
  # The engine's own list of system calls is compiled anew for each process that runc starts in a
  # container: of a health check it is two fifths of the cost. Nobody hostile runs in a testbed.
  echo '{"defaultAction": "SCMP_ACT_ALLOW"}' >"$home/seccomp.json"
  jq -n --arg home "$home" --arg group "/$(cgroup_of "node$node")" \
    --arg open "$registry_address" --arg private "$private_address" '{
      "hosts": ["unix://\($home)/docker.sock"],
      "data-root": "\($home)/data",
      "exec-root": "/run/docker",
      "pidfile": "\($home)/dockerd.pid",
      "exec-opts": ["native.cgroupdriver=cgroupfs"],
      "cgroup-parent": $group,
      "insecure-registries": [$open, $private],
      "log-level": "warn",
      "shutdown-timeout": 5,
      "seccomp-profile": "\($home)/seccomp.json"
    }' >"$home/daemon.json"
}

# The first engine is the manager.
join_swarm() {
  local token node
  await 15 'the first engine' engine_answers 1 || fail 'the first engine does not answer'
  engine_api 1 POST /swarm/init "$(swarm_request 1)" >/dev/null
  if ((nodes > 1)); then
    token=$(engine_api 1 GET /swarm | jq -r .JoinTokens.Worker)
    for node in $(seq 2 "$nodes"); do
      await 30 "engine $node" engine_answers "$node" || fail "engine $node does not answer"
      engine_api "$node" POST /swarm/join "$(swarm_request "$node" "$token")" >/dev/null
    done
  fi
  await 30 "$nodes ready nodes in the Swarm" swarm_is_whole || fail 'the Swarm is not whole'
}

swarm_request() {
  local address
  address=$(node_address "$1")
  jq -n --arg address "$address" --arg manager "$(node_address 1):2377" --arg token "${2:-}" '
    {ListenAddr: "\($address):2377", AdvertiseAddr: $address, DataPathAddr: $address}
    + if $token == "" then {} else {RemoteAddrs: [$manager], JoinToken: $token} end'
}

swarm_is_whole() {
  local ready
  ready=$(engine_api 1 GET /nodes | jq '[.[] | select(.Status.State == "ready")] | length')
  [[ $ready == "$nodes" ]]
}

# ---------------------------------------------------------------- one engine, for tests

verb_engine() {
  local node=${1:-} act=${2:-}
  if [[ ! $node =~ ^[0-9]+$ ]] || ((node < 1 || node > nodes)); then
    usage_error "engine takes a number from 1 to $nodes"
  fi
  case $act in
    start)
      if engine_answers "$node"; then return; fi
      kill_engine "$node"
      start_engine "$node"
      await 30 "engine $node" engine_answers "$node" || fail "engine $node does not start"
      ;;
    stop)
      stop_process "$(engine_pid_file "$node")" TERM 30
      kill_engine "$node"
      ;;
    kill) kill_engine "$node" ;;
    status) report "node$node" "$(node_address "$node")" "$(engine_pid_file "$node")" engine_answers "$node" || exit 3 ;;
    *) usage_error 'engine N takes start, stop, kill or status' ;;
  esac
}

# As a machine that loses power: the engine, its shims and its containers, all at once.
kill_engine() {
  local node=$1 attempt pids
  for attempt in $(seq 100); do
    pids=$(engine_pids "$node")
    if [[ -z $pids ]]; then
      rm -f "$(engine_pid_file "$node")"
      return
    fi
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep 0.02
  done
  fail "engine $node does not end ($attempt attempts)"
}

engine_pids() {
  {
    ip netns pids "$prefix-node$1" 2>/dev/null || true
    find /sys/fs/cgroup -path "*/$(cgroup_of "node$1")/*" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  } | sort -un | grep -vx 0 || true
}
