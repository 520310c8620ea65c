# The edge: nginx and HAProxy as ordinary daemons, each with ports 80 and 443 of its own address.
#
# They start on a bootstrap configuration that answers 503; from then on whoever deploys writes the
# files. Both see directories of the testbed where the host's own proxies keep theirs.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

# The status listeners, where a rendered configuration tells its generation.
readonly STATUS_PORT=9180

# ---------------------------------------------------------------- certificates

make_certificates() {
  local names='DNS:books.example.com,DNS:example.com,DNS:*.example.com,DNS:*.example.org'
  mkdir -p "$dir/certs"
  (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$dir/ca.key")
  openssl req -x509 -new -key "$dir/ca.key" -out "$dir/ca.pem" -days 30 -subj '/CN=testbed authority' \
    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign'
  issue_certificate "$dir/certs/testbed" \
    "$names,DNS:*.verdigris.test,DNS:localhost,IP:$nginx_address,IP:$haproxy_address,IP:127.0.0.1"
  (umask 077 && cat "$dir/certs/testbed.crt" "$dir/certs/testbed.key" >"$dir/certs/testbed.pem")
}

# issue_certificate FILE NAMES: FILE.key and FILE.crt, signed by the testbed's authority.
issue_certificate() {
  local file=$1 names=$2 first
  first=${names%%,*}
  (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$file.key")
  openssl req -new -key "$file.key" -subj "/CN=${first#DNS:}" |
    openssl x509 -req -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -set_serial "0x$(openssl rand -hex 8)" -days 30 \
      -extfile <(printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=%s\n' "$names") \
      -out "$file.crt" 2>/dev/null
}

# ---------------------------------------------------------------- the namespace

# A command of the edge as a file, so that `check` in verdigris.toml can name it.
write_edge_wrapper() {
  local home=$dir/edge
  mkdir -p "$home"/{run,var-lib-nginx,var-log-nginx,var-lib-haproxy}
  cat >"$home/in-edge" <<WRAPPER
#!/bin/sh
# Runs a command as if on the edge host: its network, its own /run and directories of the proxies.
exec nsenter --net=/run/netns/$prefix-edge unshare --mount --uts --propagation private sh -ec '
  hostname edge
  for pair in var-lib-nginx:/var/lib/nginx var-log-nginx:/var/log/nginx var-lib-haproxy:/var/lib/haproxy run:/run; do
    if [ -d "\${pair#*:}" ]; then mount --bind "$home/\${pair%%:*}" "\${pair#*:}"; fi
  done
  exec "\$@"' sh "\$@"
WRAPPER
  chmod 755 "$home/in-edge"
}

start_edge() {
  write_edge_wrapper
  mkdir -p "$dir/nginx/flags" "$dir/haproxy"
  chmod 755 "$dir/nginx" "$dir/nginx/flags" "$dir/haproxy"
  write_nginx_bootstrap
  write_haproxy_bootstrap
  start_proxy nginx
  start_proxy haproxy
}

await_edge() {
  await 10 nginx proxy_runs nginx || fail 'nginx does not start'
  await 10 HAProxy proxy_runs haproxy || fail 'HAProxy does not start'
}

# ---------------------------------------------------------------- bootstrap configurations

write_nginx_bootstrap() {
  cat >"$dir/nginx/nginx.conf" <<NGINX
# Bootstrap of the testbed: answers 503 until a deployer writes this file.
worker_processes auto;
pid $dir/nginx/nginx.pid;
error_log $dir/nginx/error.log warn;
events { worker_connections 4096; }
http {
    access_log off;
    server_tokens off;
    server {
        listen $nginx_address:80 default_server;
        listen $nginx_address:443 ssl default_server;
        ssl_certificate $dir/certs/testbed.crt;
        ssl_certificate_key $dir/certs/testbed.key;
        return 503;
    }
    server {
        listen $nginx_address:$STATUS_PORT;
        location = /generation { return 200 "0\n"; }
    }
}
NGINX
}

write_haproxy_bootstrap() {
  : >"$dir/haproxy/hosts.map"
  cat >"$dir/haproxy/haproxy.cfg" <<HAPROXY
# Bootstrap of the testbed: answers 503 until a deployer writes this file.
global
    maxconn 8192
    stats socket $dir/haproxy/runtime.sock mode 600 level admin expose-fd listeners

defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout http-request 5s

frontend public
    bind $haproxy_address:80
    bind $haproxy_address:443 ssl crt $dir/certs/testbed.pem alpn h2,http/1.1
    http-request return status 503

frontend generation
    bind $haproxy_address:$STATUS_PORT
    http-request return status 200 content-type text/plain string "0\n" if { path /generation }
HAPROXY
}

# ---------------------------------------------------------------- the two daemons

proxy_pid_file() {
  case $1 in
    nginx) echo "$dir/nginx/nginx.pid" ;;
    haproxy) echo "$dir/haproxy/haproxy.pid" ;;
  esac
}

# The pid files are the proxies' own.
start_proxy() {
  local ignored=$dir/edge/start.pid
  case $1 in
    nginx)
      start_process "$ignored" "$dir/nginx/log" "$dir/edge/in-edge" \
        nginx -p "$dir/nginx/" -e "$dir/nginx/error.log" -c "$dir/nginx/nginx.conf"
      ;;
    haproxy)
      rm -f "$dir/haproxy/haproxy.pid"
      start_process "$ignored" "$dir/haproxy/log" "$dir/edge/in-edge" \
        haproxy -W -S "$dir/haproxy/master.sock,mode,600,level,admin" \
        -p "$dir/haproxy/haproxy.pid" -f "$dir/haproxy/haproxy.cfg"
      ;;
  esac
  rm -f "$ignored"
}

# Runs, and accepts on its public ports.
proxy_runs() {
  local address=$nginx_address
  if [[ $1 == haproxy ]]; then address=$haproxy_address; fi
  runs "$(proxy_pid_file "$1")" && accepts "$address" 80 && accepts "$address" 443
}

accepts() { timeout 2 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; }

verb_proxy() {
  local kind=${1:-} act=${2:-}
  case $kind in
    nginx | haproxy) ;;
    *) usage_error 'proxy takes nginx or haproxy' ;;
  esac
  case $act in
    start) begin_proxy "$kind" ;;
    stop) end_proxy "$kind" "$(polite_signal "$kind")" ;;
    kill) end_proxy "$kind" KILL ;;
    restart)
      end_proxy "$kind" "$(polite_signal "$kind")"
      begin_proxy "$kind"
      ;;
    status) report "$kind" '' "$(proxy_pid_file "$kind")" proxy_runs "$kind" || exit 3 ;;
    *) usage_error "proxy $kind takes start, stop, restart, kill or status" ;;
  esac
}

# What a service manager sends to stop it, requests in flight or not.
polite_signal() {
  case $1 in
    nginx) echo TERM ;;
    haproxy) echo TERM ;;
  esac
}

begin_proxy() {
  if proxy_runs "$1"; then return; fi
  start_proxy "$1"
  if ! await 10 "$1" proxy_runs "$1"; then
    show_log "$dir/$1/log"
    fail "$1 does not start"
  fi
}

# A killed master leaves its workers serving; a service manager would end the whole group.
end_proxy() {
  local kind=$1 signal=$2 attempt pids
  stop_process "$(proxy_pid_file "$kind")" "$signal" 10
  for attempt in $(seq 100); do
    pids=$(proxy_pids "$kind")
    if [[ -z $pids ]]; then return; fi
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep 0.02
  done
  fail "$kind does not end ($attempt attempts)"
}

proxy_pids() {
  local pid
  for pid in $(ip netns pids "$prefix-edge" 2>/dev/null); do
    if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$1" ]]; then echo "$pid"; fi
  done
}
