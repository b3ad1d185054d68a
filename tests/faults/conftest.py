"""A MongoDB whose faults are commanded, as the tests of the rules have it; another one of these."""

from tests.integration.rules.conftest import rig, rules_admin, rules_mongod, smtp

__all__ = ["rig", "rules_admin", "rules_mongod", "smtp"]
