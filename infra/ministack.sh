#!/usr/bin/env bash
# Installs MiniStack, an imitation of AWS with a CloudFormation that nobody here
# wrote, into the folder $1 and prints the folder of its Python packages (for
# PYTHONPATH). What is there already and is the pinned build is not fetched again.
# 2.5 MB are downloaded, 20 MB kept.
set -euo pipefail

ministack=1.4.21
yaml=6.0.3 # differs from machine to machine, so that its version alone is pinned
# All else that it needs, each as one file for every machine.
wheels="
ministack==$ministack --hash=sha256:23f9d917434416b757ee8692a8f84d360be58d72ad93ae7cef0bd1aa56033dd1
Hypercorn==0.18.0     --hash=sha256:225e268f2c1c2f28f6d8f6db8f40cb8c992963610c5725e13ccfcddccb24b1cd
defusedxml==0.7.1     --hash=sha256:a352e7e428770286cc899e2542b6cdaedb2b4953ff269a210103ec58f6198a61
h11==0.16.0           --hash=sha256:63cf8bbe7522de3bf65932fda1d9c2772064ffb3dae62d55932da54b31cb6c86
h2==4.4.1             --hash=sha256:0e25f1462b23c9cb82d9eb02e28bc706dac2a68cb457c6a0d74d63c8a2a5d0e6
hpack==4.2.0          --hash=sha256:858ac0b02280fa582b5080d68db0899c62a80375e0e5413a74970c5e518b6986
hyperframe==6.1.0     --hash=sha256:b03380493a519fce58ea5af42e4a42317bf9bd425596f7a0835ffce80f1a42e5
priority==2.0.0       --hash=sha256:6f8eefce5f3ad59baf2c080a664037bb4725cd0a790d53d59ab4059288faf6aa
wsproto==1.3.2        --hash=sha256:61eea322cdf56e8cc904bd3ad7573359a242ba65688716b0710a5eb12beab584
"

if [ $# -ne 1 ] || [ -z "$1" ]; then
  echo "usage: ministack.sh <cache folder>" >&2
  exit 2
fi

python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2]) if sys.version_info >= (3, 11) else None' 2>/dev/null || true)
case $python in "" | None) python= ;; esac
if [ -z "$python" ] || ! python3 -m pip --version >/dev/null 2>&1; then
  echo "Python or its pip is missing: the rehearsal deploys to MiniStack, which comes from PyPI. Install Python 3.11 or later with pip (Debian, Ubuntu: apt-get install python3-pip), then try again." >&2
  exit 1
fi

mkdir -p "$1"
cache=$(cd "$1" && pwd)
folder=$cache/ministack-$ministack-python-$python

if [ ! -d "$folder" ]; then # it is there as a whole or not at all
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  export PIP_ROOT_USER_ACTION=ignore
  echo "$wheels" >"$work/wheels.txt"
  python3 -m pip install -q --no-deps --only-binary :all: --require-hashes --target "$work/packages" -r "$work/wheels.txt" >&2 || {
    echo "ministack.sh: MiniStack $ministack could not be installed, or is not the build that is pinned here" >&2
    exit 1
  }
  python3 -m pip install -q --no-deps --only-binary :all: --target "$work/packages" "PyYAML==$yaml" >&2
  mv "$work/packages" "$folder"
fi
echo "$folder"
