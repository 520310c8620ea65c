# The end of the story: what was sent, what was lost, and whether that is a success.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

conclude() {
  end_load
  local lost sent strict_sent strict_lost name
  for name in everybody strict-haproxy strict-nginx; do
    if [[ ! -s $scratch/$name.json ]]; then went_wrong load "no report of \`$name\`: $(cat "$scratch/$name.log")"; fi
  done
  sent=$(counted .total.sent everybody strict-haproxy strict-nginx)
  lost=$(counted .total.lost everybody strict-haproxy)
  strict_sent=$(counted .total.sent strict-nginx)
  strict_lost=$(counted .total.lost strict-nginx)
  title 'Summary'
  summary releases '1.0, 2.0 committed; 3.1, 3.0 reverted; 1.0 rolled back to'
  summary requests "$sent sent, by clients of six kinds, through nginx and HAProxy, on 80 and 443"
  summary lost "$(verdict "$lost")"
  summary '' "${faint}strict keep-alive clients of nginx, which retry nothing: $strict_lost of $strict_sent$plain"
  summary switches "$(joined "${switches[@]}")"
  summary took "$(since_start) s"
  if ((lost > 0)); then
    jq -r '.losses[:10][] | "  lost: \(.kind) via \(.target): \(del(.begun_us, .lost_us, .target, .kind) | tostring)"' \
      "$scratch/everybody.json" "$scratch/strict-haproxy.json" >&2
  fi
  if $keep; then look_around; fi
  if ((lost > 0 || sent == 0)); then exit 1; fi
}

summary() { printf '  %s%-9s%s %s\n' "$bold" "$1" "$plain" "$2"; }
verdict() { if (($1 == 0)); then printf '%srequests lost: 0%s' "$bold$green" "$plain"; else printf '%srequests lost: %s%s' "$bold$red" "$1" "$plain"; fi; }
joined() {
  local text
  text=$(printf ' · %s' "$@")
  printf '%s' "${text# · }"
}

look_around() {
  kept=true
  title 'Left running. To look around, paste:'
  cat <<LOOK
  export VERDIGRIS_DAEMON=$VERDIGRIS_DAEMON REGISTRY=$REGISTRY PATH=$binaries:\$PATH TESTBED_NAME=$TESTBED_NAME
  verdigris status
  verdigris history books-ms
  verdigris deploy books-ms -f $root/compose/books-ms/stack.yml --var TAG=3.0
  curl --cacert $TESTBED_CA --connect-to $HOST:443:$TESTBED_NGINX:443 https://$HOST$BOOKS/version
  $root/scripts/testbed status
  $root/scripts/demo --down                          # ends it all
LOOK
}
