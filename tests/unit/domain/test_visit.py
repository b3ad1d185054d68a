"""E10: who looked at a pixel or a link, from what is known of real mail programs and scanners."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.event import EventName
from cdp.domain.visit import (
    BURST_S,
    TOO_SOON,
    ClickBursts,
    MachineSign,
    Visit,
    machine_signs,
    relay_of,
)

S = MachineSign
OPENED, CLICKED = EventName.OPENED, EventName.CLICKED
DELIVERED = datetime(2030, 1, 1, 12, tzinfo=UTC)
LATER = DELIVERED + timedelta(minutes=7)

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
CHROME = f"{WINDOWS} Chrome/142.0.0.0 Safari/537.36"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko)"
)
GMAIL_PREFETCH = f"{WINDOWS} Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
GMAIL_SAMPLING = f"{WINDOWS} Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Gmail-content-sampling"
GMAIL_PROXY = (
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
)
YAHOO_PROXY = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"

PEOPLE = [
    CHROME,
    f"{CHROME} Edg/142.0.0.0",
    # The browser that Gmail's prefetch pretends to be.
    f"{WINDOWS} Chrome/42.0.2311.135 Safari/537.36 Edge/12.246",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.3.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    IPHONE,
    f"{IPHONE} Version/18.5 Mobile/15E148 Safari/604.1",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)",
    "Outlook-iOS/729.3240 CFNetwork/1568 Darwin/24.0.0",
    "Mozilla/5.0 (Linux; Android 10; CUBOT X30) AppleWebKit/537.36 Chrome/120.0 Mobile",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 Chrome/131.0 Mobile",
    "okhttp/4.12.0",
]
PROGRAMS = [
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    f"{WINDOWS} BingPreview/1.0b",
    f"{WINDOWS} SkypeUriPreview Preview/0.5",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; +http://www.linkedin.com)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "WhatsApp/2.23.20.0",
    "TelegramBot (like TwitterBot)",
    "Barracuda Sentinel (EE)",
    "Mozilla/5.0 (compatible; Proofpoint URL Defense)",
    "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0",
    "python-requests/2.32.3",
    "Python/3.11 aiohttp/3.10.5",
    "python-httpx/0.27.0",
    "Python-urllib/3.12",
    "curl/8.5.0",
    "Wget/1.21.4",
    "Go-http-client/2.0",
    "Java/17.0.9",
    "Apache-HttpClient/4.5.14 (Java/17.0.9)",
    "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
    "axios/1.7.2",
]


def signs(name, user_agent=CHROME, *, at=LATER, handed_over_at=DELIVERED, **seen):
    visit = Visit(user_agent=user_agent, **seen)
    return set(machine_signs(name, visit, at=at, handed_over_at=handed_over_at))


@pytest.mark.parametrize("agent", PEOPLE)
@pytest.mark.parametrize("name", [OPENED, CLICKED])
def test_e10_peoples_programs_are_no_machines(name, agent):
    assert signs(name, agent) == set()


@pytest.mark.parametrize("agent", PROGRAMS)
@pytest.mark.parametrize("name", [OPENED, CLICKED])
def test_e10_programs_are_known_by_their_names(name, agent):
    assert signs(name, agent) == {S.PROGRAM}


@pytest.mark.parametrize("agent", ["Mozilla/5.0", GMAIL_PREFETCH, GMAIL_SAMPLING])
def test_e10_a_proxy_that_loads_every_image_has_opened_nothing(agent):
    assert signs(OPENED, agent) == {S.PRIVACY_PROXY}
    assert signs(CLICKED, agent) == {S.PROGRAM}


@pytest.mark.parametrize(
    ("agent", "relay"), [(GMAIL_PROXY, "google"), (YAHOO_PROXY, "yahoo"), (CHROME, None)]
)
def test_e10_a_proxy_that_loads_on_opening_speaks_for_a_person_and_is_named(agent, relay):
    assert signs(OPENED, agent) == set()
    assert relay_of(agent) == relay


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;anonymous-client-ip", "Preview"])
def test_e10_what_says_it_is_fetched_ahead_is_a_machine(purpose):
    assert signs(CLICKED, purpose=purpose) == {S.PREFETCH}


def test_e10_a_head_is_a_scanners_look():
    assert signs(OPENED, method="HEAD") == signs(CLICKED, method="HEAD") == {S.HEAD}


def test_e10_a_browser_has_a_name_and_a_mail_program_need_not():
    assert signs(CLICKED, "") == {S.NO_USER_AGENT}
    assert signs(OPENED, " ") == set()


def test_e10_links_that_are_followed_at_once_were_followed_by_a_machine():
    assert signs(CLICKED, is_burst=True) == {S.ALL_LINKS}


def test_e10_all_that_speaks_for_it_is_named():
    soon = DELIVERED + timedelta(milliseconds=10)

    assert signs(CLICKED, "curl/8", at=soon, method="HEAD", is_burst=True) == {
        S.HEAD, S.PROGRAM, S.TOO_SOON, S.ALL_LINKS,
    }  # fmt: skip


@given(after_ms=st.integers(-60_000, 60_000))
def test_e10_nobody_reads_within_two_seconds(after_ms):
    after = timedelta(milliseconds=after_ms)

    assert (S.TOO_SOON in signs(OPENED, at=DELIVERED + after)) == (after < TOO_SOON)


def test_e10_what_is_not_known_to_be_delivered_is_not_too_soon():
    assert signs(OPENED, handed_over_at=None) == set()


@pytest.mark.parametrize(
    ("of", "times", "is_burst"),
    [
        (1, [0.0], False),
        (2, [0.0], False),
        (2, [0.0, 0.5], True),
        (2, [0.0, 2.5], False),
        (9, [0.0, 0.5], False),
        (9, [0.0, 0.5, 1.0], True),
        (9, [0.0, 1.9, 3.8], False),
    ],
)
def test_e10_a_burst_is_all_links_or_three_within_two_seconds(of, times, is_burst):
    bursts = ClickBursts()
    for link, at_s in enumerate(times):
        bursts.note(b"message", link, of=of, at_s=at_s)

    assert [bursts.is_burst(b"message", at_s=at_s) for at_s in times] == [is_burst] * len(times)


def test_e10_one_link_over_and_over_is_no_burst_and_neither_are_others_messages():
    bursts = ClickBursts()
    for number in range(9):
        bursts.note(b"a", 0, of=3, at_s=number / 100)
        bursts.note(b"%d" % number, number, of=9, at_s=number / 100)

    assert not bursts.is_burst(b"a", at_s=0.1)
    assert not bursts.is_burst(b"0", at_s=0.1)


def test_e10_who_comes_after_the_scanner_is_a_person():
    bursts = ClickBursts()
    for link in range(3):
        bursts.note(b"a", link, of=3, at_s=0.0)
    bursts.note(b"a", 1, of=3, at_s=60.0)

    assert bursts.is_burst(b"a", at_s=0.0)
    assert not bursts.is_burst(b"a", at_s=60.0)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9), st.floats(0, 1)), max_size=200))
def test_e10_however_many_messages_are_clicked_memory_is_bounded(clicks):
    bursts, at_s = ClickBursts(messages_max=5), 0.0
    for message, link, pause_s in clicks:
        at_s += pause_s
        bursts.note(bytes([message]), link, of=10, at_s=at_s)

        assert len(bursts) <= 5


def test_e10_a_bursts_end_is_its_last_click():
    bursts = ClickBursts()
    for link in range(8):
        bursts.note(b"a", link, of=8, at_s=link / 2)

    assert bursts.is_burst(b"a", at_s=3.5 + BURST_S)
    assert not bursts.is_burst(b"a", at_s=3.6 + BURST_S)
