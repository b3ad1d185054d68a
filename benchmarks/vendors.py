"""The vendors of `bench_providers`: an account of each with the sink, its messages, its requests.

A request is what a careful program sends without us: it encrypts and signs with the same libraries,
signs its tokens once, and knows nothing of outcomes.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from aiohttp import encode_basic_auth
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from benchmarks.bench_dkim import MESSAGE as EMAIL
from benchmarks.http_sink import Address
from cdp.domain.ids import ResultId
from cdp.ports.provider import Message, PushMessage, PushPlatform, SmsMessage, WebhookMessage
from cdp.providers.email.mime import build
from cdp.providers.push.web import encrypted

CONNECTIONS: Final = 20
SECRET: Final = b"s" * 32
SENTENCE: Final = "Your order is on its way and will be there on Friday."
DATA: Final = {"order": "4711", "shop": "Example"}
_RSA: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_EC: Final = ec.generate_private_key(ec.SECP256R1())
_BROWSER: Final = ec.generate_private_key(ec.SECP256R1()).public_key()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A POST."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One kind of provider and how it is met."""

    kind: str
    settings: Mapping[str, Any]
    message: Callable[[int], Message]
    request: Callable[[Any], Request] | None = None
    """None where nobody would speak to it without its library, `call`."""
    call: Callable[[Any, Any], Any] | None = None
    is_http2: bool = False


def vendors(sink: Address) -> list[Vendor]:
    """Each that is sent to over HTTP."""
    return [_twilio(sink), _fcm(sink), _web_push(sink), _standard(sink), _slack(sink), _apns(sink),
            *_amazon(sink)]  # fmt: skip


def _fields(number: int) -> dict[str, Any]:
    return {"result_id": ResultId(number.to_bytes(16, "big")), "attempt": 1, "deadline_s": 600.0}


def _twilio(sink: Address) -> Vendor:
    url = f"{sink.url}/2010-04-01/Accounts/AC1/Messages.json"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Authorization": encode_basic_auth("AC1", "token"),
    }

    def request(message: SmsMessage) -> Request:
        fields = {"To": message.to, "From": message.sender, "Body": message.text}
        return Request(url=url, headers=headers, body=urlencode(fields).encode())

    settings = {"account_sid": "AC1", "auth_token": "token", "base_url": sink.url,
                "connections_max": CONNECTIONS}  # fmt: skip
    return Vendor(kind="sms.twilio", settings=settings, message=_sms, request=request)


def _sms(number: int) -> SmsMessage:
    return SmsMessage(
        **_fields(number), sender="Example", to=f"+49151{number:08}", text=f"{SENTENCE} {number}"
    )


def _push(platform: PushPlatform, token: Callable[[int], str]) -> Callable[[int], PushMessage]:
    point = _BROWSER.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys: dict[str, Any] = (
        {"p256dh": _base64url(point), "auth": _base64url(bytes(16))}
        if platform is PushPlatform.WEB
        else {}
    )
    return lambda number: PushMessage(
        **_fields(number), platform=platform, token=token(number), title="On its way",
        body=SENTENCE, data=DATA, **keys,
    )  # fmt: skip


def _fcm(sink: Address) -> Vendor:
    url = f"{sink.url}/v1/projects/p/messages:send"
    headers = {"Content-Type": "application/json", "Authorization": "Bearer t"}

    def request(message: PushMessage) -> Request:
        said = {
            "token": message.token,
            "notification": {"title": message.title, "body": message.body},
            "data": dict(message.data),
            "android": {"priority": "NORMAL"},
        }
        return Request(url=url, headers=headers, body=orjson.dumps({"message": said}))

    settings = {"project_id": "p", "client_email": "a@b.example", "private_key": _pem(_RSA),
                "token_url": f"{sink.url}/token", "base_url": sink.url,
                "connections_max": CONNECTIONS}  # fmt: skip
    message = _push(PushPlatform.FCM, lambda number: f"{number:0150}")
    return Vendor(kind="push.fcm", settings=settings, message=message, request=request)


def _web_push(sink: Address) -> Vendor:
    point = _EC.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    headers = {
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": "86400",
        "Urgency": "normal",
        # As long as a signed one, which is made once in hours.
        "Authorization": f"vapid t={'t' * 220}, k={_base64url(point)}",
    }

    def request(message: PushMessage) -> Request:
        return Request(url=message.token, headers=headers, body=encrypted(message))

    settings = {"vapid_private_key": _pem(_EC), "subject": "mailto:ops@shop.example",
                "connections_max": CONNECTIONS}  # fmt: skip
    message = _push(PushPlatform.WEB, lambda number: f"{sink.url}/push/{number}")
    return Vendor(kind="push.web", settings=settings, message=message, request=request)


def _standard(sink: Address) -> Vendor:
    def request(message: WebhookMessage) -> Request:
        at = int(time.time())
        signed = b"%b.%d.%b" % (message.key.encode(), at, message.body)
        digest = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.key,
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1,{digest}",
        }
        return Request(url=message.url, headers=headers, body=message.body)

    secret = f"whsec_{base64.b64encode(SECRET).decode()}"
    settings = {"secret": secret, "connections_max": CONNECTIONS}
    return Vendor(
        kind="webhook.standard", settings=settings, message=webhooks(f"{sink.url}/hook/"),
        request=request,
    )  # fmt: skip


def _slack(sink: Address) -> Vendor:
    headers = {"Content-Type": "application/json"}

    def request(message: WebhookMessage) -> Request:
        return Request(url=message.url, headers=headers, body=message.body)

    return Vendor(
        kind="webhook.slack", settings={"connections_max": CONNECTIONS},
        message=webhooks(f"{sink.url}/services/"), request=request,
    )  # fmt: skip


def webhooks(prefix: str) -> Callable[[int], WebhookMessage]:
    """Calls of URLs that begin so."""
    return lambda number: WebhookMessage(
        **_fields(number),
        url=f"{prefix}{number}",
        body=orjson.dumps({"text": SENTENCE, "number": number}),
        date=EMAIL.date,
    )


def _apns(sink: Address) -> Vendor:
    def request(message: PushMessage) -> Request:
        aps = {"alert": {"title": message.title, "body": message.body}, "sound": "default"}
        headers = {
            "authorization": f"bearer {'t' * 180}",
            "apns-id": message.key,
            "apns-topic": "example.shop",
            "apns-push-type": "alert",
            "apns-priority": "5",
        }
        return Request(
            url=f"{sink.tls_url}/3/device/{message.token}",
            headers=headers,
            body=orjson.dumps({**message.data, "aps": aps}),
        )

    settings = {"team_id": "T", "key_id": "K", "private_key": _pem(_EC), "topic": "example.shop",
                "base_url": sink.tls_url, "ca_file": str(sink.certificate),
                "concurrency": CONNECTIONS}  # fmt: skip
    message = _push(PushPlatform.APNS, lambda number: f"{number:064}")
    return Vendor(
        kind="push.apns", settings=settings, message=message, request=request, is_http2=True
    )


def _amazon(sink: Address) -> list[Vendor]:
    settings = {"region": "eu-central-1", "access_key_id": "A", "secret_access_key": "s",
                "endpoint_url": sink.url, "connections_max": CONNECTIONS}  # fmt: skip

    async def send_email(client: Any, message: Any) -> None:
        await client.send_email(
            FromEmailAddress=message.sender.email,
            Destination={"ToAddresses": [message.to.email]},
            Content={"Raw": {"Data": build(message)}},
            FeedbackForwardingEmailAddress=message.return_path,
        )

    async def publish(client: Any, message: SmsMessage) -> None:
        attributes = {
            "AWS.SNS.SMS.SMSType": {"DataType": "String", "StringValue": "Transactional"},
            "AWS.SNS.SMS.SenderID": {"DataType": "String", "StringValue": message.sender},
        }
        await client.publish(
            PhoneNumber=message.to, Message=message.text, MessageAttributes=attributes
        )

    return [
        Vendor(kind="email.ses", settings=settings, message=_email, call=send_email),
        Vendor(kind="sms.sns", settings=settings, message=_sms, call=publish),
    ]


def _email(number: int) -> Message:
    return replace(EMAIL, **_fields(number))


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
