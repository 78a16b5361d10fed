#!/usr/bin/env bash
# Tests the alerts of the chart by Prometheus' own tool. PROMTOOL names it where it is not in the PATH.
set -euo pipefail
cd "$(dirname "$0")"
promtool="${PROMTOOL:-promtool}"
if ! command -v "$promtool" > /dev/null; then
    echo "SKIPPED: no promtool here, so the chart's alerts were not tested"
    exit 0
fi
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
cp ../tidewaiter/files/alerts.yaml alerts_test.yaml "$copy"
"$promtool" check rules "$copy/alerts.yaml"
"$promtool" test rules "$copy/alerts_test.yaml"
