"""What deploy/ says fits what is served. The files themselves are linted by hand; see docs."""

import json
import re
import tomllib
from pathlib import Path

import yaml

from silverprint.cli.serve import serve

ROOT = Path(__file__).parents[2]
OPTIONS = {f"--{name.replace('_', '-')}" for name in serve.__annotations__}


def options_in(arguments: list[str]) -> set[str]:
    return {argument for argument in arguments if argument.startswith("--")}


def test_the_image_serves_and_is_checked(client) -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    entry = json.loads(re.search(r"^ENTRYPOINT (.+)$", text, re.M)[1])
    assert entry[:2] == ["silverprint", "serve"]
    assert options_in(entry) <= OPTIONS
    port = entry[entry.index("--port") + 1]
    assert f"EXPOSE {port}" in text
    checked = re.search(rf"http://127\.0\.0\.1:{port}(/[a-z/]+)", text)[1]
    assert client.get(checked).status_code == 200
    assert re.search(r"^USER (\d+)$", text, re.M)[1] != "0"
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
        assert f"!{name}" in (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().split()


def test_the_manifest_asks_for_what_is_there(client) -> None:
    parts = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text("utf-8")))
    kinds = {part["kind"]: part for part in parts}
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind in ("Service", "PodDisruptionBudget"):
        selector = kinds[kind]["spec"]["selector"]
        assert selector.get("matchLabels", selector) == labels
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert options_in(container["args"]) <= OPTIONS
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert container["image"].endswith(f":{version}")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert client.get(container[probe]["httpGet"]["path"]).status_code == 200
    claims = {volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
    assert claims == {kinds["PersistentVolumeClaim"]["metadata"]["name"]}


def test_the_unit_starts_the_program() -> None:
    text = (ROOT / "deploy" / "silverprint.service").read_text("utf-8")
    command = re.search(r"^ExecStart=(.+)$", text, re.M)[1].split()
    assert command[0].endswith("/silverprint")
    assert command[1] == "serve"
    assert options_in(command) <= OPTIONS
