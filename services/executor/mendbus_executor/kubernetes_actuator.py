"""Acts on workloads in Kubernetes: rollout restart, scale, evict, isolate by label; a repeat changes nothing.

What was done last stands in annotations of the workload, written in the same patch as the change itself. A pod that
commands may act on carries the fence of the last one too: who comes late with an older command finds the pod changed.
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Final

from mendbus.abilities import POD_STRATEGIES, WORKLOAD_STRATEGIES
from mendbus.contracts.messages import CommandResult, RecoveryCommand
from mendbus.contracts.vocabulary import CommandStatus
from mendbus.telemetry import Span
from mendbus_executor.agent_actuator import Probed
from mendbus_executor.attempt import Actuator
from mendbus_executor.kubernetes_api import Api, ApiRefused, ApiUnreachable, Object, part, pod_path, workload_path
from mendbus_executor.table import KubernetesKind, fill

OPT_IN: Final = "mendbus.dev/recovery"
"""Label that a workload, and a pod, must carry with the value `enabled`: without it nothing is done to it."""
COMMAND: Final = "mendbus.dev/command"
FENCE: Final = "mendbus.dev/fence"
FORMER: Final = "mendbus.dev/former-replicas"
EVICTED: Final = "mendbus.dev/evicted-uid"
_CONFLICT, _TOO_MANY, _FORBIDDEN, _NOT_FOUND = 409, 429, (401, 403), 404
_CONFLICTS: Final = 5


class _NotDone(Exception):
    def __init__(self, status: CommandStatus, code: str, detail: str) -> None:
        self.result = (status, code, detail)
        super().__init__(detail)


class KubernetesActuator:
    """Workloads by kind of agent. `agent`: is asked when a rollout is through, if the kind says so."""

    def __init__(self, kinds: Mapping[str, KubernetesKind], api: Api, agent: Actuator) -> None:
        self._kinds = kinds
        self._api = api
        self._agent = agent

    async def command(self, command: RecoveryCommand, seconds: float, span: Span) -> CommandResult:
        """Changes the workload, unless this command did so before. `accepted`: the rollout goes on."""
        kind = self._kinds[command.agent.kind]
        supported = (*WORKLOAD_STRATEGIES, *(POD_STRATEGIES if kind.pod else ()))
        lifts = command.strategy in ("scale_down", "isolate")
        if command.strategy not in supported or (command.action != "apply" and not lifts):
            return _result(command, "unsupported", None, f"not done here: {command.action} of {command.strategy}")
        try:
            async with asyncio.timeout(seconds):
                detail = await self._do(command, kind, seconds)
        except _NotDone as why:
            return _result(command, *why.result)
        except ApiRefused as refused:
            if refused.status in _FORBIDDEN:
                return _result(command, "unauthorized", "forbidden", refused.reason)
            code = {_NOT_FOUND: "not_found", _TOO_MANY: "disruption_budget", _CONFLICT: "conflict"}.get(refused.status)
            return _result(command, "failed", code or f"http_{refused.status}", refused.reason)
        except (ApiUnreachable, TimeoutError) as error:
            return _result(command, "failed", "no_answer", str(error) or "no answer in time")
        except ValueError as error:
            return _result(command, "failed", "bad_object", str(error))
        if kind.mode == "dry_run":
            # Nothing was changed, so nothing can have recovered.
            return _result(command, "failed", "dry_run", f"the API server would accept: {detail}")
        return _result(command, "accepted", None, detail)

    async def _do(self, command: RecoveryCommand, kind: KubernetesKind, seconds: float) -> str:
        for _ in range(_CONFLICTS):
            workload = await self._workload(kind, command.agent.kind, command.agent.id, seconds)
            _fenced(workload, command)
            again = part(workload, "metadata", "annotations").get(COMMAND) == command.command_id
            try:
                if command.strategy in WORKLOAD_STRATEGIES:
                    if again:
                        return "was done before"
                    await self._fence_pod(command, kind, seconds)
                    return await self._change(command, kind, workload, seconds)
                return await self._act_on_pod(command, kind, workload, seconds, again=again)
            except ApiRefused as refused:
                # Somebody else changed workload or pod in between: what is to be done depends on what they are now.
                if refused.status != _CONFLICT:
                    raise
        raise _NotDone("failed", "conflict", "the workload changes all the time")

    async def _workload(self, kind: KubernetesKind, of_kind: str, agent: str, seconds: float) -> Object:
        workload = await self._api.get(_path(kind, of_kind, agent), seconds)
        return _opted_in(workload, kind.workload)

    async def _change(self, command: RecoveryCommand, kind: KubernetesKind, workload: Object, seconds: float) -> str:
        if command.strategy == "restart":
            said = f"rollout restart of {kind.workload}"
            spec: Object = {"template": {"metadata": {"annotations": {COMMAND: command.command_id}}}}
            noted: Object = {}
        else:
            present = part(workload, "spec").get("replicas")
            if not isinstance(present, int):
                raise _NotDone("unsupported", "no_replicas", f"{kind.workload} has no replicas")
            former = part(workload, "metadata", "annotations").get(FORMER)
            if command.action != "apply":
                if former is None:
                    return "nothing was scaled down"
                replicas, noted = int(former), {FORMER: None}
            else:
                replicas, noted = _fewer(present, command.parameters), {FORMER: former or str(present)}
            said, spec = f"{kind.workload} from {present} to {replicas} replicas", {"replicas": replicas}
        await self._note(command, kind, workload, noted, seconds, spec)
        return said

    async def _note(
        self,
        command: RecoveryCommand,
        kind: KubernetesKind,
        workload: Object,
        noted: Object,
        seconds: float,
        spec: Object | None = None,
    ) -> None:
        """Patches the workload, if it is still the one that was read."""
        annotations = {COMMAND: command.command_id, FENCE: str(command.fence), **noted}
        version = part(workload, "metadata").get("resourceVersion")
        body: Object = {"metadata": {"resourceVersion": version, "annotations": annotations}}
        if spec is not None:
            body["spec"] = spec
        path = _path(kind, command.agent.kind, command.agent.id)
        _ = await self._api.patch(path, body, seconds, dry_run=kind.mode == "dry_run")

    async def _fence_pod(self, command: RecoveryCommand, kind: KubernetesKind, seconds: float) -> None:
        """Whoever still wants to change the pod for an older command is too late from now on."""
        if kind.pod is None or kind.mode == "dry_run":
            return
        path, _ = _pod(kind, command)
        try:
            pod = await self._api.get(path, seconds)
        except ApiRefused as refused:
            if refused.status != _NOT_FOUND:
                raise
            return
        if part(pod, "metadata", "labels").get(OPT_IN) == "enabled":
            _fenced(pod, command)
            _ = await self._mark(path, pod, command, kind, {}, seconds)

    async def _mark(
        self, path: str, pod: Object, command: RecoveryCommand, kind: KubernetesKind, labels: Object, seconds: float
    ) -> Object:
        """Patches the pod, if it is still the one that was read; the pod after that."""
        metadata: Object = {
            "resourceVersion": part(pod, "metadata").get("resourceVersion"),
            "annotations": {COMMAND: command.command_id, FENCE: str(command.fence)},
            "labels": labels,
        }
        return await self._api.patch(path, {"metadata": metadata}, seconds, dry_run=kind.mode == "dry_run")

    async def _act_on_pod(
        self, command: RecoveryCommand, kind: KubernetesKind, workload: Object, seconds: float, *, again: bool
    ) -> str:
        path, name = _pod(kind, command)
        evicts = command.strategy == "failover"
        # A pod of the same name may be the successor already: only the one that was meant is evicted.
        meant: Any = part(workload, "metadata", "annotations").get(EVICTED) if again and evicts else None
        try:
            pod = await self._api.get(path, seconds)
        except ApiRefused as refused:
            if refused.status != _NOT_FOUND or meant is None:
                raise
            pod = {}
        uid: Any = part(pod, "metadata").get("uid")
        if meant not in (None, uid):
            return f"pod {name} was gone before"
        _fenced(_opted_in(pod, f"pod {name}"), command)
        if not again:
            await self._note(command, kind, workload, {EVICTED: uid} if evicts else {}, seconds)
        if evicts:
            return await self._evict(path, await self._mark(path, pod, command, kind, {}, seconds), kind, seconds)
        value = "off" if command.action == "apply" else "on"
        _ = await self._mark(path, pod, command, kind, {kind.traffic_label: value}, seconds)
        return f"pod {name} has {kind.traffic_label}={value}"

    async def _evict(self, path: str, pod: Object, kind: KubernetesKind, seconds: float) -> str:
        metadata = part(pod, "metadata")
        name = metadata.get("name")
        eviction: Object = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": kind.namespace},
            "deleteOptions": {
                "preconditions": {"uid": metadata.get("uid"), "resourceVersion": metadata.get("resourceVersion")}
            },
        }
        try:
            _ = await self._api.create(f"{path}/eviction", eviction, seconds, dry_run=kind.mode == "dry_run")
        except ApiRefused as refused:
            if refused.status != _NOT_FOUND:
                raise
            return f"pod {name} was gone before"
        return f"pod {name} is evicted"

    async def probe(
        self, kind: str, agent: str, incident_id: str, operation: str | None, seconds: float, span: Span
    ) -> Probed:
        """Whether the rollout is through and all replicas are available; then the agent has the last word."""
        of_kind = self._kinds[kind]
        try:
            async with asyncio.timeout(seconds):
                workload = await self._api.get(_path(of_kind, kind, agent), seconds)
        except (ApiRefused, ApiUnreachable, TimeoutError, ValueError) as error:
            return Probed("unhealthy", str(error) or "no answer in time")
        why = unfinished(workload)
        if why:
            return Probed("unhealthy", why)
        if of_kind.ask_agent:
            return await self._agent.probe(kind, agent, incident_id, operation, seconds, span)
        return Probed("healthy", "")


def unfinished(workload: Object) -> str:
    """What a rollout still waits for; empty when it is through."""
    status = part(workload, "status")
    if int(status.get("observedGeneration", 0)) < int(part(workload, "metadata").get("generation", 0)):
        return "the change is not observed yet"
    if "desiredNumberScheduled" in status:
        wanted, updated = int(status["desiredNumberScheduled"]), int(status.get("updatedNumberScheduled", 0))
        available = int(status.get("numberAvailable", 0))
    else:
        wanted, updated = int(part(workload, "spec").get("replicas", 1)), int(status.get("updatedReplicas", 0))
        available = int(status.get("availableReplicas", 0))
        if int(status.get("replicas", 0)) > wanted:
            return "former replicas still run"
    if updated < wanted or available < wanted:
        return f"{updated} of {wanted} replicas are updated, {available} available"
    return ""


def _fenced(found: Object, command: RecoveryCommand) -> None:
    """Raises `_NotDone` when a newer command than this one has been here."""
    last = part(found, "metadata", "annotations").get(FENCE, -1)
    if int(last) > command.fence:
        raise _NotDone("stale", "stale", f"fence {command.fence} is lower than {last}")


def _opted_in(found: Object, what: str) -> Object:
    if part(found, "metadata", "labels").get(OPT_IN) != "enabled":
        raise _NotDone("unauthorized", "not_opted_in", f"{what} has no label {OPT_IN}=enabled")
    return found


def _fewer(present: int, parameters: Mapping[str, object]) -> int:
    to, factor = parameters.get("to"), parameters.get("factor", 0.5)
    if isinstance(to, int) and not isinstance(to, bool):
        return min(present, max(0, to))
    by = factor if isinstance(factor, float) and 0 < factor < 1 else 0.5
    return min(present, max(1, math.floor(present * by)))


def _names(kind: str, agent: str) -> dict[str, str]:
    return {"kind": kind, "id": agent}


def _pod(kind: KubernetesKind, command: RecoveryCommand) -> tuple[str, str]:
    [name] = fill([kind.pod or ""], _names(command.agent.kind, command.agent.id))
    return pod_path(kind.namespace, name), name


def _path(kind: KubernetesKind, of_kind: str, agent: str) -> str:
    resource, _, template = kind.workload.partition("/")
    [name] = fill([template], _names(of_kind, agent))
    return workload_path(kind.namespace, f"{resource}s", name)


def _result(command: RecoveryCommand, status: CommandStatus, code: str | None, detail: str) -> CommandResult:
    cut = detail.encode()[:1000].decode("utf-8", "ignore")
    return CommandResult(command_id=command.command_id, status=status, code=code, detail=cut or None)
