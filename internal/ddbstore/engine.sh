#!/usr/bin/env bash
# Fetches the DynamoDB engine that the conformance suite runs against into the
# folder $1 and prints the path of its binary. What is there already and is the
# pinned build is not fetched again.
set -euo pipefail

version=1.2.1
package=@dynoxide/linux-x64@$version
archive_sha512=b011ea97127d00d90b96e1646117dde6bf18d00a457b0e0584eae5860440803e17cc4a053ae904a359ee053435fa34eda1fab09f83564369344e7e663538e052
binary_sha256=be909b7910d3fb552e85db10ef3c8ebae4bd35fee0f26dffdb6dfa5cc656426e

if [ $# -ne 1 ] || [ -z "$1" ]; then
  echo "usage: engine.sh <cache folder>" >&2
  exit 2
fi

case "$(uname -s)/$(uname -m)" in
Linux/x86_64) ;;
Linux/aarch64 | Linux/arm64)
  echo "engine.sh: this machine needs the npm package @dynoxide/linux-arm64@$version, whose checksum is not pinned here: unpack it yourself and set NIGHTSHIFT_DYNAMODB_ENGINE to its binary" >&2
  exit 1
  ;;
*)
  echo "engine.sh: no engine is pinned for $(uname -s)/$(uname -m): set NIGHTSHIFT_DYNAMODB_ENGINE to a dynoxide $version binary of your own" >&2
  exit 1
  ;;
esac

# The checksum is the version: only the pinned build has it.
is() { [ -f "$2" ] && [ "$("${1}sum" "$2" | cut -d' ' -f1)" = "$3" ]; }

mkdir -p "$1"
cache=$(cd "$1" && pwd)
binary=$cache/dynoxide-$version

if ! is sha256 "$binary" "$binary_sha256"; then
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  npm pack --silent --pack-destination "$work" "$package" >/dev/null
  archive=$work/dynoxide-linux-x64-$version.tgz
  if ! is sha512 "$archive" "$archive_sha512"; then
    echo "engine.sh: $package is not the build that is pinned here" >&2
    exit 1
  fi
  tar -xzf "$archive" -C "$work" package/dynoxide
  is sha256 "$work/package/dynoxide" "$binary_sha256"
  chmod +x "$work/package/dynoxide"
  mv "$work/package/dynoxide" "$binary" # at once, so that nobody starts half of it
fi
echo "$binary"
