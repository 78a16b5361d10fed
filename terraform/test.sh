#!/usr/bin/env bash
# Tests of the modules and examples: format, validity, and plans against mocked providers. Nothing is created anywhere.
#
# It works in a copy, so that the tree stays clean. TIDEWAITER_TF_PLUGINS may name a folder with the provider (a "filesystem
# mirror"); without it the provider is downloaded.
set -euo pipefail
cd "$(dirname "$0")"
if ! command -v terraform > /dev/null; then
    echo "SKIPPED: no terraform here, so terraform/ was not tested"
    exit 0
fi
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1
terraform fmt -recursive -check -diff .
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
cp -r . "$copy"
cd "$copy"
export TF_PLUGIN_CACHE_DIR="$copy/cache"
mkdir "$TF_PLUGIN_CACHE_DIR"
for folder in modules/* examples/*; do
    echo "== $folder"
    terraform -chdir="$folder" init -no-color -input=false ${TIDEWAITER_TF_PLUGINS:+-plugin-dir="$TIDEWAITER_TF_PLUGINS"} > init.log || { cat init.log; exit 1; }
    terraform -chdir="$folder" validate -no-color
    terraform -chdir="$folder" test -no-color
done
