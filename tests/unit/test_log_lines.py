"""Our log lines: where they go, and that they tell nothing that was sent."""

import io
import json
import logging
import sys

import pytest

from cdp.log_lines import LOGGERS, log_to_stderr


@pytest.fixture
def loggers():
    """Our loggers, which are afterwards as they were."""
    found = [logging.getLogger(name) for name in LOGGERS]
    before = [(each.handlers[:], each.level, each.propagate) for each in found]
    yield found
    for each, (handlers, level, propagate) in zip(found, before, strict=True):
        each.handlers[:], each.propagate = handlers, propagate
        each.setLevel(level)


def test_lines_reach_the_real_standard_error_whoever_has_taken_its_name(
    loggers, capfd, monkeypatch
):
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    log_to_stderr("client-api")
    logging.getLogger("cdp.http").error("a request failed", extra={"route": "close_campaign"})

    line = json.loads(capfd.readouterr().err)
    assert (line["component"], line["level"]) == ("client-api", "error")
    assert (line["message"], line["route"]) == ("a request failed", "close_campaign")


def test_of_an_error_only_its_kind_and_frames_are_told(loggers, capfd):
    address = "ada@example.org"
    log_to_stderr("client-api")
    try:
        int(address)
    except ValueError:
        logging.getLogger("cdp.http").exception("a request failed")

    text = capfd.readouterr().err
    assert json.loads(text)["error"] == "ValueError"
    assert address not in text
