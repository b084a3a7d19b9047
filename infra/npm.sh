#!/usr/bin/env bash
# Installs infra's npm parts from the lockfile, where they are missing or the
# lockfile has changed since; says plainly what is missing on this machine.
set -euo pipefail
cd "$(dirname "$0")"

command -v node >/dev/null || { echo "Node.js is missing: the CDK and the linters of infra/ need it. Install Node.js 20 or later (nodejs.org), then try again." >&2; exit 1; }
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || { echo "Node.js $major is too old: infra/ needs Node.js 20 or later (nodejs.org)." >&2; exit 1; }
command -v npm >/dev/null || { echo "npm is missing: it comes with Node.js 20 or later (nodejs.org)." >&2; exit 1; }

# The copy of the lockfile is written last, so that an interrupted installation
# is done again.
if ! cmp -s package-lock.json node_modules/.nightshift-lock.json; then
  npm ci --silent --no-fund --no-audit >&2 || { echo "npm ci failed in infra/: it downloads what package-lock.json names, from npm's registry." >&2; exit 1; }
  cp package-lock.json node_modules/.nightshift-lock.json
fi
