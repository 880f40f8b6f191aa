"""The manifests: against Kubernetes' own schemas, with each other, and the configuration in them as the program sees it.

  check.py PSSST      where PSSST is our program; needs what requirements.txt says

Last line: `N passed, N failed`.
"""

import copy
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).parent
# The newest, and what is still in use.
VERSIONS = ("1.37", "1.30")


def objects():
    found = {}
    for path in sorted(HERE.glob("*.yaml")):
        for thing in yaml.safe_load_all(path.read_text()):
            found[thing["kind"]] = thing
    return found


def schemas(things):
    for version in VERSIONS:
        for thing in things.values():
            kubernetes_validate.validate(thing, version, strict=True)
    # What does not see this sees nothing.
    wrong = copy.deepcopy(things["Deployment"])
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["prot"] = 9100
    try:
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)
    except kubernetes_validate.ValidationError:
        return f"{len(things)} objects, Kubernetes {' and '.join(VERSIONS)}"
    raise AssertionError("a wrong manifest passes")


def connected(things):
    pod = things["Deployment"]["spec"]["template"]
    name, labels = things["Deployment"]["metadata"]["name"], pod["metadata"]["labels"]
    container = pod["spec"]["containers"][0]
    ports = {port["name"]: (port["containerPort"], port["protocol"]) for port in container["ports"]}
    assert things["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert things["Service"]["spec"]["selector"] == labels
    assert things["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert things["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert things["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == name
    assert things["Service"]["spec"]["ports"][0]["targetPort"] in ports
    assert all(rule["port"] in ports for ingress in things["NetworkPolicy"]["spec"]["ingress"] for rule in ingress["ports"])
    assert {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")} == {"/livez", "/readyz"}
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert all(mount["name"] in volumes for mount in container["volumeMounts"])
    assert volumes["configuration"]["configMap"]["name"] == things["ConfigMap"]["metadata"]["name"]
    namespace = things["Namespace"]["metadata"]["name"]
    assert all(thing["metadata"].get("namespace", namespace) == namespace for thing in things.values())

    gateway = tomllib.loads(things["ConfigMap"]["data"]["pssst.toml"])["gateway"]
    assert gateway["listen"].endswith(f":{ports['pssst'][0]}") and gateway["metrics"].endswith(f":{ports['metrics'][0]}")
    assert gateway["drain"] + gateway["shutdown-timeout"] < pod["spec"]["terminationGracePeriodSeconds"]
    assert str(gateway["workers"]) == container["resources"]["requests"]["cpu"]
    return "selectors, ports, mounts, times"


def restricted(things):
    """What Kubernetes' Pod Security Standard "restricted" asks for."""
    pod = things["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    security = pod["containers"][0]["securityContext"]
    assert security["allowPrivilegeEscalation"] is False and security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"]
    return "not root, no capabilities, nothing to write"


def configuration(things, ours):
    text = things["ConfigMap"]["data"]["pssst.toml"]
    with tempfile.TemporaryDirectory() as folder:
        keys, config = pathlib.Path(folder, "keys.json"), pathlib.Path(folder, "pssst.toml")
        subprocess.run([ours, "keys", "init", str(keys)], check=True, capture_output=True)
        # As the volume has it: the pod's group may read it, too.
        keys.chmod(0o440)
        config.write_text(text.replace("/keys/keys.json", str(keys)))
        done = subprocess.run([ours, "config", "check", str(config)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        config.write_text(config.read_text().replace("drain", "drian"))
        assert subprocess.run([ours, "config", "check", str(config)], capture_output=True).returncode == 2
    return "pssst config check"


def main():
    things = objects()
    failed = 0
    checks = {"schemas": schemas, "names": connected, "restricted": restricted, "configuration": lambda it: configuration(it, sys.argv[1])}
    for name, check in checks.items():
        try:
            print(f"ok   {name}: {check(things)}")
        except Exception as error:
            failed += 1
            print(f"FAIL {name}: {error!r}")
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
