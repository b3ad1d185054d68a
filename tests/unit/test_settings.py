"""Settings that would be overlooked are refused when the platform starts."""

import pytest
from pydantic import ValidationError

from cdp.settings import Settings


@pytest.mark.parametrize(
    "origins",
    ["", "https://app.example", "http://localhost:3000", " https://a.example\n https://b.example "],
)
def test_origins_of_pages_stand_with_spaces_between(origins):
    assert Settings(inbox_origins=origins).inbox_origins == origins


@pytest.mark.parametrize(
    "origins",
    ["*", "app.example", "https://app.example/", "https://A.example", "null",
     "https://a.example,https://b.example", "https://a.example https://b.example/inbox"],
)  # fmt: skip
def test_what_no_browser_calls_an_origin_is_refused(origins):
    with pytest.raises(ValidationError):
        Settings(inbox_origins=origins)
