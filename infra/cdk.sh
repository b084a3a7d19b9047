#!/usr/bin/env bash
# Runs the pinned CDK command line on the app of this folder, without asking the
# network for anything that the command itself does not need:
#
#   infra/cdk.sh synth | diff | deploy [-c key=value …]
#
# `deploy` refuses what can be synthesized but not used (context key deploying).
set -euo pipefail
cd "$(dirname "$0")"
bash npm.sh

export CDK_DISABLE_CLI_TELEMETRY=true CDK_DISABLE_VERSION_CHECK=1 NODE_NO_WARNINGS=1
export JSII_DEPRECATED=quiet JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20
command=${1:?say synth, diff or deploy}
shift
case $command in
  synth) set -- --quiet "$@" ;;
  deploy) set -- --context deploying=true "$@" ;;
esac
exec npx --no-install cdk "$command" --no-notices "$@"
