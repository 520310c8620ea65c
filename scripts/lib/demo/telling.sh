# How the demo tells its story: a line or two for each thing that happens.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

# Colours on a terminal, and where CLICOLOR_FORCE asks for them; never against NO_COLOR.
choose_style() {
  lively=false
  if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then lively=true; fi
  bold='' faint='' red='' green='' blue='' plain='' good='ok' bad='FAILED'
  if [[ -z ${NO_COLOR:-} ]] && { $lively || [[ -n ${CLICOLOR_FORCE:-} ]]; }; then
    bold=$'\e[1m' faint=$'\e[2m' red=$'\e[31m' green=$'\e[32m' blue=$'\e[34m' plain=$'\e[0m'
    good="$green✓$plain" bad="$red✗$plain"
  fi
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }

# seconds_of MILLISECONDS: 1234 is 1.2
seconds_of() { printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100)); }

# milliseconds_of MICROSECONDS: 12345 is 12.3
milliseconds_of() { seconds_of "$1"; }

since_start() { seconds_of $(($(milliseconds) - started)); }

title() { printf '\n%s\n' "$bold$*$plain"; }

# tell MARK WHAT WORDS…: one line, with the time since the start.
tell() {
  local mark=$1 what=$2
  shift 2
  if $lively; then printf '\r\e[K'; fi
  printf '%s%6s s%s %s %s%-10s%s %s\n' "$faint" "$(since_start)" "$plain" "$mark" "$bold" "$what" "$plain" "$*"
}

# A second line that belongs to the one before.
explain() { printf '%23s%s%s%s\n' '' "$faint" "$*" "$plain"; }

# In the colour's colour.
in_colour() {
  case $1 in
    blue) printf '%s%s%s' "$blue" "$1" "$plain" ;;
    green) printf '%s%s%s' "$green" "$1" "$plain" ;;
    *) printf '%s' "$1" ;;
  esac
}

# await_process PID WHAT WORDS…: waits for a process of ours, telling on a terminal what is awaited;
# gives its exit code.
await_process() {
  local pid=$1 what=$2 frames='⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏' frame=0
  shift 2
  if $lively; then
    while kill -0 "$pid" 2>/dev/null; do
      printf '\r\e[K%s%6s s%s %s %s%-10s%s %s' "$faint" "$(since_start)" "$plain" \
        "${frames:frame++%10:1}" "$bold" "$what" "$plain" "$*"
      sleep 0.1
    done
    printf '\r\e[K'
  fi
  wait "$pid"
}

# Things went otherwise than told: say it, show what helps, and end.
went_wrong() {
  tell "$bad" "${1}" "${@:2}" >&2
  for log in "${logs[@]}"; do
    if [[ -s $log ]]; then
      printf '%s\n' "the last lines of ${log##*/}:" >&2
      tail -n 25 "$log" | sed 's/^/    /' >&2
    fi
  done
  exit 1
}
