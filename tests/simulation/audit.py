"""What must be true of a run: read from what the server stored and from the agents' books."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.simulation.agents import Books
from tests.simulation.network import Network

from mendbus import codec
from mendbus.bus.memory_streams import Record
from mendbus.contracts.errors import Refused
from mendbus.contracts.journal import (
    Claimed,
    Commanded,
    Concluded,
    Counted,
    Decided,
    Entry,
    JournalRecord,
    Opened,
    Rejected,
)
from mendbus.contracts.messages import ErrorReported, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus_strategy_selector.journal import digest_of


@dataclass
class _Chain:
    number: int = 0
    digest: str = ""
    owner: str = ""


@dataclass
class Audit:
    """The sum of journal and outcomes so far; `look` reads what has come since."""

    network: Network
    broken: list[str] = field(default_factory=list[str])
    """Sentences about what must not be, found on the way."""
    chains: dict[int, _Chain] = field(default_factory=dict[int, _Chain])
    counted: Counter[int] = field(default_factory=Counter[int])
    """How often each stored error was counted or rejected, by stream sequence."""
    events: Counter[str] = field(default_factory=Counter[str])
    """How often each event id was counted."""
    errors: Counter[str] = field(default_factory=Counter[str])
    """Errors by incident."""
    opened: dict[str, Opened] = field(default_factory=dict[str, Opened])
    concluded: dict[str, RecoveryOutcome] = field(default_factory=dict[str, RecoveryOutcome])
    intents: dict[str, int] = field(default_factory=dict[str, int])
    """When the intent of each command was on disk."""
    told: dict[str, RecoveryOutcome] = field(default_factory=dict[str, RecoveryOutcome])
    """The outcome of the highest sequence, by incident."""
    rejected: int = 0
    stored: int = 0
    """Errors, with their counts, that the server acknowledged."""
    read: Counter[str] = field(default_factory=Counter[str])

    def look(self) -> None:
        """Reads what was stored since the last look; to be called more often than errors are forgotten."""
        for record in self._fresh("ERRORS"):
            try:
                self.stored += codec.decode(ErrorReported, record.data).count
            except Refused:
                continue
        for record in self._fresh("JOURNAL"):
            self._journal(record)
        for record in self._fresh("RECOVERIES"):
            outcome = codec.decode(RecoveryOutcome, record.data, MAX_SERVICE_BODY)
            before = self.told.get(outcome.incident_id)
            if before is None or outcome.sequence > before.sequence:
                self.told[outcome.incident_id] = outcome

    def _fresh(self, name: str) -> list[Record]:
        stream = self.network.stream(name)
        if stream is None:
            return []
        first = self.read[name] + 1
        self.read[name] = stream.last_sequence
        found = (stream.get(sequence) for sequence in range(first, stream.last_sequence + 1))
        return [record for record in found if record is not None]

    def _journal(self, stored: Record) -> None:
        record = codec.decode(JournalRecord, stored.data, MAX_SERVICE_BODY)
        chain = self.chains.setdefault(record.partition, _Chain())
        where = f"record {record.number} of partition {record.partition} by {record.owner}"
        if record.number != chain.number + 1:
            self.broken.append(f"{where} follows record {chain.number} of {chain.owner}")
        if record.previous != chain.digest:
            self.broken.append(f"{where} does not carry the hash of the record before it")
        claims = bool(record.entries) and isinstance(record.entries[0], Claimed)
        if record.owner != chain.owner and not claims:
            self.broken.append(f"{where} although {chain.owner} owns it")
        self.chains[record.partition] = _Chain(record.number, digest_of(stored.data), record.owner)
        for entry in record.entries:
            self._entry(entry, stored)

    def _entry(self, entry: Entry, stored: Record) -> None:
        match entry:
            case Opened():
                if entry.incident_id in self.opened:
                    self.broken.append(f"incident {entry.incident_id} was opened twice")
                self.opened[entry.incident_id] = entry
            case Counted():
                self.counted.update(entry.sequences)
                self.events.update(entry.event_ids)
                self.errors[entry.incident_id] += entry.error_count
            case Rejected():
                self.counted[entry.sequence] += 1
                self.rejected += 1
            case Decided() | Commanded() if entry.command is not None:
                self.intents.setdefault(entry.command.command_id, stored.time_unix_nano)
            case Concluded():
                before = self.concluded.get(entry.outcome.incident_id)
                if before is not None and entry.outcome.sequence != before.sequence + 1:
                    self.broken.append(
                        f"incident {before.incident_id}: outcome {entry.outcome.sequence} follows {before.sequence}"
                    )
                self.concluded[entry.outcome.incident_id] = entry.outcome
            case _:
                pass

    def unrest(self, books: Sequence[Books]) -> list[str]:
        """What is still to come: errors not counted, incidents not ended, outcomes not told."""
        found: list[str] = []
        for each in books:
            found += [f"{each.name}: {event_id} is not acknowledged" for event_id in each.outbox]
        stream = self.network.stream("ERRORS")
        if stream is not None:
            missing = [sequence for sequence in range(1, stream.last_sequence + 1) if not self.counted[sequence]]
            found += [f"the stored error {sequence} is not counted" for sequence in missing]
        for incident_id, opened in self.opened.items():
            where = f"incident {incident_id} of {opened.agent.key}"
            told, last = self.told.get(incident_id), self.concluded.get(incident_id)
            if last is None:
                found.append(f"{where} has no outcome")
            elif told is None or told.sequence < last.sequence:
                found.append(f"{where}: outcome {last.sequence} was not told")
            elif told.outcome == "recovered" and not told.settled:
                found.append(f"{where} is recovered and has not settled")
            elif told.error_count != self.errors[incident_id]:
                found.append(f"{where} counts {self.errors[incident_id]} errors and told of {told.error_count}")
        return found

    def verdict(self, books: Sequence[Books]) -> list[str]:
        """What is wrong when all has come to rest; call `look` before."""
        wrong = list(self.broken)
        wrong += [f"the stored error {s} was counted {n} times" for s, n in self.counted.items() if n > 1]
        wrong += [f"event {e} was counted {n} times" for e, n in self.events.items() if n > 1]
        wrong += self._sums()
        for each in books:
            wrong += self._effects(each)
            for event_id, count in each.acknowledged.items():
                if count and not self.events[event_id]:
                    wrong.append(f"{each.name}: the acknowledged error {event_id} is lost")
        for incident_id, opened in self.opened.items():
            wrong += self._truth(incident_id, opened, books)
        return wrong

    def _sums(self) -> list[str]:
        stored, counted, told = (
            self.stored,
            sum(self.errors.values()),
            sum(outcome.error_count for outcome in self.told.values() if outcome.outcome != "rejected"),
        )
        return [] if stored == counted == told else [f"{stored} errors are stored, {counted} counted, {told} told"]

    def _effects(self, books: Books) -> list[str]:
        wrong = [f"{books.name}: {key} took effect {n} times" for key, n in books.effects.items() if n > 1]
        times = Counter(command_id for command_id, _ in books.commands)
        wrong += [f"{books.name}: command {c} took effect {n} times" for c, n in times.items() if n > 1]
        for command_id, began in books.commands:
            if command_id not in self.intents or self.intents[command_id] > began:
                wrong.append(f"{books.name}: command {command_id} was done before its intent was on disk")
        return wrong

    def _truth(self, incident_id: str, opened: Opened, books: Sequence[Books]) -> list[str]:
        last = self.told.get(incident_id)
        if last is None:
            return []
        wrong: list[str] = []
        if (last.reason or "").startswith("internal error"):
            wrong.append(f"incident {incident_id}: {last.reason}")
        for each in books:
            if each.name != opened.agent.key:
                continue
            never = opened.error.operation not in each.healed or each.plan.behaviour == "silent"
            if never and last.outcome in ("recovered", "no_action"):
                wrong.append(f"incident {incident_id} of {each.name} is {last.outcome}, and was never healthy")
        return wrong
