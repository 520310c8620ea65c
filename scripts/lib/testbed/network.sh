# Network namespaces and the subnet that joins them.
#
# `hub` holds the bridge, the registries of images and Consul; `edge` the two proxies; `nodeN` one
# engine each. The root namespace has one leg on the bridge and is not otherwise changed: the bridge
# is not in it, so a firewall of the host (Docker's own, say) has no word in the testbed's traffic.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

# 198.18.0.0/15 is set aside for bench tests (RFC 2544), so nothing real is hidden by it.
name_addresses() {
  subnet=198.$((18 + index / 256)).$((index % 256))
  leg=vgd$index # the root namespace's interface
  hub_address=$subnet.2
  registry_address=$subnet.2:5000
  private_address=$subnet.2:5001
  consul_address=$subnet.2:8500
  secure_consul_address=$subnet.3:8501
  nginx_address=$subnet.10
  haproxy_address=$subnet.11
}

node_address() { echo "$subnet.$((100 + $1))"; }

our_namespaces() {
  ip netns list | awk -v prefix="$prefix-" '
    index($1, prefix) == 1 && substr($1, length(prefix) + 1) ~ /^(hub|edge|node[0-9]+)$/ { print $1 }'
}

in_our_namespace() {
  local namespace
  for namespace in $(our_namespaces); do
    if [[ /proc/$1/ns/net -ef /run/netns/$namespace ]]; then return 0; fi
  done
  return 1
}

make_network() {
  local node
  claim_subnet
  name_addresses
  ip netns exec "$prefix-hub" sh -c "
    ip link add lan type bridge
    ip link set lan up
    ip address add $hub_address/24 dev lan
    ip address add ${secure_consul_address%:*}/24 dev lan"
  plug_root_leg
  plug edge "$nginx_address" "$haproxy_address"
  ip netns exec "$prefix-edge" sh -c '
    sysctl -qw net.ipv4.ip_local_port_range="1024 65535" net.ipv4.tcp_tw_reuse=1 net.core.somaxconn=8192'
  for node in $(seq "$nodes"); do plug "node$node" "$(node_address "$node")"; done
}

# Takes the first free number from one that the name suggests. The root leg is the claim, so nothing
# but the interface itself can be left behind; its alias says whose it is.
claim_subnet() {
  local first attempt
  first=$((0x$(sha256sum <<<"$name" | cut -c1-4) % 512))
  exec 8</run
  flock -w 60 8 || fail 'another testbed has held the subnets for 60 s'
  for attempt in $(seq 0 511); do
    index=$(((first + attempt) % 512))
    name_addresses
    if [[ ! -e /sys/class/net/$leg && -z $(ip route show "$subnet.0/24") ]]; then
      ip netns add "$prefix-hub"
      ip link add "$leg" type veth peer name root netns "$prefix-hub"
      ip link set "$leg" alias "verdigris-testbed $name $dir"
      exec 8<&-
      return
    fi
  done
  fail 'every one of the 512 subnets of 198.18.0.0/15 is taken'
}

plug_root_leg() {
  ip -n "$prefix-hub" link set lo up
  ip -n "$prefix-hub" link set root master lan up
  ip address add "$subnet.1/24" dev "$leg"
  ip link set "$leg" up
}

# plug NAMESPACE ADDRESS…: a namespace with one interface on the bridge.
plug() {
  local what=$1 address
  shift
  ip netns add "$prefix-$what"
  ip -n "$prefix-$what" link set lo up
  ip link add eth0 netns "$prefix-$what" type veth peer name "$what" netns "$prefix-hub"
  ip -n "$prefix-hub" link set "$what" master lan up
  for address in "$@"; do ip -n "$prefix-$what" address add "$address/24" dev eth0; done
  ip -n "$prefix-$what" link set eth0 up
  ip -n "$prefix-$what" route add default via "$subnet.1"
}

remove_network() {
  local namespace interface
  for namespace in $(our_namespaces); do ip netns delete "$namespace" 2>/dev/null || true; done
  for interface in /sys/class/net/vgd*; do
    if [[ $(cat "$interface/ifalias" 2>/dev/null) == "verdigris-testbed $name "* ]]; then
      ip link delete "${interface##*/}" 2>/dev/null || true
    fi
  done
}

# Name and directory of each testbed that has a network.
verb_list() {
  local interface alias
  for interface in /sys/class/net/vgd*; do
    alias=$(cat "$interface/ifalias" 2>/dev/null) || continue
    case $alias in
      'verdigris-testbed '*) echo "${alias#verdigris-testbed }" ;;
    esac
  done
}

# The name decides the namespaces, so two directories must not share one.
refuse_other_directory() {
  local other
  other=$(verb_list | awk -v name="$name" -v dir="$dir" '$1 == name && $2 != dir { print $2 }')
  if [[ -n $other && -e $other/$MARK ]]; then
    fail "testbed \`$name\` is up in $other: set TESTBED_DIR to that, or choose another TESTBED_NAME"
  fi
}

verb_exec() {
  need_up
  local where=${1:-}
  if [[ ! -e /run/netns/$prefix-$where || -z $where || $# -lt 2 ]]; then
    usage_error 'exec takes edge, hub or nodeN, and a command'
  fi
  shift
  exec nsenter --net="/run/netns/$prefix-$where" "$@"
}
