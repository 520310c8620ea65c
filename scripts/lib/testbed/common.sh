# Small tools that every part of the testbed uses.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

say() { printf 'testbed: %s\n' "$*" >&2; }
fail() {
  printf 'testbed: %s\n' "$*" >&2
  exit 1
}
usage_error() {
  printf 'testbed: %s (see `scripts/testbed --help`)\n' "$*" >&2
  exit 2
}

need_root() {
  if ((EUID != 0)); then fail 'the testbed makes network namespaces: run it as root'; fi
}

# Debian keeps daemons where an ordinary PATH does not look.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

need_tools() {
  local tool missing=()
  for tool in "$@"; do
    command -v "$tool" >/dev/null 2>&1 || missing+=("$tool")
  done
  if ((${#missing[@]} > 0)); then
    fail "missing commands: ${missing[*]}: run \`scripts/setup\`"
  fi
}

# await SECONDS WHAT COMMAND…: polls until the command succeeds; says what was awaited if it never does.
await() {
  local seconds=$1 what=$2 deadline
  shift 2
  deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)); then
      say "waited ${seconds} s in vain for $what"
      return 1
    fi
    sleep 0.05
  done
}

# ---------------------------------------------------------------- processes

# start_process PID_FILE LOG COMMAND…: in a session of its own, holding none of our files or locks.
start_process() {
  local pid_file=$1 log=$2
  shift 2
  setsid "$@" </dev/null >>"$log" 2>&1 9>&- &
  echo $! >"$pid_file"
  disown
}

pid_of() { cat "$1" 2>/dev/null || true; }

# Whether the pid file names a process that lives, is not a zombie, and is one of this testbed's.
runs() {
  local pid state
  pid=$(pid_of "$1")
  if [[ ! $pid =~ ^[0-9]+$ || ! -d /proc/$pid ]]; then return 1; fi
  state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null) || return 1
  [[ -n $state && $state != Z ]] && in_our_namespace "$pid"
}

# stop_process PID_FILE SIGNAL SECONDS: signal, then kill what has not ended in time.
stop_process() {
  local pid_file=$1 signal=$2 seconds=$3 pid
  if runs "$pid_file"; then
    pid=$(pid_of "$pid_file")
    kill "-$signal" "$pid" 2>/dev/null || true
    if ! await "$seconds" "process $pid to end" gone "$pid"; then
      kill -KILL "$pid" 2>/dev/null || true
      await 5 "process $pid to end after SIGKILL" gone "$pid"
    fi
  fi
  rm -f "$pid_file"
}

gone() {
  [[ ! -d /proc/$1 ]] || grep -qs '^State:.Z' "/proc/$1/status"
}

# The last lines of a log, for a message about what failed.
show_log() {
  if [[ -s $1 ]]; then
    say "the last lines of $1:"
    tail -n 15 "$1" >&2
  fi
}
