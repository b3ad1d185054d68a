from cdp.domain.ids import text_of
from cdp.domain.template import TemplateVersion
from tests.unit.domain.items import START, client


def test_a_version_is_named_in_caches_by_its_id_which_never_comes_again():
    version = TemplateVersion(
        id=bytes(range(16)),
        client_id=client(1),
        name="welcome",
        version=3,
        channel="email",
        parts={"subject": "Hello"},
        created_at=START,
    )

    assert version.key == text_of(version.id)
