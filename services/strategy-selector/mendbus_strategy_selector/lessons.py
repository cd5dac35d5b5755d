"""What the journal teaches: the ends of attempts, and which of two choices would have been right.

A fold over the journal of all partitions: every owner that has read the same records knows the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mendbus.contracts.canary import is_canary
from mendbus.contracts.foreseen import was_predicted
from mendbus.lift import Trial
from mendbus_strategy_selector.choosing import POLICY
from mendbus_strategy_selector.experience import Experience, Lesson, Seen, unpacked

LATER_WEIGHT: Final = 0.5
"""What an attempt after the first counts as: it met only what the first one left, which is harder or half repaired."""
_REMEMBERED: Final = 4096
"""Incidents of which it is remembered what they have taught: as many closed ones, and as many others."""
_WAITING: Final = 100
"""Cases held out that wait for one in which the model in use decided."""
_NOT_TRIED: Final = frozenset(("unsupported", "expired", "stale", "misaddressed", "unauthorized"))
"""Ends of commands that were never carried out: they teach nothing."""
_OVER: Final = frozenset(("escalated", "failed"))
"""Outcomes after which nothing more is done, settled or not."""

Pair = tuple[str, str]
"""Names of what decided and of what was in trial beside it."""


@dataclass(slots=True)
class Lessons:
    """What has been learned here since each model came into use, and how the trials stand."""

    experiences: dict[str, Experience] = field(default_factory=dict[str, Experience])
    """By model: one that is trained on what was seen must not count it twice."""
    trials: dict[Pair, Trial] = field(default_factory=dict[Pair, Trial])
    held: dict[Pair, list[bool]] = field(default_factory=dict[Pair, list[bool]])
    """Whether the policy's first attempt helped, in cases held out that were not set against one of the model yet."""
    seen: int = 0
    """Stream sequence of the last record that taught something."""
    chosen: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """By incident: what was noted of the learned choice when it was first decided on."""
    taught: dict[str, int] = field(default_factory=dict[str, int])
    """By incident that is not closed: of how many of its attempts the end is known. It may be told of again."""
    closed: dict[str, int] = field(default_factory=dict[str, int])
    """The same of closed ones, of which there are many more: they push none out that waits."""

    def follow(self, names: Iterable[str]) -> None:
        """Learns for these models from now on, and for no others."""
        self.experiences = {name: self.experiences.get(name) or Experience() for name in names}

    def take(self, sequence: int, entries: Iterable[Mapping[str, Any]]) -> None:
        """Takes a record in, once. Raises `KeyError` or `TypeError` for entries that are none."""
        if sequence <= self.seen:
            return
        for entry in entries:
            match entry["type"]:
                case "decided":
                    self._decided(entry)
                case "concluded":
                    self._concluded(entry["outcome"])
                case _:
                    continue
            self.seen = sequence

    def _decided(self, entry: Mapping[str, Any]) -> None:
        noted = entry["decision"].get("learned")
        if noted and entry["attempt"] == 1 and not noted.get("explored"):
            _remember(self.chosen, entry["incident_id"], dict(noted))

    def _concluded(self, outcome: Mapping[str, Any]) -> None:
        for lesson in self.ends(outcome):
            for experience in self.experiences.values():
                experience.learn(lesson)
        attempts, incident_id = outcome.get("attempts", []), outcome["incident_id"]
        # Whatever waits for a person, or for the end of a pause, may yet do what the other would have done.
        over = outcome.get("settled") or outcome["outcome"] in _OVER
        if attempts and over and self._known(incident_id) == len(attempts) and incident_id in self.chosen:
            done = [str(one["strategy"]) for one in attempts]
            self._judge(self.chosen.pop(incident_id), done, _helped(outcome))

    def ends(self, outcome: Mapping[str, Any]) -> list[Lesson]:
        """The attempts of an incident whose end is known since this outcome, each once."""
        attempts, error = outcome.get("attempts", []), outcome.get("error")
        agent, found = outcome["agent"], outcome.get("classification")
        if not attempts or error is None or is_canary(f"{agent['kind']}/{agent['id']}"):
            return []
        if was_predicted(error):
            # An agent that had not failed is well after whatever was done to it.
            return []
        # One that has recovered and not settled may be taken back.
        open_ = outcome["outcome"] == "recovered" and not outcome.get("settled")
        known, before = len(attempts) - open_, self._known(outcome["incident_id"])
        for kept in (self.taught, self.closed):
            _ = kept.pop(outcome["incident_id"], None)
        _remember(self.closed if outcome.get("settled") else self.taught, outcome["incident_id"], max(known, before))
        seen = Seen(
            agent["kind"],
            found["category"] if found else "unknown",
            error["exception"]["type"],
            outcome["fingerprint"],
            found["severity"] if found else "",
        )
        helped = _helped(outcome)
        return [
            Lesson(
                seen,
                one["strategy"],
                helped[place],
                (one["ended_unix_nano"] - one["started_unix_nano"]) / 1e9,
                LATER_WEIGHT if place else 1.0,
            )
            for place, one in enumerate(attempts[:known])
            if place >= before and one["status"] not in _NOT_TRIED
        ]

    def _known(self, incident_id: str) -> int:
        return self.taught.get(incident_id, self.closed.get(incident_id, 0))

    def _judge(self, noted: Mapping[str, Any], done: Sequence[str], helped: Sequence[bool]) -> None:
        """Counts a case in which the two would have done different things: `done` is what was, `helped` of each."""
        model, rival = str(noted["model"]), str(noted["rival"])
        mine, other = str(noted["strategy"]), str(noted["rival_strategy"])
        acts, held_out = bool(noted.get("acts")), bool(noted.get("held_out"))
        if mine == other:
            return
        if acts and rival == POLICY:
            if done[0] == (other if held_out else mine):
                self._set_against((model, rival), helped[0], held_out=held_out)
            return
        # What is in trial is never done first here: it has shown something only where what was done did not help.
        used, new = (mine, other) if acts else (other, mine)
        if done[0] == used and not held_out:
            trial = self.trials.setdefault((model, rival) if acts else (rival, model), Trial())
            trial.count(used_right=helped[0], new_right=dict(zip(done, helped, strict=True)).get(new, False))

    def _set_against(self, pair: Pair, helped: bool, *, held_out: bool) -> None:
        """Sets each case held out against the next one that was not, first attempt against first attempt.

        Chance alone has told them apart, so that between equals it is a fair coin which of the two helped.
        """
        waiting = self.held.setdefault(pair, [])
        if held_out:
            waiting.append(helped)
            del waiting[:-_WAITING]
        elif waiting:
            self.trials.setdefault(pair, Trial()).count(used_right=helped, new_right=waiting.pop(0))

    def end(self, pair: Pair) -> None:
        """Forgets how a trial stands; cases to come are counted anew."""
        for kept in (self.trials, self.held):
            _ = kept.pop(pair, None)

    def packed(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "experiences": {name: one.packed() for name, one in self.experiences.items()},
            "trials": [[*pair, trial.asked, trial.better, trial.worse] for pair, trial in self.trials.items()],
            "held": [[*pair, waiting] for pair, waiting in self.held.items()],
            "seen": self.seen,
            "chosen": self.chosen,
            "taught": self.taught,
            "closed": self.closed,
        }


def restored(value: Mapping[str, Any]) -> Lessons:
    """What `Lessons.packed` gave. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    found = Lessons({str(name): unpacked(one) for name, one in value["experiences"].items()})
    for used, new, asked, better, worse in value["trials"]:
        found.trials[str(used), str(new)] = Trial(int(asked), int(better), int(worse))
    # Checkpoints of before there were any have none.
    for used, new, waiting in value.get("held", []):
        found.held[str(used), str(new)] = [bool(one) for one in waiting]
    found.seen = int(value["seen"])
    for incident_id, noted in value["chosen"].items():
        _remember(found.chosen, str(incident_id), dict(noted))
    for kept, numbers in ((found.taught, value["taught"]), (found.closed, value.get("closed", {}))):
        for incident_id, number in numbers.items():
            _remember(kept, str(incident_id), int(number))
    return found


def _helped(outcome: Mapping[str, Any]) -> list[bool]:
    """Of each attempt whether it helped: the last one, where the recovery held. A person who was needed is a loss."""
    attempts = outcome["attempts"]
    held = outcome["outcome"] == "recovered" and bool(outcome.get("settled"))
    last = attempts[-1]
    return [*(False for _ in attempts[:-1]), held and bool(last["verified"]) and not last.get("undone")]


def _remember(kept: dict[str, Any], incident_id: str, value: Any) -> None:
    kept.pop(incident_id, None)
    kept[incident_id] = value
    if len(kept) > _REMEMBERED:
        del kept[next(iter(kept))]
