#!/usr/bin/env bash
# Installs moto, an imitation of AWS that nobody here wrote, into the folder $1 and
# prints the folder of its Python packages (for PYTHONPATH). What is there already
# and is the pinned build is not fetched again. 25 MB are downloaded, 115 MB kept.
set -euo pipefail

moto=5.2.5
wheel_sha256=eef62cdcf3bfe73e0863743511ba042dfaba04ba3d5ecdcb896a196c693ad528
# moto's server with what it needs for the services that are asked for, and no
# more of what it would bring: that is a quarter of all.
needs=(
  Flask==3.1.3 flask-cors==6.0.5 Werkzeug==3.1.9 Jinja2==3.1.6 MarkupSafe==3.0.4 blinker==1.9.0 click==8.5.1 itsdangerous==2.2.0
  boto3==1.44.5 botocore==1.44.5 s3transfer==0.19.3 jmespath==1.1.0 python-dateutil==2.9.0.post0 six==1.17.0
  requests==2.34.2 urllib3==2.8.0 certifi==2026.10.18 charset-normalizer==3.5.2 idna==3.20
  responses==0.26.3 PyYAML==6.0.3 xmltodict==1.0.4 cryptography==50.0.2 cffi==2.1.1 pycparser==3.12 typing_extensions==4.16.0
)

if [ $# -ne 1 ] || [ -z "$1" ]; then
  echo "usage: moto.sh <cache folder>" >&2
  exit 2
fi

python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)
if [ -z "$python" ] || ! python3 -m pip --version >/dev/null 2>&1; then
  echo "Python or its pip is missing: the engine suite also runs against moto, which comes from PyPI. Install Python 3.10 or later with pip (Debian, Ubuntu: apt-get install python3-pip), then try again." >&2
  exit 1
fi

mkdir -p "$1"
cache=$(cd "$1" && pwd)
folder=$cache/moto-$moto-python-$python

if [ ! -d "$folder" ]; then # it is there as a whole or not at all
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  export PIP_ROOT_USER_ACTION=ignore
  python3 -m pip download -q --no-deps --only-binary :all: -d "$work" "moto==$moto" >&2
  wheel=$work/moto-$moto-py3-none-any.whl
  echo "$wheel_sha256  $wheel" | sha256sum -c --quiet - >&2 || {
    echo "moto.sh: moto $moto is not the build that is pinned here" >&2
    exit 1
  }
  python3 -m pip install -q --no-deps --only-binary :all: --target "$work/packages" "$wheel" "${needs[@]}" >&2
  mv "$work/packages" "$folder"
fi
echo "$folder"
