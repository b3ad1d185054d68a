"""What is handed to Ray: it validates by Ray's own schemas, and names only what there is."""

import ast
import dataclasses
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import DeploymentSchema, ServeApplicationSchema, ServeDeploySchema

from cdp.http.call import ApiServices
from cdp.services.inbox_streams import HEARTBEAT_S, STREAM_S, StreamLimits
from tests.house.repository import files_in, read


@pytest.fixture
def serve_config():
    return yaml.safe_load(read("serve_config.yaml"))


@pytest.fixture
def cluster():
    return yaml.safe_load(read("cluster.yaml"))


def constants(tree):
    """The names of a module that are bound to text."""
    found: dict[str, str] = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            found |= {t.id: value.value for t in targets if isinstance(t, ast.Name)}
    return found


def known_deployments():
    """The names under which `deployments/` declares something to Serve."""
    trees = [ast.parse(read(path)) for path in files_in("deployments", suffix=".py")]
    named = {name: text for tree in trees for name, text in constants(tree).items()}
    found = set()
    for tree in trees:
        for cls in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            for call in (d for d in cls.decorator_list if isinstance(d, ast.Call)):
                if ast.unparse(call.func) == "serve.deployment":
                    [name] = [k.value for k in call.keywords if k.arg == "name"]
                    found.add(
                        name.value if isinstance(name, ast.Constant) else named[ast.unparse(name)]
                    )
    return found


def test_serve_config_validates(serve_config):
    ServeDeploySchema.model_validate(serve_config)


def test_serve_config_names_exactly_the_deployments_that_there_are(serve_config):
    named = [d["name"] for app in serve_config["applications"] for d in app["deployments"]]

    assert len(named) == len(set(named))
    assert set(named) == known_deployments()


def test_serve_config_has_no_key_that_ray_would_overlook(serve_config):
    for app in serve_config["applications"]:
        assert app.keys() <= ServeApplicationSchema.model_fields.keys()
        for deployment in app["deployments"]:
            assert deployment.keys() <= DeploymentSchema.model_fields.keys()


def test_serve_lets_every_stream_of_an_inbox_come_to_its_end(serve_config):
    [api] = [d for app in serve_config["applications"] for d in app["deployments"]
             if d["name"] == "ClientApi"]  # fmt: skip
    own: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(ApiServices)}

    # Serve counts a stream's time and its place as those of any other request.
    assert serve_config["http_options"]["request_timeout_s"] > STREAM_S + HEARTBEAT_S
    assert api["graceful_shutdown_timeout_s"] > STREAM_S
    assert api["max_ongoing_requests"] > own["requests_max"] + StreamLimits().listeners


def test_serve_config_imports_what_is_there(serve_config):
    for app in serve_config["applications"]:
        module, _, name = app["import_path"].partition(":")
        tree = ast.parse(read(f"{module.replace('.', '/')}.py"))
        bound = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

        assert name in bound


def test_serve_listens_to_this_machine_alone_unless_it_is_told_otherwise(serve_config):
    assert serve_config["http_options"]["host"] == "127.0.0.1"


def test_every_replica_asks_for_a_share_of_a_cpu(serve_config):
    for app in serve_config["applications"]:
        for deployment in app["deployments"]:
            # With 0 Ray's autoscaler would never see that nodes are missing.
            assert 0 < deployment["ray_actor_options"]["num_cpus"] < 1


def test_cluster_validates(cluster):
    validate_config(prepare_config(cluster))


@pytest.mark.parametrize("key", ["available_node_types", "provider"])
def test_a_broken_cluster_would_be_refused(cluster, key):
    cluster[key] = "nonsense"

    with pytest.raises(Exception):  # noqa: B017, PT011 - Ray has no class of its own for it
        validate_config(prepare_config(cluster))


def test_the_cluster_runs_the_locked_ray(cluster):
    [locked] = [
        line.split("==")[1].split()[0].rstrip("\\")
        for line in read("requirements.lock").splitlines()
        if line.startswith("ray==")
    ]

    assert cluster["docker"]["image"].partition(":")[2] == f"{locked}-py311"


def test_the_dashboard_of_the_cluster_is_not_open(cluster):
    [start] = [c for c in cluster["head_start_ray_commands"] if "ray start" in c]

    assert "--dashboard-host=127.0.0.1" in start
