#!/usr/bin/env bash
# Applies the examples to a local stand-in for AWS (moto_server), sees that a second plan leaves network and stores as they are,
# and prints the values that the examples give the chart. Nothing leaves this machine, and nothing stays.
#
#   python -m venv VENV && VENV/bin/pip install 'moto[server]==5.2.5'
#   PATH=VENV/bin:$PATH terraform/stand_in.sh
#
# The stand-in knows neither add-ons of EKS nor the scaling groups behind groups of nodes, so these two kinds of resource are
# left out; `terraform test` (test.sh) plans them. It forgets settings of the cluster, so that is not planned a second time.
set -euo pipefail
cd "$(dirname "$0")"
for tool in terraform moto_server; do
    command -v "$tool" > /dev/null || { echo "SKIPPED: no $tool here, so nothing was applied"; exit 0; }
done
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
port="${PORT:-46103}"
copy="$(mktemp -d)"
# The policies of AWS itself are there only when they are asked for.
MOTO_IAM_LOAD_MANAGED_POLICIES=true moto_server -H 127.0.0.1 -p "$port" > "$copy/moto.log" 2>&1 &
trap 'kill %1; rm -rf "$copy"' EXIT
cp -r modules examples "$copy"
for _ in $(seq 120); do
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break
    sleep 0.5
done
stand_in="http://127.0.0.1:$port"

# apply EXAMPLE "TARGETS OF THE SECOND PLAN" ARGUMENTS: applies, plans again, and prints the values.
apply() {
    local example="$1" again="$2"
    shift 2
    echo "== $example"
    local folder="$copy/examples/$example"
    terraform -chdir="$folder" init -no-color -input=false ${TIDEWAITER_TF_PLUGINS:+-plugin-dir="$TIDEWAITER_TF_PLUGINS"} > /dev/null
    terraform -chdir="$folder" apply -no-color -auto-approve "$@" > "$copy/apply.log" 2>&1 || { cat "$copy/apply.log"; exit 1; }
    grep '^Apply complete' "$copy/apply.log"
    local status=0
    # shellcheck disable=SC2086 # one word for each target
    terraform -chdir="$folder" plan -no-color -detailed-exitcode "$1" "$2" $again > "$copy/plan.log" 2>&1 || status=$?
    if [ "$status" != 0 ]; then
        cat "$copy/plan.log"
        exit 1
    fi
    echo "a second plan changes nothing"
    terraform -chdir="$folder" output -json helm_values
}

targets=(-target=module.network -target=module.stores -target=module.roles)
for group in system cpu spot gpu; do
    targets+=("-target=module.node_groups[\"$group\"].aws_eks_node_group.this")
done
apply aws "-target=module.network -target=module.stores" -var "stand_in=$stand_in" "${targets[@]}"
apply on-premises "" -var="endpoint=$stand_in" -var='releases={country-kr={bucket="hub-kr"},country-gh={bucket="hub-gh"}}'
