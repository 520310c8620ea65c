# What others need to know: `env` for shells, `config` for the deployer.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

verb_env() {
  need_up
  local node
  line TESTBED_NAME "$name"
  line TESTBED_DIR "$dir"
  line DOCKER_HOST "unix://$(engine_socket 1)"
  line CONSUL_HTTP_ADDR "http://$consul_address"
  line TESTBED_IMAGES "$registry_address"
  line TESTBED_PRIVATE_IMAGES "$private_address"
  line TESTBED_PRIVATE_USER "$(cat "$dir/private-registry/user")"
  line TESTBED_PRIVATE_PASSWORD "$(cat "$dir/private-registry/password")"
  line TESTBED_SECURE_CONSUL "https://$secure_consul_address"
  line TESTBED_SECURE_CONSUL_TOKEN_FILE "$dir/secure-consul/token"
  line TESTBED_NGINX "$nginx_address"
  line TESTBED_HAPROXY "$haproxy_address"
  line TESTBED_CA "$dir/ca.pem"
  line TESTBED_TOKEN_FILE "$dir/token"
  line TESTBED_GATEWAY "$subnet.1"
  line TESTBED_NODES "$(for node in $(seq "$nodes"); do node_address "$node"; done | paste -sd ' ')"
  for node in $(seq "$nodes"); do line "TESTBED_NODE${node}_HOST" "unix://$(engine_socket "$node")"; done
  line TESTBED_NGINX_PID "$(pid_of "$dir/nginx/nginx.pid")"
  line TESTBED_HAPROXY_PID "$(pid_of "$dir/haproxy/haproxy.pid")"
  line TESTBED_CONSUL_PID "$(pid_of "$dir/consul/pid")"
  line TESTBED_EDGE_NETNS "$prefix-edge"
  line TESTBED_IN_EDGE "$dir/edge/in-edge"
}

line() { printf '%s=%q\n' "$1" "$2"; }

verb_config() {
  local registry='' proxy='' state='' docker_config='' listen=()
  while (($# > 0)); do
    if [[ $1 != --* || $# -lt 2 ]]; then usage_error "config: what is \`$1\`?"; fi
    case $1 in
      --registry) registry=$2 ;;
      --proxy) proxy=$2 ;;
      --state) state=$2 ;;
      --listen) listen+=("$2") ;;
      --docker-config) docker_config=$2 ;;
      *) usage_error "config: unknown flag \`$1\`" ;;
    esac
    shift 2
  done
  case $registry in
    embedded | consul | secure-consul) ;;
    *) usage_error 'config needs --registry embedded, consul or secure-consul' ;;
  esac
  case $proxy in nginx | haproxy | both) ;; *) usage_error 'config needs --proxy nginx, haproxy or both' ;; esac
  need_up
  state=${state:-$dir/verdigris}
  if ((${#listen[@]} == 0)); then listen=("unix:$state/verdigris.sock"); fi

  print_daemon
  print_registry
  if [[ $proxy != haproxy ]]; then print_nginx; fi
  if [[ $proxy != nginx ]]; then print_haproxy; fi
  if [[ " ${listen[*]}" == *' tcp:'* ]]; then print_token; fi
}

print_daemon() {
  local quoted
  quoted=$(printf '"%s", ' "${listen[@]}")
  cat <<TOML
# Verdigris on the testbed \`$name\`.
[daemon]
state = "$state"
listen = [${quoted%, }]

$(print_engine swarm)

$(print_engine ci)
TOML
}

# All engines see all of the images, so the first serves for both.
print_engine() {
  printf '[%s]\nhost = "unix://%s"' "$1" "$(engine_socket 1)"
  if [[ -n $docker_config ]]; then printf '\ndocker_config = "%s"' "$docker_config"; fi
}

print_registry() {
  case $registry in
    embedded) printf '\n[registry]\nkind = "embedded"\n' ;;
    consul)
      printf '\n[registry]\nkind = "consul"\naddress = "http://%s"\nprefix = "verdigris"\n' "$consul_address"
      ;;
    secure-consul)
      printf '\n[registry]\nkind = "consul"\naddress = "https://%s"\nprefix = "verdigris"\n' "$secure_consul_address"
      printf 'ca = "%s"\ntoken_file = "%s"\n' "$dir/ca.pem" "$dir/secure-consul/token"
      ;;
  esac
}

# Whoever listens on TCP wants a token: this is that of TESTBED_TOKEN_FILE.
print_token() {
  cat <<TOML

[[token]]
name = "testbed"
hash = "$(tr -d '\n' <"$dir/token" | sha256sum | cut -d' ' -f1)"
scopes = ["read", "deploy", "operate"]
TOML
}

print_nginx() {
  cat <<TOML

[[proxy]]
name = "edge-nginx"
kind = "nginx"
output = "$dir/nginx/nginx.conf"
flags = "$dir/nginx/flags"
check = ["$dir/edge/in-edge", "nginx", "-p", "$dir/nginx/", "-e", "stderr", "-t", "-q", "-c", "{file}"]
pid_file = "$dir/nginx/nginx.pid"
$(print_addresses "$nginx_address")
TOML
}

print_haproxy() {
  cat <<TOML

[[proxy]]
name = "edge-haproxy"
kind = "haproxy"
output = "$dir/haproxy/haproxy.cfg"
map = "$dir/haproxy/hosts.map"
check = ["$dir/edge/in-edge", "haproxy", "-c", "-f", "{file}"]
master_socket = "$dir/haproxy/master.sock"
runtime_socket = "$dir/haproxy/runtime.sock"
pid_file = "$dir/haproxy/haproxy.pid"
$(print_addresses "$haproxy_address")
TOML
}

print_addresses() {
  cat <<TOML
status = "http://$1:$STATUS_PORT"
http = "$1:80"
https = "$1:443"
ca = "$dir/ca.pem"
certificates = "$dir/certs"
TOML
}
