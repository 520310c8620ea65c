# The testbed as a whole: its name, its directory, its lock, up and down.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

readonly DEFAULT_DIR=/var/lib/verdigris-testbed
readonly MAX_NODES=100
readonly MARK=.verdigris-testbed # a directory without this file is never removed

# Sets `name` and `dir` from the environment. Everything else follows from these two.
name_world() {
  name=${TESTBED_NAME:-}
  dir=${TESTBED_DIR:-}
  if [[ -z $dir ]]; then
    name=${name:-default}
    dir=$DEFAULT_DIR
    if [[ $name != default ]]; then dir=$DEFAULT_DIR-$name; fi
  fi
  dir=$(realpath -ms "$dir")
  if [[ -z $name ]]; then
    name=default
    if [[ $dir != "$DEFAULT_DIR" ]]; then
      name=d$(sha256sum <<<"$dir" | cut -c1-8)
    fi
  fi
  if [[ ! $name =~ ^[a-z0-9][a-z0-9-]{0,30}$ ]]; then
    usage_error "TESTBED_NAME \`$name\` must be 1 to 31 of a-z, 0-9 and -"
  fi
  if ((${#dir} > 70)); then
    usage_error "TESTBED_DIR \`$dir\` is too long for the unix sockets in it (70 characters at most)"
  fi
  case $dir/ in
    / | /run/* | /var/run/* | /etc/* | /proc/* | /sys/* | /dev/*)
      usage_error "TESTBED_DIR \`$dir\` cannot hold a testbed: take a directory on a disk"
      ;;
  esac
  prefix=verdigris-$name # of the network namespaces
}

# ---------------------------------------------------------------- the lock

# One `up`, `down` or change at a time per testbed; the lock is on the directory itself, so that
# there is no lock file to leave behind.
with_lock() {
  need_root
  refuse_other_directory
  local attempt
  for attempt in 1 2 3; do
    mkdir -p "$dir"
    exec 9<"$dir"
    if ! flock -w 120 9; then fail "another command has held testbed \`$name\` for 120 s"; fi
    # A `down` that held it before us has removed the directory: lock the new one.
    if [[ /dev/fd/9 -ef $dir ]]; then break; fi
    if ((attempt == 3)); then fail "testbed \`$name\` is being removed over and over"; fi
  done
  "$@"
}

# For the verbs that change one part of a testbed which is up.
on_part() {
  need_up
  with_lock "$@"
}

need_up() {
  need_root
  if [[ ! -s $dir/world ]]; then
    fail "testbed \`$name\` is not up: run \`scripts/testbed up\`"
  fi
  load_world
}

# ---------------------------------------------------------------- what is remembered

# The file `world` holds what cannot be derived: the subnet's number and how many engines there are.
save_world() {
  printf 'index=%s\nnodes=%s\n' "$index" "$nodes" >"$dir/world.new"
  mv "$dir/world.new" "$dir/world"
}

load_world() {
  index=$(sed -n 's/^index=\([0-9]*\)$/\1/p' "$dir/world")
  nodes=$(sed -n 's/^nodes=\([0-9]*\)$/\1/p' "$dir/world")
  if [[ -z $index || -z $nodes ]]; then
    fail "$dir/world is damaged: run \`scripts/testbed down\`"
  fi
  name_addresses
}

# ---------------------------------------------------------------- up

verb_up() {
  local wanted=1 started=$SECONDS
  while (($# > 0)); do
    case $1 in
      --nodes)
        if [[ ! ${2:-} =~ ^[1-9][0-9]{0,2}$ ]] || (($2 > MAX_NODES)); then
          usage_error "--nodes takes a number from 1 to $MAX_NODES"
        fi
        wanted=$2
        shift 2
        ;;
      *) usage_error "up: unknown argument \`$1\`" ;;
    esac
  done
  need_tools ip iptables nsenter unshare setsid flock curl jq openssl perl dockerd nginx haproxy consul
  if [[ -s $dir/world ]]; then
    load_world
    if ((nodes == wanted)) && everything_runs; then
      say "\`$name\` is up already"
      return
    fi
    say "\`$name\` is not whole or not as asked: building it anew"
  fi
  clean
  nodes=$wanted
  make_directory
  trap 'status=$?; trap - EXIT; if ((status != 0)); then give_up; fi; exit $status' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  make_network
  save_world
  make_certificates
  printf '%s' "${TESTBED_ENGINE_PATH:-}" >"$dir/engine-path"
  (umask 077 && openssl rand -hex 32 >"$dir/token")
  start_engines
  start_registry open
  start_registry private
  start_consul
  start_edge
  await_services
  await_edge
  join_swarm
  trap - EXIT INT TERM
  say "\`$name\` is up after $((SECONDS - started)) s in $dir: $nodes engine(s) at ${subnet}.101 and on"
}

make_directory() {
  mkdir -p "$dir"
  if [[ -n $(ls -A "$dir") ]]; then
    fail "$dir holds something that is no testbed: choose another TESTBED_DIR"
  fi
  chmod 755 "$dir" # nginx' workers look for their flag files below it
  : >"$dir/$MARK"
}

give_up() {
  local log
  say 'bringing the testbed up failed'
  for log in "$dir"/*/log; do
    if [[ -s $log ]]; then show_log "$log"; fi
  done
  clean
}

everything_runs() {
  local node
  for node in $(seq "$nodes"); do engine_answers "$node" || return 1; done
  swarm_is_whole && service_answers registry && service_answers private-registry && service_answers consul &&
    proxy_runs nginx && proxy_runs haproxy
}

# ---------------------------------------------------------------- down

verb_down() {
  if (($# > 0)); then usage_error "down: unknown argument \`$1\`"; fi
  clean
  say "\`$name\` is down"
}

# Ends and removes whatever there is of this testbed, in whatever state a crash left it.
clean() {
  end_processes
  remove_cgroups
  remove_network
  remove_mounts
  if [[ -e $dir/$MARK ]]; then
    rm -rf --one-file-system -- "${dir:?}"
  elif [[ -d $dir ]]; then
    rmdir --ignore-fail-on-non-empty "$dir"
  fi
}

# Everything that lives in our network namespaces and control groups: daemons, shims, containers.
end_processes() {
  local attempt pids
  for attempt in $(seq 100); do
    pids=$(our_pids)
    if [[ -z $pids ]]; then return; fi
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep 0.05
  done
  fail "processes do not end ($attempt attempts): $(tr '\n' ' ' <<<"$pids")"
}

our_pids() {
  local namespace
  {
    for namespace in $(our_namespaces); do ip netns pids "$namespace" 2>/dev/null || true; done
    find /sys/fs/cgroup -path "*/$(cgroup_of '')*" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  } | sort -un | grep -vx 0 || true
}

cgroup_of() { echo "verdigris-testbed/$name/$1"; }

remove_cgroups() {
  local attempt left
  for attempt in 1 2 3 4 5; do
    find /sys/fs/cgroup -depth -type d \
      \( -path "*/verdigris-testbed/$name" -o -path "*/verdigris-testbed/$name/*" \) \
      -exec rmdir {} + 2>/dev/null || true
    left=$(find /sys/fs/cgroup -type d -path "*/verdigris-testbed/$name" 2>/dev/null)
    if [[ -z $left ]]; then break; fi
    sleep 0.1
  done
  # The parent goes with the last testbed.
  find /sys/fs/cgroup -maxdepth 2 -type d -name verdigris-testbed -exec rmdir {} + 2>/dev/null || true
  if [[ -n $left ]]; then say "control groups that would not go after $attempt attempts: $left"; fi
}

# Mounts of ours are in private mount namespaces and go with their processes; this is for the rest.
remove_mounts() {
  local mount
  while read -r mount; do
    umount -l "$mount" 2>/dev/null || true
  done < <(awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort -r)
}

# ---------------------------------------------------------------- status

verb_status() {
  local state=0
  need_root
  if [[ ! -s $dir/world ]]; then
    echo "testbed \`$name\` is down"
    exit 3
  fi
  load_world
  report_parts || state=3
  exit "$state"
}

report_parts() {
  local node whole=0
  for node in $(seq "$nodes"); do
    report "node$node" "$(node_address "$node")" "$(engine_pid_file "$node")" engine_answers "$node" || whole=1
  done
  report registry "$registry_address" "$dir/registry/pid" service_answers registry || whole=1
  report private-registry "$private_address" "$dir/private-registry/pid" service_answers private-registry || whole=1
  report consul "$consul_address" "$dir/consul/pid" service_answers consul || whole=1
  report nginx "$nginx_address" "$dir/nginx/nginx.pid" proxy_runs nginx || whole=1
  report haproxy "$haproxy_address" "$dir/haproxy/haproxy.pid" proxy_runs haproxy || whole=1
  return "$whole"
}

report() {
  local what=$1 address=$2 pid_file=$3 word=up
  shift 3
  "$@" >/dev/null 2>&1 || word=down
  printf '%-17s %-5s %-22s pid %s\n' "$what" "$word" "$address" "$(pid_of "$pid_file")"
  [[ $word == up ]]
}
