"""The alert part of the policy in force, with the addresses and secrets of its webhooks; read again when it changes."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mendbus.alert_policy import AlertPolicy, Webhook, check_url, load_alert_policy
from mendbus.contracts.errors import SettingsError
from mendbus.filestamp import Watched

log = logging.getLogger("mendbus")


class Address(NamedTuple):
    """Where a webhook is, and the key for its signatures; both may be secret."""

    url: str
    secret: str

    def __repr__(self) -> str:
        return "Address(...)"


class AlertPolicies:
    """Holds the current policy. Raises `SettingsError` when the first one is wrong; a later one is refused whole."""

    def __init__(self, file: Path | None, environment: Mapping[str, str] | None = None) -> None:
        self._file = file
        self._environment = os.environ if environment is None else environment
        self._watched = Watched(file)
        self.current: AlertPolicy = load_alert_policy(file)
        self._addresses = self._find(self.current)

    def webhook(self, name: str) -> tuple[Webhook, Address] | None:
        """A webhook of the current policy, if it has one of that name."""
        found = next((one for one in self.current.webhooks if one.name == name), None)
        return (found, self._addresses[name]) if found else None

    def look(self) -> bool:
        """Takes over a file that changed, or logs what is wrong with it. Returns whether the policy is another one."""
        if not self._watched.changed():
            return False
        try:
            policy = load_alert_policy(self._file)
            addresses = self._find(policy)
        except SettingsError as error:
            log.error("alerts stay as they were, the new policy is refused: %s", error)
            return False
        changed = (policy, addresses) != (self.current, self._addresses)
        self.current, self._addresses = policy, addresses
        if changed:
            log.info("alerts: %d rules and %d webhooks of the policy file", len(policy.rules), len(policy.webhooks))
        return changed

    def _find(self, policy: AlertPolicy) -> dict[str, Address]:
        problems: list[str] = []
        addresses: dict[str, Address] = {}
        for webhook in policy.webhooks:
            values = {name: self._environment.get(name, "") for name in (webhook.url_env, webhook.secret_env) if name}
            problems += [
                f"webhook {webhook.name}: the environment variable {name} is not set"
                for name, value in values.items()
                if not value
            ]
            url = webhook.url or values.get(webhook.url_env or "", "")
            try:
                if webhook.url_env and url:
                    check_url(url)
            except ValueError as error:
                problems.append(f"webhook {webhook.name}: what {webhook.url_env} holds is {error}")
            addresses[webhook.name] = Address(url, values.get(webhook.secret_env or "", ""))
        if problems:
            raise SettingsError(problems)
        return addresses
