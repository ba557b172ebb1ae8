"""Checks of the Helm chart: rendered with several values, validated, compared with the code."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes.client import ApiClient

from callpipeline.cli import app
from callpipeline.config import CHECKOUT, Settings
from callpipeline.defs.dagster_internals.probes import SERVICE as GRPC_SERVICE
from tests.fakes.cluster import FakeCluster

helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")

CHART = CHECKOUT / "deploy" / "chart"
OLDEST, NEWEST = "1.28", "1.37"
SOURCES = [
    {"name": "sales", "url": "s3://sales/calls"},
    {"name": "support", "url": "s3://support", "redact": ["phone"]},
]
VALUES: Mapping[str, dict[str, Any]] = {
    "default": {},
    "external database": {"database": {"secret": "calls-db-app", "key": "uri"}},
    "no autoscaling": {"web": {"replicas": 3, "autoscaling": {"enabled": False}}},
    "several sources": {"sources": SOURCES},
    "everything else": {
        "image": {"repository": "registry.example.com/callpipeline", "pullSecrets": ["registry"]},
        "settings": {
            "CALLPIPELINE_S3_REGION": "eu-central-1",
            "CALLPIPELINE_CONCURRENCY": 16,
            "CALLPIPELINE_MIN_FREE_MB": 2_000_000,
        },
        "runs": {
            "max": 20,
            "modelsClaim": "models",
            "nodeSelector": {"pool": "speech"},
            "tolerations": [{"key": "speech", "operator": "Exists", "effect": "NoSchedule"}],
        },
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "host": "calls.example.com",
            "tlsSecret": "calls-tls",
        },
        "networkPolicy": {"ingressNamespace": {"kubernetes.io/metadata.name": "ingress-nginx"}},
    },
}
WORKLOADS = {"code-server", "daemon", "ui", "web", "migrate"}
COMMANDS = {
    command.name or (command.callback.__name__ if command.callback else "").replace("_", "-")
    for command in app.registered_commands
}
KNOWN = {f"CALLPIPELINE_{name.upper()}" for name in Settings.model_fields} | {"DATABASE_URL"}

Manifest = dict[str, Any]


def render(values: dict[str, Any], release: str = "calls") -> list[Manifest]:
    """Return the objects that an installation with these values creates, hooks included."""
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render(values, name=release, namespace="speech")
    documents = (yaml.safe_load_all(text) for path, text in texts.items() if path.endswith(".yaml"))
    return [each for group in documents for each in group if each]


@cache
def rendered(named: str) -> list[Manifest]:
    """Return what `render` does for values of VALUES; not to be changed."""
    return render(VALUES[named])


@pytest.fixture(params=list(VALUES))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return rendered(request.param)


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Return the objects of a kind by their names without the release's."""
    return {
        each["metadata"]["name"].removeprefix("calls-callpipeline").removeprefix("-"): each
        for each in manifests
        if each["kind"] == kind
    }


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield name and specification of each workload's pods."""
    for kind in ("Deployment", "Job"):
        for name, each in of_kind(manifests, kind).items():
            yield name, each["spec"]["template"]["spec"]


def settings_of(manifests: list[Manifest]) -> dict[str, str]:
    return of_kind(manifests, "ConfigMap")["settings"]["data"]


def file_of(manifests: list[Manifest], name: str) -> Any:
    return yaml.safe_load(of_kind(manifests, "ConfigMap")["files"]["data"][name])


def test_the_chart_has_no_finding():
    found = helm.lint(str(CHART))
    assert not found["errors"]
    assert [each["error"] for each in found["messages"]] == ["icon is recommended"]


def test_every_object_is_valid():
    for version, named in ((OLDEST, ["default"]), (NEWEST, list(VALUES))):
        seen: set[str] = set()
        for each in (each for name in named for each in rendered(name)):
            text = re.sub(r'"checksum/config": "\w+"', "", json.dumps(each, sort_keys=True))
            if text not in seen:  # each takes half a second
                kubernetes_validate.validate(each, version, strict=True)
            seen.add(text)
        assert len(seen) >= 20


def test_an_unknown_value_is_refused():
    for values, at in (
        ({"replicas": 3}, "replicas"),
        ({"settings": {"LANGUAGE": "de"}}, "LANGUAGE"),
        ({"ingress": {"enabled": True}}, "host"),
        ({"storage": "/data"}, "storage"),
        ({"secret": ""}, "secret"),
    ):
        with pytest.raises(helm.HelmError, match=at):
            render(values)


def test_every_setting_exists_and_is_valid(manifests: list[Manifest]):
    data = settings_of(manifests)
    assert set(data) <= KNOWN
    for _, pod in pods(manifests):
        assert {each["name"] for each in pod["containers"][0].get("env", [])} <= KNOWN
    values = {name.removeprefix("CALLPIPELINE_").lower(): value for name, value in data.items()}
    options = Settings(_env_file=None, **values)  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert options.run_launcher == "k8s"
    assert options.stop_grace_s < 60


def test_the_values_reach_the_settings():
    data = settings_of(rendered("everything else"))
    assert data["CALLPIPELINE_MIN_FREE_MB"] == "2000000"
    assert data["CALLPIPELINE_S3_REGION"] == "eu-central-1"
    assert data["CALLPIPELINE_CONCURRENCY"] == "16" and data["CALLPIPELINE_MAX_RUNS"] == "20"
    assert data["CALLPIPELINE_WEB_URL"] == "https://calls.example.com"


def test_every_command_exists(manifests: list[Manifest]):
    seen = {name: pod["containers"][0]["args"] for name, pod in pods(manifests)}
    assert set(seen) == WORKLOADS
    for name, arguments in seen.items():
        assert arguments[0] == name and name in COMMANDS
    runs = file_of(manifests, "runs.yaml")
    assert runs["run_k8s_config"]["container_config"]["command"] == ["callpipeline", "execute"]
    assert "execute" in COMMANDS


def test_ports_and_addresses_fit_to_the_settings(manifests: list[Manifest]):
    data, services = settings_of(manifests), of_kind(manifests, "Service")
    ports = {"code-server": "CODE_PORT", "ui": "PORT", "web": "WEB_PORT"}
    assert set(services) == set(ports)
    for name, setting in ports.items():
        number = int(data[f"CALLPIPELINE_{setting}"])
        pod = of_kind(manifests, "Deployment")[name]["spec"]["template"]
        (port,) = pod["spec"]["containers"][0]["ports"]
        (served,) = services[name]["spec"]["ports"]
        assert port["containerPort"] == served["port"] == number
        assert served["targetPort"] == port["name"]
        assert services[name]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        policy = of_kind(manifests, "NetworkPolicy")[name]["spec"]
        assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": number}]
    for setting, name in (("CODE_SERVER", "code-server"), ("UI_SERVER", "ui")):
        address = (
            f"{services[name]['metadata']['name']}:{services[name]['spec']['ports'][0]['port']}"
        )
        assert data[f"CALLPIPELINE_{setting}"] == address


def test_probes_ask_what_the_services_answer(manifests: list[Manifest]):
    deployments = of_kind(manifests, "Deployment")
    for name, each in deployments.items():
        container = each["spec"]["template"]["spec"]["containers"][0]
        probes = [container[kind] for kind in ("startupProbe", "livenessProbe")]
        if name != "daemon":  # serves nothing, so nothing waits for it to be ready
            probes.append(container["readinessProbe"])
        for probe in probes:
            if name == "code-server":
                assert probe["grpc"] == {"port": 4266, "service": GRPC_SERVICE}
            elif name == "daemon":
                module, *arguments = probe["exec"]["command"][2:]
                assert module == "callpipeline.defs.dagster_internals.probes"
                assert arguments == ["daemon"]
            else:
                assert probe["httpGet"]["port"] == container["ports"][0]["name"]
                expected = {"ui": ("/server_info",), "web": ("/health/live", "/health/ready")}[name]
                assert probe["httpGet"]["path"] in expected
                if name == "ui":  # it answers no other host, such as the address of its pod
                    host = {"name": "Host", "value": "localhost"}
                    assert probe["httpGet"]["httpHeaders"] == [host]


def test_pods_are_confined(manifests: list[Manifest]):
    for name, pod in pods(manifests):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["enableServiceLinks"] is False, "CALLPIPELINE_WEB_PORT would be an address"
        (container,) = pod["containers"]
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True, name
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert container["resources"]["limits"]["memory"], name
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod["volumes"]}, name


def test_secrets_are_references(manifests: list[Manifest]):
    assert "Secret" not in {each["kind"] for each in manifests}
    secret = {name for name, field in Settings.model_fields.items() if "Secret" in str(field)}
    assert {f"CALLPIPELINE_{name.upper()}" for name in secret}.isdisjoint(settings_of(manifests))
    for name, pod in pods(manifests):
        container = pod["containers"][0]
        assert {"secretRef": {"name": "callpipeline"}} in container["envFrom"], name


def test_a_database_of_an_operator_is_named_by_reference():
    manifests = rendered("external database")
    reference = {"secretKeyRef": {"name": "calls-db-app", "key": "uri"}}
    for name, pod in pods(manifests):
        assert {"name": "DATABASE_URL", "valueFrom": reference} in pod["containers"][0]["env"], name
    run = file_of(manifests, "runs.yaml")["run_k8s_config"]["container_config"]
    assert run["env"] == [{"name": "DATABASE_URL", "valueFrom": reference}]


def test_only_daemon_and_ui_have_a_token_and_only_the_needed_permissions(
    manifests: list[Manifest],
):
    with_token = {name for name, pod in pods(manifests) if pod["automountServiceAccountToken"]}
    assert with_token == {"daemon", "ui"}
    deployments, roles = of_kind(manifests, "Deployment"), of_kind(manifests, "Role")
    assert set(roles) == with_token and "ClusterRole" not in {each["kind"] for each in manifests}
    allowed = {}
    for name, role in roles.items():
        binding = of_kind(manifests, "RoleBinding")[name]
        account = deployments[name]["spec"]["template"]["spec"]["serviceAccountName"]
        assert [subject["name"] for subject in binding["subjects"]] == [account]
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        allowed[name] = {
            (resource, verb)
            for rule in role["rules"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
    assert allowed["daemon"] - allowed["ui"] == {("jobs", "create")}
    assert not {resource for resource, _ in allowed["daemon"]} & {"secrets", "configmaps", "*"}
    everyones = of_kind(manifests, "ServiceAccount")[""]
    assert everyones["automountServiceAccountToken"] is False


def test_there_is_one_daemon_and_it_stops_before_the_next_one():
    daemon = of_kind(rendered("default"), "Deployment")["daemon"]["spec"]
    assert daemon["replicas"] == 1 and daemon["strategy"] == {"type": "Recreate"}


def test_migrations_come_first():
    job = of_kind(rendered("default"), "Job")["migrate"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    used = json.dumps(job)
    assert "configMap" not in used and "serviceAccountName" not in used, "they do not exist yet"


def test_the_web_app_scales_by_cpu_unless_that_is_off():
    manifests = rendered("default")
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler").values()
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 6)
    assert "replicas" not in of_kind(manifests, "Deployment")["web"]["spec"]
    assert of_kind(manifests, "Deployment")["web"]["spec"]["template"]["spec"]["containers"][0][
        "resources"
    ]["requests"]["cpu"], "the target is a share of it"
    manifests = rendered("no autoscaling")
    assert not of_kind(manifests, "HorizontalPodAutoscaler")
    assert of_kind(manifests, "Deployment")["web"]["spec"]["replicas"] == 3
    (budget,) = of_kind(manifests, "PodDisruptionBudget").values()
    labels = of_kind(manifests, "Deployment")["web"]["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_nothing_comes_in_but_to_the_web_app(manifests: list[Manifest]):
    policies = of_kind(manifests, "NetworkPolicy")
    assert policies[""]["spec"]["ingress"] == []
    for name in ("ui", "code-server"):
        (rule,) = policies[name]["spec"]["ingress"]
        assert all(set(peer) == {"podSelector"} for peer in rule["from"]), name


def test_the_sources_are_those_of_the_values(tmp_path: Path):
    from callpipeline.wiring import load_sources

    manifests = rendered("several sources")
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump(file_of(manifests, "sources.yaml")))
    named = settings_of(manifests)["CALLPIPELINE_SOURCES"]
    assert named == "/etc/callpipeline/sources.yaml"
    access = {"s3_access_key_id": "key", "s3_secret_access_key": "secret"}
    options = Settings(_env_file=None, sources=path, recordings="s3://recordings", **access)  # pyright: ignore
    assert [source.name for source in load_sources(options)] == ["recordings", "sales", "support"]
    assert "CALLPIPELINE_SOURCES" not in settings_of(rendered("default"))


def test_the_version_is_that_of_the_package():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["appVersion"]}"' in (CHECKOUT / "pyproject.toml").read_text()


@pytest.mark.parametrize("named", list(VALUES))
def test_the_job_of_a_run_is_valid_and_confined(named: str, tmp_path: Path):
    """The launcher's options are accepted by Dagster, and make the Job that they describe."""
    with FakeCluster(tmp_path) as cluster:
        launcher = cluster.launcher(file_of(rendered(named), "runs.yaml"))
        job: Any = ApiClient().sanitize_for_serialization(cluster.job_of(launcher))
    kubernetes_validate.validate(job, NEWEST, strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["callpipeline", "execute"]
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
    assert pod["terminationGracePeriodSeconds"] == 60 and job["spec"]["backoffLimit"] == 0
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert {"secretRef": {"name": "callpipeline"}} in container["envFrom"]
    assert {"configMapRef": {"name": "calls-callpipeline-settings"}} in container["envFrom"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/data", "/tmp", "/etc/callpipeline"} <= mounted
    assert ("/data/models" in mounted) is (named == "everything else")
    labels = job["spec"]["template"]["metadata"]["labels"]
    policy = of_kind(rendered(named), "NetworkPolicy")[""]["spec"]["podSelector"]
    assert policy["matchLabels"].items() <= labels.items(), "its pods are restricted too"
