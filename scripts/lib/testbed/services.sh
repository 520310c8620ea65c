# What runs on the hub: two registries of images (open, and one that asks for credentials) and Consul.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

in_hub() { nsenter --net="/run/netns/$prefix-hub" "$@"; }

registry_binary() { command -v docker-registry || command -v registry; }

# ---------------------------------------------------------------- registries of images

registry_home() {
  case $1 in
    open) echo "$dir/registry" ;;
    private) echo "$dir/private-registry" ;;
  esac
}

start_registry() {
  local kind=$1 home
  home=$(registry_home "$kind")
  mkdir -p "$home/data"
  if [[ ! -s $home/config.yml ]]; then write_registry_configuration "$kind" "$home"; fi
  start_process "$home/pid" "$home/log" \
    nsenter --net="/run/netns/$prefix-hub" "$(registry_binary)" serve "$home/config.yml"
}

write_registry_configuration() {
  local kind=$1 home=$2 address=$registry_address
  if [[ $kind == private ]]; then
    address=$private_address
    make_credentials "$home"
  fi
  {
    printf 'version: 0.1\nlog: { level: warn }\n'
    printf 'storage: { filesystem: { rootdirectory: "%s/data" }, delete: { enabled: true } }\n' "$home"
    printf 'http: { addr: "%s", headers: { X-Content-Type-Options: [nosniff] } }\n' "$address"
    if [[ $kind == private ]]; then
      printf 'auth: { htpasswd: { realm: testbed, path: "%s/htpasswd" } }\n' "$home"
    fi
  } >"$home/config.yml"
}

# The password is made for the occasion. It goes to perl by the environment, out of sight of `ps`.
make_credentials() {
  local home=$1 password salt hash
  password=$(openssl rand -hex 12)
  salt=$(openssl rand -hex 11)
  # shellcheck disable=SC2016
  hash=$(PASSWORD=$password perl -e 'print crypt($ENV{PASSWORD}, "\$2y\$05\$" . shift)' "$salt")
  (
    umask 077
    printf 'testbed' >"$home/user"
    printf '%s' "$password" >"$home/password"
    printf 'testbed:%s\n' "$hash" >"$home/htpasswd"
  )
}

verb_registry() {
  local kind=open part=registry
  if [[ ${1:-} == private ]]; then
    kind=private
    part=private-registry
    shift
  fi
  start_part() { start_registry "$kind"; }
  act_on_service "$part" "${1:-}"
}

# ---------------------------------------------------------------- Consul

start_consul() {
  local home=$dir/consul
  mkdir -p "$home/data"
  write_consul_configuration "$home"
  start_process "$home/pid" "$home/log" \
    nsenter --net="/run/netns/$prefix-hub" consul agent -config-file "$home/consul.json"
}

# One server, data on disk. The raft is made quick because there is nobody to wait for.
write_consul_configuration() {
  jq -n --arg home "$1" --arg address "$hub_address" '{
      server: true, bootstrap_expect: 1, node_name: "consul", datacenter: "testbed",
      data_dir: "\($home)/data", bind_addr: $address, client_addr: $address,
      disable_update_check: true, disable_host_node_id: true, leave_on_terminate: false,
      log_level: "WARN", performance: { raft_multiplier: 1 }, ports: { grpc: -1 }
    }' >"$1/consul.json"
}

# ---------------------------------------------------------------- both

service_answers() {
  local code
  case $1 in
    registry)
      runs "$dir/registry/pid" && curl -sf --max-time 2 -o /dev/null "http://$registry_address/v2/"
      ;;
    private-registry)
      code=$(curl -s --max-time 2 -o /dev/null -w '%{http_code}' "http://$private_address/v2/")
      runs "$dir/private-registry/pid" && [[ $code == 401 ]]
      ;;
    consul) # A leader, and its own node in the catalog: only then are registrations accepted.
      runs "$dir/consul/pid" &&
        curl -sf --max-time 2 "http://$consul_address/v1/catalog/nodes" | jq -e 'length > 0'
      ;;
  esac
}

await_services() {
  local part
  for part in registry private-registry consul; do
    await 20 "$part" service_answers "$part" || fail "$part does not start"
  done
}

verb_service() {
  local part=$1 act=${2:-}
  if [[ $act == wipe ]]; then
    stop_process "$dir/$part/pid" KILL 5
    rm -rf "${dir:?}/$part/data"
    act=start
  fi
  start_part() { start_consul; }
  act_on_service "$part" "$act"
}

act_on_service() {
  local part=$1 act=$2
  case $act in
    start)
      if service_answers "$part" >/dev/null; then return; fi
      stop_process "$dir/$part/pid" KILL 5
      start_part
      await 20 "$part" service_answers "$part" || fail "$part does not start"
      ;;
    stop) stop_process "$dir/$part/pid" TERM 10 ;;
    kill) stop_process "$dir/$part/pid" KILL 5 ;;
    status) report "$part" "$hub_address" "$dir/$part/pid" service_answers "$part" || exit 3 ;;
    *) usage_error "unknown act \`$act\` for $part" ;;
  esac
}
