# Shared by the checks: `expect WHAT WANTED GOT`, `until_is WHAT SECONDS WANTED COMMAND...`.
export KUBECONFIG=/root/cluster/kubeconfig PATH=/opt/binaries:$PATH
failures=0

expect() {
  if [ "$2" = "$3" ]; then
    printf '  ok      %-62s %s\n' "$1" "$3"
  else
    printf '  FAILED  %-62s wanted %s, got %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
  fi
}

until_is() {
  local what=$1 deadline=$((SECONDS + $2)) wanted=$3 got=
  shift 3
  while true; do
    got=$("$@" 2> /dev/null) || true
    [ "$got" = "$wanted" ] && break
    [ $SECONDS -lt $deadline ] || break
    sleep 0.3
  done
  expect "$what" "$wanted" "$got"
}

finish() {
  [ $failures = 0 ] || { echo "$failures checks failed"; exit 1; }
}
