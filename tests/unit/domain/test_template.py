"""A template's variants: which language a reader gets, how versions differ, how they are cached."""

from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.ids import text_of
from cdp.domain.template import (
    ANY_LOCALE,
    PartDiff,
    TemplateVersion,
    differences,
    locale_of,
    lookup_range,
)
from tests.unit.domain.items import START, client

TAGS = st.from_regex(r"\A[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}\Z")


def version(contents, *, number=3):
    return TemplateVersion(
        id=bytes(range(16)),
        client_id=client(1),
        name="welcome",
        version=number,
        contents=contents,
        created_at=START,
    )


PARTS = {"subject": "Hello"}


def test_a_variant_is_named_in_caches_by_an_id_that_never_comes_again():
    one = version({"email": {ANY_LOCALE: PARTS, "de": PARTS}})

    keys = [one.variant("email", locale).key for locale in (None, "de")]

    assert keys == [f"{text_of(one.id)}/email/*", f"{text_of(one.id)}/email/de"]


def test_a_reader_gets_the_nearest_language_that_there_is():
    one = version({"sms": {name: {"text": name} for name in ("pt-BR", "pt", ANY_LOCALE)}})

    found = {
        locale: one.variant("sms", locale).locale
        for locale in ("pt-BR", "PT-br", "pt-PT", "pt", "pt-BR-x-a", "fr", None)
    }

    assert found == {
        "pt-BR": "pt-BR",
        "PT-br": "pt-BR",
        "pt-PT": "pt",
        "pt": "pt",
        "pt-BR-x-a": "pt-BR",
        "fr": ANY_LOCALE,
        None: ANY_LOCALE,
    }


def test_without_a_variant_for_all_another_language_gets_nothing():
    one = version({"sms": {"de": {"text": "Hallo"}}})

    assert one.variant("sms", "fr") is None
    assert one.variant("email", "de") is None


@given(TAGS)
def test_the_form_of_a_language_tag_is_the_same_however_it_was_written(tag):
    assert locale_of(tag.upper()) == locale_of(tag.lower()) == locale_of(locale_of(tag))


@given(TAGS)
def test_the_lookup_goes_from_the_narrowest_to_all_and_never_ends_in_a_single_letter(tag):
    names = lookup_range(tag)

    assert names[0] == locale_of(tag)
    assert names[-1] == ANY_LOCALE
    assert sorted(names[:-1], key=len, reverse=True) == names[:-1]
    assert all(len(name.rpartition("-")[2]) > 1 for name in names[1:-1] if "-" in name)


def test_two_versions_differ_part_by_part():
    old = version({"email": {ANY_LOCALE: {"subject": "Hello", "text": "One\nTwo"}}}, number=1)
    new = version(
        {
            "email": {ANY_LOCALE: {"subject": "Hello", "text": "One\nThree"}},
            "sms": {"de": {"text": "Hallo"}},
        },
        number=2,
    )

    assert differences(old, new) == [
        PartDiff(
            channel="email", locale="*", part="text", diff="@@ -1,2 +1,2 @@\n One\n-Two\n+Three"
        ),
        PartDiff(channel="sms", locale="de", part="text", diff="@@ -0,0 +1 @@\n+Hallo"),
    ]
    assert differences(new, new) == []
