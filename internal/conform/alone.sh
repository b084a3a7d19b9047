#!/usr/bin/env bash
# Runs a command in a network namespace of its own that has a loopback interface
# and nothing else:
#
#   go test -exec "bash internal/conform/alone.sh" …
#
# DynamoDB Local listens on all interfaces and has no option that would narrow
# that, so whoever reaches the machine would reach it. In here nobody does, and
# it reaches nobody either. The test and both engines are all inside, as they
# talk to each other over loopback.
#
# It needs root, or a kernel that lets users make namespaces of their own. Where
# neither is so (some containers), NIGHTSHIFT_CONFORM_NETWORK=shared says that
# listening on all interfaces is acceptable there.
set -euo pipefail

if [ "${NIGHTSHIFT_CONFORM_NETWORK:-}" = shared ]; then
  exec "$@"
fi
for tool in unshare ip; do
  command -v "$tool" >/dev/null || {
    echo "$tool is missing: DynamoDB Local runs in a network namespace of its own, made with unshare (util-linux) and ip (iproute2). Install them, or set NIGHTSHIFT_CONFORM_NETWORK=shared where it may listen on all interfaces." >&2
    exit 1
  }
done
for how in "--net" "--net --map-root-user"; do
  # shellcheck disable=SC2086 # the options are words
  if unshare $how true 2>/dev/null; then
    exec unshare $how sh -c 'ip link set lo up && exec "$@"' alone "$@"
  fi
done
echo "this system allows no network namespace: DynamoDB Local would listen on all interfaces. Run it as root, allow users namespaces, or set NIGHTSHIFT_CONFORM_NETWORK=shared where that is acceptable." >&2
exit 1
