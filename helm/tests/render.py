#!/usr/bin/env python3
"""Tests of the chart: each example is linted, rendered by Helm and checked against Kubernetes' schemas.

Helm is the library of the package helm-python-sdk, the schemas are those of kubernetes-validate: no cluster, no network.
What only a cluster can show (that pods start, that a network plug-in enforces the policies) is not tested here.

    python -m venv VENV && VENV/bin/pip install -r helm/tests/requirements.txt
    VENV/bin/python helm/tests/render.py [--binary PATH]

Start at `main`. Each check is a function whose name is its sentence.
"""

import argparse
import copy
import functools
import ipaddress
import json
import re
import subprocess
import sys
from pathlib import Path

import helm_python as helm
import kubernetes_validate.utils
import yaml

HELM = Path(__file__).resolve().parent.parent
CHART = HELM / "tidewaiter"
EXAMPLES = HELM / "examples"

# The oldest Kubernetes that the chart is for; every newer one whose schemas are at hand is tried, too.
OLDEST = (1, 33)
VERSIONS = [version for version in dict.fromkeys(kubernetes_validate.utils.all_versions()) if tuple(map(int, version.split(".")[:2])) >= OLDEST]

# The package reads its schemas anew for each object.
kubernetes_validate.utils.schema_contents = functools.lru_cache(None)(kubernetes_validate.utils.schema_contents)

# Name of the example, its files, and the namespace of its release.
CASES = {
    "national centre": (["national-centre.yaml"], "customs"),
    "regional hub, KR": (["regional-hub/common.yaml", "regional-hub/kr.yaml"], "country-kr"),
    "regional hub, GH": (["regional-hub/common.yaml", "regional-hub/gh.yaml"], "country-gh"),
    "laptop": (["laptop.yaml"], "customs"),
}

DIGEST = "sha256:" + "ab" * 32

# Kinds of the Prometheus Operator, whose schemas are not Kubernetes' own.
OPERATOR = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}

# A release that needs nothing but an archive: what a refusal is tried on.
LEAST = {"archive": {"url": "s3://bucket/archive"}}

# What is changed, and a part of the message by which it is refused.
REFUSED = [
    ({"archive": {"url": ""}}, "archive.url is missing"),
    ({"archive": {"url": "ftp://host/x"}}, "/archive/url"),
    ({"archive": {"url": "s3://Bucket_With_Capitals/x"}}, "/archive/url"),
    ({"archive": {"url": "file:///archive"}}, "needs archive.claim"),
    ({"archive": {"claim": "archive"}}, "archive.claim is for file:// archives"),
    ({"archive": {"url": "file:///a", "claim": "a", "s3": {"region": "x"}}}, "are for s3:// archives"),
    ({"archive": {"url": "file:///exports", "claim": "a"}, "exports": {"claim": "e"}}, "exports.mountPath is the archive's path"),
    ({"archive": {"s3": {"endpoint": "store:9000"}}}, "/archive/s3/endpoint"),
    ({"archive": {"secretKey": "x"}}, "secretKey"),
    ({"archive": {"credentialsSecret": "keys"}, "serviceAccounts": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}}}, "remove one of them"),
    ({"scheduler": {"replicas": 0}}, "/scheduler/replicas"),
    ({"pools": {"gpu": {"replicas": 0, "gpus": 1, "onDemand": {"most": 2}}}}, "its image has no digest"),
    ({"image": {"digest": DIGEST}, "pools": {"cpu": {"replicas": 1, "onDemand": {"most": 2}}}}, "is on demand and has replicas, too"),
    ({"pools": {"cpu": {"onDemand": {"least": 1}}}}, "least"),
    ({"metrics": {"port": 80}}, "/metrics/port"),
    ({"metrics": {"monitors": {"interval": "often"}}}, "/metrics/monitors/interval"),
    ({"scheduler": {"port": 80}}, "/scheduler/port"),
    ({"scheduler": {"memoryMib": "2Gi"}}, "/scheduler/memoryMib"),
    ({"scheduler": {"vacuumEvery": "daily"}}, "/scheduler/vacuumEvery"),
    ({"scheduler": {"vacuumOlderThan": "0"}}, "/scheduler/vacuumOlderThan"),
    ({"scheduler": {"extraEnv": {"AWS_SECRET_ACCESS_KEY": "x"}}}, "AWS_SECRET_ACCESS_KEY"),
    ({"image": {"tag": "latest"}}, "/image/tag"),
    ({"image": {"digest": "abc"}}, "/image/digest"),
    ({"image": {"digest": "sha256:" + "0" * 64}, "pools": {"gpu": {"gpus": 1}}}, "pools.gpu.image.digest"),
    ({"imag": {}}, "imag"),
    ({"pools": {"cpu": {"replicas": -1}}}, "/pools/cpu/replicas"),
    ({"pools": {"cpu": {"replicas": "two"}}}, "/pools/cpu/replicas"),
    ({"pools": {"cpu": {"slots": 0}}}, "/pools/cpu/slots"),
    ({"pools": {"cpu": {"cpu": 2}}}, "/pools/cpu/cpu"),
    ({"pools": {"gpu": {"gpus": 17}}}, "/pools/gpu/gpus"),
    ({"pools": {"cpu": {"memory": "8Gi"}}}, "memory"),
    ({"pools": {"cpu": {"maxUnavailable": 0}}}, "/pools/cpu/maxUnavailable"),
    ({"pools": {"Big_Pool": {}}}, "Big_Pool"),
    ({"pools": {"s": {"spot": {"enabled": True, "noticeSeconds": 10}}}}, "at least 15 seconds"),
    ({"pools": {"cpu": {"tolerations": [{"kye": "x"}]}}}, "kye"),
    ({"networkPolicy": {"enabled": False}}, "networkPolicy.acceptOpenNetwork"),
    ({"networkPolicy": {"store": [{"ipBlock": {"except": []}}]}}, "cidr"),
    ({"podSecurity": {"runAsUser": 0}}, "/podSecurity/runAsUser"),
]


class Release:
    """The objects of one rendered release."""

    def __init__(self, name, values, namespace):
        self.name, self.values, self.namespace = name, values, namespace
        with helm.Chart.load(CHART) as chart:
            files = chart.render(values, name="tidewaiter", namespace=namespace)
            self.all_values = chart.merge_values(values)
        self.notes = files.pop("tidewaiter/templates/NOTES.txt")
        self.text = "\n".join(files.values())
        self.objects = [obj for text in files.values() for obj in yaml.load_all(text, Loader=NoRepeats) if obj]

    def of(self, kind):
        return [obj for obj in self.objects if obj["kind"] == kind]

    def pods(self):
        """Labels and specification of each kind of pod."""
        templates = [(obj["spec"]["template"]["metadata"]["labels"], obj["spec"]["template"]["spec"]) for obj in self.of("Deployment")]
        templates += [(pool["template"]["metadata"]["labels"], pool["template"]["spec"]) for pool in self.on_demand().values()]
        return templates + [(obj["metadata"]["labels"], obj["spec"]) for obj in self.of("Pod")]

    def document_of_pools(self):
        """What the scheduler reads by --pods; None where there are no pools on demand."""
        texts = [obj["data"]["pools.json"] for obj in self.of("ConfigMap") if "pools.json" in obj["data"]]
        return json.loads(texts[0]) if texts else None

    def on_demand(self):
        return (self.document_of_pools() or {"pools": {}})["pools"]

    def servers(self):
        """The specifications of the pods that run a scheduler or an executor, by what they are."""
        found = {obj["metadata"]["name"].removeprefix("tidewaiter-"): obj["spec"]["template"]["spec"] for obj in self.of("Deployment")}
        return found | {"executor-" + name: pool["template"]["spec"] for name, pool in self.on_demand().items()}

    def deployment(self, suffix):
        return next(obj for obj in self.of("Deployment") if obj["metadata"]["name"] == "tidewaiter-" + suffix)


class NoRepeats(yaml.SafeLoader):
    """Refuses a key that stands twice, which YAML readers take in silence."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice: {keys}, {node.start_mark}"
        return super().construct_mapping(node, deep)


def merged(*layers):
    """Values over values, as Helm lays several files over each other."""
    result = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def values_of(files):
    return merged(*(yaml.safe_load((EXAMPLES / file).read_text()) for file in files))


def arguments(spec):
    """The arguments of a pod's container as a dictionary; an option without a value is True."""
    given = {}
    for argument in spec["containers"][0]["args"]:
        name, equals, value = argument.partition("=")
        given[name] = value if equals else True
    return given


# Checks of one release. ---------------------------------------------------------------------------------------------------


def helm_lint_has_nothing_to_say(release):
    report = helm.lint(CHART, release.values, strict=True, namespace=release.namespace, kube_version="v1.33.0")
    serious = [message for message in report["messages"] if message["severity"] > 1]
    assert not report["errors"] and not serious, report


def every_object_is_what_kubernetes_expects(release):
    assert len(VERSIONS) >= 2, VERSIONS
    pods = [{"apiVersion": "v1", "kind": "Pod", **pool["template"]} for pool in release.on_demand().values()]
    for pod in pods:
        pod["metadata"] = pod["metadata"] | {"name": "on-demand"}
    for obj in [obj for obj in release.objects if obj["kind"] not in OPERATOR] + pods:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(obj, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                raise AssertionError(f"{obj['kind']} {obj['metadata']['name']}, Kubernetes {version}: {error.message}") from error
    return f"{len(release.objects)} objects, Kubernetes {', '.join(version.rsplit('.', 1)[0] for version in VERSIONS)}"


def names_are_unique_and_in_the_namespace(release):
    names = [(obj["kind"], obj["metadata"]["name"]) for obj in release.objects]
    assert len(names) == len(set(names)), names
    for obj in release.objects:
        assert obj["metadata"]["namespace"] == release.namespace, obj["metadata"]
        assert len(obj["metadata"]["name"]) <= 63, obj["metadata"]


def nothing_is_rendered_by_accident(release):
    for accident in ("<no value>", "<nil>", "null", "%!"):
        assert accident not in release.text, accident
    assert not re.search(r"[ \t]+$", release.text, re.MULTILINE), "a line ends with spaces"
    assert "helm test" in release.notes and release.all_values["archive"]["url"] in release.notes


def pods_are_restricted(release):
    """The profile `restricted` of Kubernetes' Pod Security Standards, and a read-only root file system."""
    for labels, spec in release.pods():
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] and pod["runAsUser"] > 0 and pod["seccompProfile"] == {"type": "RuntimeDefault"}, labels
        asks = labels["app.kubernetes.io/component"] == "scheduler" and bool(release.on_demand())
        assert spec["automountServiceAccountToken"] is asks and spec["enableServiceLinks"] is False, labels
        assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), labels
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] is True, labels
            assert own["capabilities"] == {"drop": ["ALL"]} and not own.get("privileged"), labels
        for volume in spec.get("volumes", []):
            assert "hostPath" not in volume, volume


def least_rights_in_kubernetes_and_no_secrets(release):
    kinds = {obj["kind"] for obj in release.objects}
    known = {"ServiceAccount", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy", "Pod", "ConfigMap"} | OPERATOR
    rights = {"Role", "RoleBinding"} if release.on_demand() else set()
    assert kinds <= known | rights and rights <= kinds, kinds
    for role in release.of("Role"):
        given = {(group, resource): set(rule["verbs"]) for rule in role["rules"] for group in rule["apiGroups"] for resource in rule["resources"]}
        assert given == {("", "pods"): {"list", "create", "delete"}, ("apps", "deployments"): {"get"}}, given
        named = [rule["resourceNames"] for rule in role["rules"] if rule["resources"] == ["deployments"]]
        assert named == [["tidewaiter-scheduler"]], named
    for binding in release.of("RoleBinding"):
        assert [(who["kind"], who["name"]) for who in binding["subjects"]] == [("ServiceAccount", "tidewaiter-scheduler")]
    for account in release.of("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    accounts = {account["metadata"]["name"] for account in release.of("ServiceAccount")}
    assert all(spec["serviceAccountName"] in accounts for _, spec in release.pods())
    for _, spec in release.pods():
        for variable in spec["containers"][0].get("env", []):
            if variable["name"] in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                assert "value" not in variable and variable["valueFrom"]["secretKeyRef"]["key"] == variable["name"]


def servers_are_not_process_1(release):
    """As process 1 they would not hear every signal to stop."""
    for name, spec in release.servers().items():
        assert spec["shareProcessNamespace"] is True, name


def one_scheduler_serves_and_the_others_stand_by(release):
    """An upgrade ends all at once: those that stand by are never ready, so that anything else would wait for ever."""
    spec = release.deployment("scheduler")["spec"]
    assert spec["replicas"] == release.all_values["scheduler"]["replicas"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": "100%"}
    container = spec["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["grpc"]["service"] == "tidewaiter.v1.JobService"
    assert "service" not in container["livenessProbe"]["grpc"], "one that stands by is alive"


def memory_and_cores_fit_the_options(release):
    for name, spec in release.servers().items():
        container = spec["containers"][0]
        assert container["resources"]["requests"] == container["resources"]["limits"], name
        given = arguments(spec)
        if "--memory-mib" in given:
            limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
            assert int(given["--memory-mib"]) == limit * 7 // 10, (given, limit)


def the_options_are_those_of_the_command_line(release):
    """By the source of the command line; `--binary` compares with the help of a binary, too."""
    source = (HELM.parent / "cli/src/arguments.rs").read_text()
    known = {"--" + name.replace("_", "-") for name in re.findall(r"pub\(crate\) ([a-z_]+):", source)}
    for labels, spec in release.pods():
        options = {name for name in arguments(spec) if name.startswith("--")}
        assert options <= known, (labels, options - known)


def addresses_agree(release):
    service = release.of("Service")[0]
    port = service["spec"]["ports"][0]["port"]
    url = f"http://{service['metadata']['name']}.{release.namespace}.svc:{port}"
    scheduler = release.deployment("scheduler")["spec"]["template"]["spec"]
    given = arguments(scheduler)
    assert given["--advertise"] == url and given["--bind"] == f"0.0.0.0:{port}" and given["--insecure"] is True
    assert scheduler["containers"][0]["ports"][0]["containerPort"] == port
    for probe in ("readinessProbe", "livenessProbe"):
        assert scheduler["containers"][0][probe]["grpc"]["port"] == port
    for labels, spec in release.pods():
        if labels["app.kubernetes.io/component"] != "scheduler":
            assert arguments(spec)["--scheduler"] == url, labels


def every_volume_that_is_named_is_mounted_alike(release):
    """A job's files and a folder's archive have the same paths in every process."""
    archive, exports = release.all_values["archive"], release.all_values["exports"]
    for spec in release.servers().values():
        mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
        assert set(mounts) == {volume["name"] for volume in spec["volumes"]}
        assert mounts["work"] == "/work" and spec["containers"][0]["env"][-1]["name"] != ""
        assert ("exports" in mounts) == bool(exports["claim"]) and ("archive" in mounts) == bool(archive["claim"])
        if archive["claim"]:
            assert "file://" + mounts["archive"] == archive["url"]
        if exports["claim"]:
            assert mounts["exports"] == exports["mountPath"]
    given = arguments(release.deployment("scheduler")["spec"]["template"]["spec"])
    assert given.get("--exports") == (exports["mountPath"] if exports["claim"] else None)


def pools_are_as_the_values_say(release):
    defaults = release.all_values["executorDefaults"]
    for name, own in release.all_values["pools"].items():
        pool = merged(defaults, own)
        most = pool["onDemand"]["most"]
        spec = release.servers()["executor-" + name]
        container, given = spec["containers"][0], arguments(spec)
        if most:
            asked = release.on_demand()[name]
            assert (asked["most"], asked["slots"]) == (most, pool["slots"]) and asked["device"] == given["--device"], asked
            assert "@sha256:" in container["image"] and given["--leave-after"] == str(pool["onDemand"]["leaveSeconds"])
        else:
            assert release.deployment("executor-" + name)["spec"]["replicas"] == pool["replicas"]
        assert given["--slots"] == str(pool["slots"])
        assert spec.get("nodeSelector", {}) == pool["nodeSelector"]
        gpus, has_gpu = str(pool["gpus"]), pool["gpus"] > 0
        assert given["--device"] == ("gpu" if has_gpu else "cpu")
        assert container["resources"]["limits"].get("nvidia.com/gpu", "0") == gpus
        assert given.get("--gpus", "1") == (gpus if has_gpu else "1")
        tolerated = {toleration["key"] for toleration in spec.get("tolerations", [])}
        assert ("nvidia.com/gpu" in tolerated) == has_gpu
        assert "@" in container["image"] or container["image"].endswith("-cuda") == has_gpu, container["image"]
        assert (pool["spot"]["taint"] in tolerated) == pool["spot"]["enabled"]
        grace = spec["terminationGracePeriodSeconds"]
        assert grace == (pool["spot"]["noticeSeconds"] - 10 if pool["spot"]["enabled"] else pool["terminationGraceSeconds"])
        budgets = [budget for budget in release.of("PodDisruptionBudget") if budget["metadata"]["name"].endswith("-executor-" + name)]
        assert len(budgets) == (1 if pool["replicas"] > 1 and not most else 0), name


def metrics_are_where_monitors_look_and_readers_may(release):
    metrics = release.all_values["metrics"]
    for name, spec in release.servers().items():
        ports = {port["name"]: port["containerPort"] for port in spec["containers"][0]["ports"]}
        assert ports.get("metrics") == (metrics["port"] if metrics["enabled"] else None), name
        assert arguments(spec).get("--metrics") == (f"0.0.0.0:{metrics['port']}" if metrics["enabled"] else None), name
    policies = release.of("NetworkPolicy")
    prometheus = ("monitoring", {"app.kubernetes.io/name": "prometheus"})
    for component in ("scheduler", "executor"):
        pod = pod_of(release, component)
        assert not reaches(policies, (release.namespace, {"app": "other"}), pod, metrics["port"])
        assert reaches(policies, prometheus, pod, metrics["port"]) == metrics["enabled"]
        assert not reaches(policies, prometheus, pod, 50050) and not reaches(policies, prometheus, pod, 50051)


def every_selector_selects(release):
    pods = [labels for labels, _ in release.pods()]
    for kind, path in (("Service", "selector"), ("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for obj in release.of(kind):
            selector = obj["spec"][path]
            selector = selector if kind != "Service" else {"matchLabels": selector}
            chosen = [labels for labels in pods if selects(selector, labels)]
            assert chosen, obj["metadata"]["name"]
            if kind == "Service":
                assert {labels["app.kubernetes.io/component"] for labels in chosen} == {"scheduler"}


# Network policies: a small model of what a network plug-in does with them. ------------------------------------------------


def selects(selector, labels):
    if selector is None:
        return False
    for expression in selector.get("matchExpressions", []):
        has = labels.get(expression["key"]) in expression.get("values", [])
        if expression["operator"] != "In" or not has:
            assert expression["operator"] == "In", expression
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def is_peer(peers, other, namespace):
    """Whether `other` is one of the peers of a policy in `namespace`. A pod is (namespace, labels), a host an address."""
    for peer in peers:
        if isinstance(other, str):
            block = peer.get("ipBlock")
            address = ipaddress.ip_address(other)
            if block and address in ipaddress.ip_network(block["cidr"]):
                if not any(address in ipaddress.ip_network(net) for net in block.get("except", [])):
                    return True
        elif "ipBlock" not in peer:
            where, labels = other
            of_namespace = peer.get("namespaceSelector")
            in_namespace = where == namespace if of_namespace is None else selects(of_namespace, {"kubernetes.io/metadata.name": where})
            if in_namespace and selects(peer.get("podSelector", {}), labels):
                return True
    return False


def allowed(policies, direction, pod, other, port):
    """Whether policies let `pod` reach `other` (Egress), or be reached by it (Ingress)."""
    namespace, labels = pod
    chosen = [
        policy for policy in policies
        if policy["metadata"]["namespace"] == namespace and selects(policy["spec"]["podSelector"], labels) and direction in policy["spec"]["policyTypes"]
    ]
    if not chosen:
        return True
    rules = [(policy, rule) for policy in chosen for rule in policy["spec"].get(direction.lower(), [])]
    side = {"Ingress": "from", "Egress": "to"}[direction]
    return any(
        port in [entry["port"] for entry in rule["ports"]] and is_peer(rule[side], other, namespace) for _, rule in rules
    )


def reaches(policies, source, target, port):
    out = isinstance(source, str) or allowed(policies, "Egress", source, target, port)
    return out and (isinstance(target, str) or allowed(policies, "Ingress", target, source, port))


def pod_of(release, component):
    labels = next(labels for labels, _ in release.pods() if labels["app.kubernetes.io/component"] == component)
    return (release.namespace, labels)


def only_what_must_talk_can_talk(release):
    policies = release.of("NetworkPolicy")
    scheduler, executor, test = (pod_of(release, component) for component in ("scheduler", "executor", "test"))
    client = (release.namespace, {"tidewaiter/client": "true"})
    stranger = (release.namespace, {"app": "other"})
    elsewhere = ("elsewhere", {"tidewaiter/client": "true"})
    names = ("kube-system", {"k8s-app": "kube-dns"})
    port = release.all_values["scheduler"]["port"]
    for source in (executor, test, client):
        assert reaches(policies, source, scheduler, port), source
    for source in (scheduler, executor):
        assert reaches(policies, source, executor, 50051), source
        assert not reaches(policies, source, "169.254.169.254", 80), "the node's metadata service"
    for source in (scheduler, executor, test):
        assert reaches(policies, source, names, 53), source
    for source in (stranger, elsewhere, "203.0.113.7"):
        assert not reaches(policies, source, scheduler, port), source
    for source in (stranger, client, test, elsewhere):
        assert not reaches(policies, source, executor, 50051), source
    assert not reaches(policies, scheduler, stranger, 8080) and not reaches(policies, test, "203.0.113.7", 443)


CHECKS = [
    helm_lint_has_nothing_to_say,
    every_object_is_what_kubernetes_expects,
    names_are_unique_and_in_the_namespace,
    nothing_is_rendered_by_accident,
    pods_are_restricted,
    least_rights_in_kubernetes_and_no_secrets,
    servers_are_not_process_1,
    one_scheduler_serves_and_the_others_stand_by,
    memory_and_cores_fit_the_options,
    the_options_are_those_of_the_command_line,
    addresses_agree,
    every_volume_that_is_named_is_mounted_alike,
    pools_are_as_the_values_say,
    metrics_are_where_monitors_look_and_readers_may,
    every_selector_selects,
    only_what_must_talk_can_talk,
]

# Checks of the chart as a whole. ------------------------------------------------------------------------------------------


def countries_of_a_hub_are_apart():
    """No pod of one country's release reaches a pod of another's, and each reaches the store only."""
    kr, gh = (Release(name, values_of(CASES[name][0]), CASES[name][1]) for name in ("regional hub, KR", "regional hub, GH"))
    policies = kr.of("NetworkPolicy") + gh.of("NetworkPolicy")
    tried = 0
    for one, other in ((kr, gh), (gh, kr)):
        for source in ("scheduler", "executor", "test"):
            for target, port in (("scheduler", 50050), ("executor", 50051)):
                assert not reaches(policies, pod_of(one, source), pod_of(other, target), port), (one.name, source, target)
                tried += 1
        assert reaches(policies, pod_of(one, "executor"), "10.20.30.4", 9000)
        assert not reaches(policies, pod_of(one, "executor"), "10.20.30.4", 443)
        assert not reaches(policies, pod_of(one, "executor"), "10.20.31.4", 9000)
    assert kr.all_values["archive"]["url"] != gh.all_values["archive"]["url"]
    return f"{tried} ways tried"


def what_a_pool_says_counts_also_where_it_is_nothing():
    """0, false and "" of a pool are values, not absences."""
    values = merged(LEAST, {
        "executorDefaults": {"replicas": 3, "priorityClassName": "high", "spot": {"enabled": True}, "nodeSelector": {"a": "b"}},
        "pools": {"cpu": {"replicas": 0, "priorityClassName": "", "spot": {"enabled": False}, "nodeSelector": {}}, "more": {}},
    })
    release = Release("inheritance", values, "customs")
    none, more = (release.deployment("executor-" + name)["spec"] for name in ("cpu", "more"))
    assert none["replicas"] == 0 and more["replicas"] == 3
    none, more = none["template"]["spec"], more["template"]["spec"]
    assert "priorityClassName" not in none and more["priorityClassName"] == "high"
    assert "tolerations" not in none and more["tolerations"][0]["key"] == "tidewaiter/spot"
    assert "nodeSelector" not in none and more["nodeSelector"] == {"a": "b"}


def the_archive_is_vacuumed_unless_the_values_say_never():
    for own, every, older in (({}, "1d", "7d"), ({"vacuumEvery": "12h", "vacuumOlderThan": "30d"}, "12h", "30d"), ({"vacuumEvery": ""}, None, None)):
        release = Release("vacuum", merged(LEAST, {"scheduler": own}), "customs")
        given = arguments(release.servers()["scheduler"])
        assert (given.get("--vacuum-every"), given.get("--vacuum-older-than")) == (every, older), given


def a_pool_of_one_has_no_budget():
    """It would only block a node's drain."""
    for replicas, budgets in ((0, 0), (1, 0), (2, 1)):
        release = Release("budget", merged(LEAST, {"pools": {"cpu": {"replicas": replicas}}}), "customs")
        assert len(release.of("PodDisruptionBudget")) == budgets, replicas


def images_are_named_by_digest_where_one_is_given():
    digest = "sha256:" + "ab" * 32
    values = merged(LEAST, {"image": {"digest": digest}, "pools": {"gpu": {"gpus": 1, "image": {"digest": digest}}}})
    release = Release("digest", values, "customs")
    assert {spec["containers"][0]["image"] for _, spec in release.pods()} == {"tidewaiter@" + digest}


def an_executor_with_several_gpus_says_how_many():
    release = Release("gpus", merged(LEAST, {"pools": {"gpu": {"gpus": 8, "slots": 8}}}), "customs")
    for check in (every_object_is_what_kubernetes_expects, the_options_are_those_of_the_command_line, pools_are_as_the_values_say):
        check(release)
    assert arguments(release.deployment("executor-gpu")["spec"]["template"]["spec"])["--gpus"] == "8"


def a_pool_on_demand_is_a_document_for_the_scheduler_and_no_deployment():
    values = merged(LEAST, {
        "image": {"digest": DIGEST}, "podsOnDemand": {"most": 12, "tenant": "kr"},
        "pools": {"cpu": {"replicas": 2}, "burst": {"replicas": 0, "slots": 4, "onDemand": {"most": 9, "idleSeconds": 60}}},
    })
    release = Release("on demand", values, "customs")
    for check in CHECKS:
        check(release)
    document = release.document_of_pools()
    assert (document["release"], document["namespace"], document["owner"], document["tenant"], document["most"]) == (
        "tidewaiter", "customs", "tidewaiter-scheduler", "kr", 12)
    pool = document["pools"]["burst"]
    assert (pool["device"], pool["slots"], pool["most"], pool["idleSeconds"], pool["longestSeconds"]) == ("cpu", 4, 9, 60, 86400)
    assert set(document["pools"]) == {"burst"}
    assert [obj["metadata"]["name"] for obj in release.of("Deployment") if "burst" in obj["metadata"]["name"]] == []
    scheduler = release.servers()["scheduler"]
    assert arguments(scheduler)["--pods"] == "/etc/tidewaiter/pools/pools.json"
    assert any(volume.get("configMap", {}).get("name") == "tidewaiter-pools" for volume in scheduler["volumes"])
    policies = release.of("NetworkPolicy")
    assert reaches(policies, pod_of(release, "scheduler"), "10.0.0.1", 6443)
    assert not reaches(policies, pod_of(release, "executor"), "10.0.0.1", 6443)
    one, other = (
        Release("checksum", merged(values, {"pools": {"burst": {"onDemand": {"most": most}}}}), "customs").deployment("scheduler")
        for most in (3, 4)
    )
    annotations = [obj["spec"]["template"]["metadata"]["annotations"] for obj in (one, other)]
    assert annotations[0] != annotations[1], "a scheduler that is not started again reads the old pools"


def monitors_alerts_and_dashboard_are_whole():
    values = merged(LEAST, {"metrics": {part: {"enabled": True} for part in ("monitors", "rules", "dashboard")}})
    release = Release("monitoring", values, "customs")
    for check in CHECKS:
        check(release)
    service = release.of("Service")[0]
    for monitor, endpoints in ((release.of("ServiceMonitor")[0], "endpoints"), (release.of("PodMonitor")[0], "podMetricsEndpoints")):
        assert monitor["spec"][endpoints][0]["port"] == "metrics"
    assert selects(release.of("ServiceMonitor")[0]["spec"]["selector"], service["metadata"]["labels"])
    assert "metrics" in [port["name"] for port in service["spec"]["ports"]]
    assert any(selects(release.of("PodMonitor")[0]["spec"]["selector"], labels) for labels, _ in release.pods())
    rules = release.of("PrometheusRule")[0]["spec"]["groups"][0]["rules"]
    dashboard = json.loads(next(obj for obj in release.of("ConfigMap") if "tidewaiter.json" in obj["data"])["data"]["tidewaiter.json"])
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    used = set(re.findall(r"tidewaiter_[a-z_]+", " ".join(queries + [rule["expr"] for rule in rules])))
    listed = set(re.findall(r"`(tidewaiter_[a-z_]+)`", (HELM.parent / "docs/operations/metrics.md").read_text()))
    unknown = {name for name in used if re.sub("_(bucket|sum|count)$", "", name) not in listed and name not in listed}
    assert not unknown, unknown
    incidents = (HELM.parent / "docs/operations/incidents.md").read_text()
    for rule in rules:
        for title in re.findall(r'incidents.md, "([^"]+)"', rule["annotations"]["description"]):
            assert f"\n## {title}\n" in incidents, title
    return f"{len(rules)} alerts, {len(queries)} queries"


def a_disk_of_its_own_takes_none_of_the_node():
    values = merged(LEAST, {"executorDefaults": {"diskStorageClass": "fast", "diskGib": 300}})
    release = Release("disk", values, "customs")
    every_object_is_what_kubernetes_expects(release)
    spec = release.deployment("executor-cpu")["spec"]["template"]["spec"]
    claim = spec["volumes"][0]["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert claim["storageClassName"] == "fast" and claim["resources"]["requests"]["storage"] == "300Gi"
    assert "ephemeral-storage" not in spec["containers"][0]["resources"]["limits"]


def everything_optional_is_valid_too():
    """Values that no example has."""
    part = {
        "log": "info", "priorityClassName": "batch", "podAnnotations": {"a": "b"}, "extraEnv": {"MALLOC_ARENA_MAX": "2"},
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}}]}},
    }
    values = merged(LEAST, {
        "image": {"pullSecrets": ["registry"]}, "archive": {"s3": {"endpoint": "http://store:8333"}},
        "scheduler": part, "executorDefaults": merged(part, {"runtimeClassName": "nvidia"}),
        "networkPolicy": {"enabled": False, "acceptOpenNetwork": True},
    })
    release = Release("options", values, "customs")
    every_object_is_what_kubernetes_expects(release)
    assert not release.of("NetworkPolicy") and "THE NETWORK IS OPEN" in release.notes
    environment = release.deployment("scheduler")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "AWS_ALLOW_HTTP", "value": "true"} in environment and {"name": "TIDEWAITER_LOG", "value": "info"} in environment


def the_claims_of_the_laptop_are_those_that_its_values_name():
    claims = list(yaml.safe_load_all((EXAMPLES / "laptop-volumes.yaml").read_text()))
    for claim in claims:
        kubernetes_validate.validate(claim, kubernetes_validate.latest_version(), strict=True)
    values = values_of(["laptop.yaml"])
    assert {claim["metadata"]["name"] for claim in claims} == {values["archive"]["claim"], values["exports"]["claim"]}


def schema_and_values_have_the_same_keys():
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(part, value, path):
        if "properties" not in part or path.endswith(".affinity"):
            return
        keys = set(part["properties"]) - {"global"}
        assert keys == set(value), f"{path}: {keys ^ set(value)}"
        for key in keys:
            if isinstance(value[key], dict):
                compare(part["properties"][key], value[key], f"{path}.{key}")

    compare(schema, values, "values")


def wrong_values_are_refused_by_name():
    for change, message in REFUSED:
        try:
            Release("refused", merged(LEAST, change), "customs")
        except helm.HelmError as error:
            assert message in str(error), f"{change}: {error}"
        else:
            raise AssertionError(f"{change} was taken")
    return f"{len(REFUSED)} cases"


WHOLE = [
    countries_of_a_hub_are_apart,
    what_a_pool_says_counts_also_where_it_is_nothing,
    the_archive_is_vacuumed_unless_the_values_say_never,
    a_pool_of_one_has_no_budget,
    images_are_named_by_digest_where_one_is_given,
    an_executor_with_several_gpus_says_how_many,
    a_pool_on_demand_is_a_document_for_the_scheduler_and_no_deployment,
    monitors_alerts_and_dashboard_are_whole,
    a_disk_of_its_own_takes_none_of_the_node,
    everything_optional_is_valid_too,
    the_claims_of_the_laptop_are_those_that_its_values_name,
    schema_and_values_have_the_same_keys,
    wrong_values_are_refused_by_name,
]


def the_options_are_those_of_the_binary(binary, release):
    for labels, spec in release.pods():
        command = spec["containers"][0]["args"][0]
        text = subprocess.run([binary, command, "--help"], capture_output=True, text=True, check=True).stdout
        for option in arguments(spec):
            assert not option.startswith("--") or re.search(re.escape(option) + r"\b", text), (labels, option)


def main():
    parser = argparse.ArgumentParser(description="Tests of the chart.")
    parser.add_argument("--binary", help="a tidewaiter binary, with whose help the chart's options are compared")
    parser.add_argument("--values", action="append", default=[], type=Path, help="check a release of these values, too")
    options = parser.parse_args()
    passed = failed = 0

    def run(name, check, *given):
        nonlocal passed, failed
        sentence = f"{name}{check.__name__.replace('_', ' ')}"
        try:
            note = check(*given)
        except Exception as error:  # A check that breaks has failed, and the others go on.
            failed += 1
            print(f"FAILED {sentence}: {type(error).__name__}: {error}")
        else:
            passed += 1
            print(f"ok     {sentence}" + (f" ({note})" if note else ""))

    print(f"Helm {helm.helm_sdk_version()}, schemas of Kubernetes up to {kubernetes_validate.latest_version()}")
    cases = {name: (values_of(files), namespace) for name, (files, namespace) in CASES.items()}
    if options.values:
        cases["given values"] = (merged(*(yaml.safe_load(path.read_text()) for path in options.values)), "customs")
    for name, (values, namespace) in cases.items():
        release = Release(name, values, namespace)
        for check in CHECKS:
            run(f"{name}: ", check, release)
        if options.binary:
            run(f"{name}: ", the_options_are_those_of_the_binary, options.binary, release)
    for check in WHOLE:
        run("", check)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
