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

# ---------------------------------------------------------------- Consul, locked

# A second server, only on demand: HTTPS, nothing allowed without a token, and a token that allows
# exactly what a deployer needs.
readonly SECURE_RULES='
key_prefix "verdigris/" { policy = "write" }
service_prefix "" { policy = "write" }
node_prefix "" { policy = "write" }
agent_prefix "" { policy = "read" }
session_prefix "" { policy = "write" }'

start_secure_consul() {
  local home=$dir/secure-consul
  mkdir -p "$home/data"
  if [[ ! -s $home/server.crt ]]; then
    issue_certificate "$home/server" "DNS:server.testbed.consul,DNS:localhost,IP:${secure_consul_address%:*}"
  fi
  write_secure_consul_configuration "$home"
  start_process "$home/pid" "$home/log" \
    nsenter --net="/run/netns/$prefix-hub" consul agent -config-file "$home/consul.json"
}

write_secure_consul_configuration() {
  jq -n --arg home "$1" --arg address "${secure_consul_address%:*}" --arg ca "$dir/ca.pem" '{
      server: true, bootstrap_expect: 1, node_name: "secure-consul", datacenter: "testbed",
      data_dir: "\($home)/data", bind_addr: $address, client_addr: $address,
      disable_update_check: true, disable_host_node_id: true, leave_on_terminate: false,
      log_level: "WARN", performance: { raft_multiplier: 1 },
      ports: { grpc: -1, http: -1, https: 8501 },
      ca_file: $ca, cert_file: "\($home)/server.crt", key_file: "\($home)/server.key",
      acl: { enabled: true, default_policy: "deny" }
    }' >"$1/consul.json"
}

# ask_secure_consul METHOD PATH [BODY]; the tokens stay out of argv.
ask_secure_consul() {
  local body=()
  if (($# > 2)); then body=(-d "$3"); fi
  curl -sS --fail --max-time 5 --cacert "$dir/ca.pem" --config "$dir/secure-consul/curl" -X "$1" \
    "${body[@]}" "https://$secure_consul_address$2"
}

# Once per data directory: the root token, then a lesser one of our making.
hand_out_tokens() {
  local home=$dir/secure-consul root token
  if [[ -s $home/token ]]; then return; fi
  (umask 077 && : >"$home/curl" && : >"$home/root-token")
  root=$(ask_secure_consul PUT /v1/acl/bootstrap | jq -r .SecretID)
  printf '%s' "$root" >"$home/root-token"
  printf 'header = "X-Consul-Token: %s"\n' "$root" >"$home/curl"
  ask_secure_consul PUT /v1/acl/policy \
    "$(jq -n --arg rules "$SECURE_RULES" '{Name: "deployer", Rules: $rules}')" >/dev/null
  token=$(ask_secure_consul PUT /v1/acl/token '{"Policies": [{"Name": "deployer"}]}' | jq -r .SecretID)
  (umask 077 && printf '%s' "$token" >"$home/token.new")
  mv "$home/token.new" "$home/token"
}

verb_secure_consul() {
  local act=${1:-}
  if [[ $act == wipe ]]; then
    stop_process "$dir/secure-consul/pid" KILL 5
    rm -rf "${dir:?}/secure-consul"
    act=start
  fi
  start_part() { start_secure_consul; }
  act_on_service secure-consul "$act"
  # Its leader may be so new that it hands out nothing yet.
  if [[ $act == start ]]; then await 10 'tokens of the secure Consul' hand_out_tokens || fail 'no tokens'; fi
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
    secure-consul)
      runs "$dir/secure-consul/pid" &&
        curl -sf --max-time 2 --cacert "$dir/ca.pem" "https://$secure_consul_address/v1/status/leader" |
        jq -e 'length > 0'
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

part_address() {
  case $1 in
    registry) echo "$registry_address" ;;
    private-registry) echo "$private_address" ;;
    consul) echo "$consul_address" ;;
    secure-consul) echo "$secure_consul_address" ;;
  esac
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
    status) report "$part" "$(part_address "$part")" "$dir/$part/pid" service_answers "$part" || exit 3 ;;
    *) usage_error "unknown act \`$act\` for $part" ;;
  esac
}
