"""The admission policies: they bind the executor alone, and name everything that it must not change."""

import pytest
from k8s.admission import ACCOUNT, OPT_IN, failures, policies

from mendbus_executor import kubernetes_actuator
from mendbus_executor.kubernetes_api import RULES

POLICIES = {one["metadata"]["name"]: one["spec"] for one in policies() if one["kind"] == "ValidatingAdmissionPolicy"}
BINDINGS = [one["spec"] for one in policies() if one["kind"] == "ValidatingAdmissionPolicyBinding"]


def test_everything_that_the_role_lets_it_patch_is_bound() -> None:
    """Each resource that the executor may patch has a policy, which also refuses when it fails, and a binding."""
    patched = {(rule["apiGroups"][0], name) for rule in RULES if "patch" in rule["verbs"] for name in rule["resources"]}
    bound = {
        (rule["apiGroups"][0], name)
        for spec in POLICIES.values()
        for rule in spec["matchConstraints"]["resourceRules"]
        for name in rule["resources"]
    }
    assert bound == patched
    assert all(spec["failurePolicy"] == "Fail" for spec in POLICIES.values())
    assert {spec["policyName"] for spec in BINDINGS} == set(POLICIES)
    assert all(spec["validationActions"] == ["Deny"] for spec in BINDINGS)


def test_label_and_account_are_those_of_the_code() -> None:
    """The opt-in label is the one that the executor looks for, and the account the one that the component gives it."""
    assert OPT_IN == kubernetes_actuator.OPT_IN
    for spec in POLICIES.values():
        (condition,) = spec["matchConditions"]
        assert f":{ACCOUNT}'" in condition["expression"]
        assert any(OPT_IN in rule["expression"] for rule in spec["validations"])
    (command,) = (
        rule["expression"]
        for rule in POLICIES["mendbus-executor-workloads"]["validations"]
        if "restarted" in rule["expression"]
    )
    assert f"'{kubernetes_actuator.COMMAND}'" in command


def test_the_cases_are_decided_as_they_must() -> None:
    """The policies' own CEL lets restart and scaling through and refuses the rest; each rule is needed for one case."""
    pytest.importorskip("celpy", reason="cel-python is in requirements/k8s.txt: `make check-k8s` runs this")
    assert list(failures(policies())) == []
    for at, policy in enumerate(policies()):
        for rule in range(len(policy["spec"].get("validations", ()))):
            weaker = policies()
            del weaker[at]["spec"]["validations"][rule]
            assert list(failures(weaker)), policy["spec"]["validations"][rule]["message"]
