"""What the API server lets the executor change, whatever its role allows: the admission policies, and trials of them.

`policies()` is written to `components/kubernetes-actuator/admission.yaml` by `k8s/reference.py`; `failures()` has their
CEL decide cases, and needs `celpy` (in `requirements/k8s.txt`).
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

OPT_IN: Final = "mendbus.dev/recovery"
ACCOUNT: Final = "mendbus-executor"

Object = dict[str, Any]

_SPEC: Final = (
    *("strategy", "updateStrategy", "selector", "minReadySeconds", "paused", "progressDeadlineSeconds"),
    *("revisionHistoryLimit", "podManagementPolicy", "serviceName", "volumeClaimTemplates", "ordinals"),
    "persistentVolumeClaimRetentionPolicy",
)
"""All of a spec of a deployment, statefulset or daemonset but `replicas` and `template`."""


def _same(path: str) -> str:
    return f"has(object.{path}) == has(oldObject.{path}) && (!has(object.{path}) || object.{path} == oldObject.{path})"


def _only(after: str, before: str, may_change: str) -> str:
    """Two maps are alike but for the keys of which `may_change` is true."""
    return (
        f"{after}.all(k, {may_change} || (k in {before} && {before}[k] == {after}[k])) && "
        f"{before}.all(k, {may_change} || k in {after})"
    )


def _map(path: str) -> str:
    return f"has({path}) ? {path} : {{}}"


_OPTED_IN: Final = {
    "expression": f"has(oldObject.metadata.labels) && '{OPT_IN}' in oldObject.metadata.labels "
    f"&& oldObject.metadata.labels['{OPT_IN}'] == 'enabled'",
    "message": f"it has no label {OPT_IN}=enabled",
}
_ANNOTATIONS: Final = {
    "expression": _only("variables.after", "variables.before", "k.startsWith('mendbus.dev/')"),
    "message": "only annotations below mendbus.dev/ may change",
}
_OWNERS: Final = {
    "expression": f"({_same('metadata.finalizers')}) && ({_same('metadata.ownerReferences')})",
    "message": "finalizers and owners must stay",
}
_VARIABLES: Final = [
    {"name": "before", "expression": _map("oldObject.metadata.annotations")},
    {"name": "after", "expression": _map("object.metadata.annotations")},
]


def policies() -> list[Object]:
    """The policies with their bindings."""
    workloads = _policy(
        "mendbus-executor-workloads",
        {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "daemonsets"]},
        [
            *_VARIABLES,
            {"name": "restartedBefore", "expression": _map("oldObject.spec.template.metadata.annotations")},
            {"name": "restartedAfter", "expression": _map("object.spec.template.metadata.annotations")},
        ],
        [
            _OPTED_IN,
            {"expression": _same("metadata.labels"), "message": "labels must stay"},
            _ANNOTATIONS,
            _OWNERS,
            {
                "expression": f"object.spec.template.spec == oldObject.spec.template.spec && "
                f"({_same('spec.template.metadata.labels')})",
                "message": "of the pods only the restart annotation may change",
            },
            {
                "expression": _only(
                    "variables.restartedAfter", "variables.restartedBefore", "k == 'mendbus.dev/command'"
                ),
                "message": "of the pods only the restart annotation may change",
            },
            {
                "expression": " && ".join(f"({_same(f'spec.{name}')})" for name in _SPEC),
                "message": "of the spec only replicas may change",
            },
        ],
    )
    pods = _policy(
        "mendbus-executor-pods",
        {"apiGroups": [""], "resources": ["pods"]},
        _VARIABLES,
        [
            _OPTED_IN,
            {
                "expression": f"has(object.metadata.labels) && '{OPT_IN}' in object.metadata.labels "
                f"&& object.metadata.labels['{OPT_IN}'] == 'enabled'",
                "message": f"the label {OPT_IN} must stay",
            },
            _ANNOTATIONS,
            _OWNERS,
            {"expression": "object.spec == oldObject.spec", "message": "the spec of a pod must stay"},
        ],
    )
    return [*workloads, *pods]


def _policy(name: str, rule: Object, variables: Sequence[Object], validations: Sequence[Object]) -> list[Object]:
    account = (
        f"request.userInfo.username.startsWith('system:serviceaccount:') "
        f"&& request.userInfo.username.endsWith(':{ACCOUNT}')"
    )
    policy: Object = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{**rule, "apiVersions": ["v1"], "operations": ["UPDATE"]}]},
            "matchConditions": [{"name": "is-the-executor", "expression": account}],
            "variables": list(variables),
            "validations": [{**validation, "reason": "Forbidden"} for validation in validations],
        },
    }
    binding: Object = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return [policy, binding]


def refusals(policy: Object, before: Object, after: Object, user: str) -> list[str] | None:
    """Why a change is refused, by the policy's own CEL; None where the policy is not about this user."""
    import celpy

    environment = celpy.Environment()

    def value(expression: str, variables: Object) -> Any:
        given = {
            "object": after,
            "oldObject": before,
            "request": {"userInfo": {"username": user}},
            "variables": variables,
        }
        program = environment.program(environment.compile(expression))
        return program.evaluate({name: celpy.json_to_cel(one) for name, one in given.items()})

    spec = policy["spec"]
    if not all(value(condition["expression"], {}) for condition in spec["matchConditions"]):
        return None
    variables: Object = {}
    for variable in spec["variables"]:
        variables[variable["name"]] = value(variable["expression"], {})
    return [rule["message"] for rule in spec["validations"] if not value(rule["expression"], variables)]


EXECUTOR: Final = f"system:serviceaccount:mendbus:{ACCOUNT}"


def deployment() -> Object:
    """A workload that has opted in."""
    return {
        "metadata": {"name": "web", "labels": {OPT_IN: "enabled", "app": "web"}, "annotations": {"owner": "shop"}},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}, "annotations": {"scrape": "yes"}},
                "spec": {"serviceAccountName": "web", "containers": [{"name": "web", "image": "web:1"}]},
            },
        },
    }


def pod() -> Object:
    """A pod that has opted in."""
    labels = {OPT_IN: "enabled", "app": "web", "traffic": "on"}
    spec = {"containers": [{"name": "web", "image": "web:1"}]}
    return {"metadata": {"name": "web-0", "labels": labels}, "spec": spec}


def _annotations(of: Object) -> Object:
    found: Object = of["metadata"].setdefault("annotations", {})
    return found


WORKLOAD_CASES: Final[dict[str, tuple[bool, Callable[[Object], object]]]] = {
    "restart": (True, lambda w: _annotations(w["spec"]["template"]).update({"mendbus.dev/command": "c"})),
    "scale": (True, lambda w: w["spec"].update(replicas=2)),
    "note what was done": (True, lambda w: _annotations(w).update({"mendbus.dev/fence": "7"})),
    "another image": (False, lambda w: w["spec"]["template"]["spec"]["containers"][0].update(image="evil:1")),
    "another account": (False, lambda w: w["spec"]["template"]["spec"].update(serviceAccountName="admin")),
    "one container more": (False, lambda w: w["spec"]["template"]["spec"]["containers"].append({"name": "x"})),
    "another annotation of the pods": (False, lambda w: _annotations(w["spec"]["template"]).update({"inject": "yes"})),
    "one annotation of the pods less": (False, lambda w: _annotations(w["spec"]["template"]).clear()),
    "another label of the pods": (False, lambda w: w["spec"]["template"]["metadata"]["labels"].update(app="other")),
    "another selector": (False, lambda w: w["spec"].update(selector={"matchLabels": {"app": "other"}})),
    "a pause of the rollout": (False, lambda w: w["spec"].update(paused=True)),
    "no label any more": (False, lambda w: w["metadata"]["labels"].pop(OPT_IN)),
    "another annotation": (False, lambda w: _annotations(w).update(owner="me")),
    "another owner": (False, lambda w: w["metadata"].update(ownerReferences=[{"name": "me"}])),
}
POD_CASES: Final[dict[str, tuple[bool, Callable[[Object], object]]]] = {
    "out of traffic": (True, lambda p: p["metadata"]["labels"].update(traffic="off")),
    "note what was done": (True, lambda p: _annotations(p).update({"mendbus.dev/command": "c"})),
    "another image": (False, lambda p: p["spec"]["containers"][0].update(image="evil:1")),
    "no label any more": (False, lambda p: p["metadata"]["labels"].pop(OPT_IN)),
    "another annotation": (False, lambda p: _annotations(p).update(owner="me")),
    "another owner": (False, lambda p: p["metadata"].update(finalizers=["me"])),
}


def failures(manifests: Sequence[Object]) -> Iterator[str]:
    """Cases that the policies decide otherwise than they must."""
    found = {m["metadata"]["name"]: m for m in manifests if m["kind"] == "ValidatingAdmissionPolicy"}
    trials = (("workloads", deployment, WORKLOAD_CASES), ("pods", pod, POD_CASES))
    for what, make, cases in trials:
        policy = found[f"mendbus-executor-{what}"]
        for name, (allowed, change) in cases.items():
            after = copy.deepcopy(make())
            change(after)
            why = refusals(policy, make(), after, EXECUTOR)
            if why is None or (not why) != allowed:
                yield f"{policy['metadata']['name']}: {name} is {'refused: ' + str(why) if allowed else 'let through'}"
            if refusals(policy, make(), after, "system:serviceaccount:shop:deployer") is not None:
                yield f"{policy['metadata']['name']}: {name} is held against somebody else"
        closed = make()
        closed["metadata"]["labels"].pop(OPT_IN)
        if not all(refusals(policy, closed, after, EXECUTOR) for after in (closed, make())):
            yield f"{policy['metadata']['name']}: what has not opted in may be changed"
