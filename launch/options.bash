# shellcheck shell=bash
# What all launch scripts do with their command line; each has a `usage`.

# Ends the script with a sentence.
fail() {
  echo "launch/$(basename "$0"): $1" >&2
  exit 2
}

# Reads a command line into variables.
#   $1 names of options with a value, --NAME=VALUE
#   $2 names of switches, --NAME, which become 1
#   .. the command line; what follows its -- becomes the array `arguments`
# A dash in a name is an underscore in its variable.
take() {
  local values=" $1 " switches=" $2 " key
  shift 2
  while [ $# -gt 0 ]; do
    key=${1%%=*} key=${key#--}
    case $1 in
      -h | --help) usage && exit ;;
      --) shift && arguments=("$@") && return ;;
      --*=*) [[ $values == *" $key "* ]] || fail "unknown $1; see --help"
        printf -v "${key//-/_}" %s "${1#*=}" ;;
      *) [[ $1 == --* && $switches == *" $key "* ]] ||
        fail "unknown $1; see --help"
        printf -v "${key//-/_}" 1 ;;
    esac
    shift
  done
}

# The command of the run is there, or the usage is shown.
need_arguments() {
  [ ${#arguments[@]} -gt 0 ] || { usage >&2 && exit 2; }
}
