"""Signing in through a provider of OpenID Connect, which is played here: who gets in, and who does not."""

from __future__ import annotations

import asyncio
import hashlib
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from mpi.errors import AccessDenied, ConfigInvalid, Reason
from mpi.server.certs import issue_dev_certificates
from mpi.web.app import application
from mpi.web.connections import CertificateConnections, person_named
from mpi.web.sessions import Sessions
from mpi.web.settings import Provider, load_page_config
from mpi.web.sign_in import ProviderSignIn
from mpi.web.visits import Connection

ORIGIN, ISSUER = "https://review.test", "https://id.test/realms/moph"
PROVIDER = Provider(ISSUER, "mpi-review", "secret", name="sub", roles="realm_access.roles")
GOOD = {"sub": "f3a1", "realm_access": {"roles": ["nurse", "mpi-steward"]}}


class Played:
    """A provider whose token is changed by the test."""

    def __init__(self, **changed: Any) -> None:
        self._key = RSAKey.generate_key(2048, parameters={"kid": "k"})
        self._signer = changed.pop("signer", self._key)
        self._changed = changed
        self._asked: dict[str, str] = {}

    def authorise(self, address: str) -> str:
        """Sign the person in at the provider, and give where the browser is sent back to."""
        self._asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        return f"{self._asked['redirect_uri']}?code=c&state={self._asked['state']}"

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Answer what the page asks the provider itself."""
        if request.url.path.endswith("/openid-configuration"):
            return httpx2.Response(
                200,
                json={
                    "issuer": ISSUER,
                    "authorization_endpoint": f"{ISSUER}/auth",
                    "token_endpoint": f"{ISSUER}/token",
                    "jwks_uri": f"{ISSUER}/keys",
                    "id_token_signing_alg_values_supported": ["RS256"],
                },
            )
        if request.url.path.endswith("/keys"):
            return httpx2.Response(200, json=KeySet([self._key]).as_dict(private=False))
        sent = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
        assert urlsafe_b64encode(digest).rstrip(b"=").decode() == self._asked["code_challenge"]
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "mpi-review", "iat": now, "exp": now + 300, "nonce": self._asked["nonce"]}
        claims = {**claims, **GOOD, **self._changed}
        token = jwt.encode({"alg": "RS256", "kid": "k"}, claims, self._signer)
        return httpx2.Response(200, json={"access_token": "a", "token_type": "Bearer", "id_token": token})


class OneSteward:
    """Holds the certificate of one person alone."""

    def of(self, steward: str) -> Connection:
        if steward != "f3a1":
            raise AccessDenied(Reason.CLIENT_UNKNOWN, "this page holds no certificate of yours")
        client = SimpleNamespace(tasks=lambda *_: ([], b""), counts=lambda: (), changes=lambda *_: [])
        return Connection(client, "urn:mpi:steward:somsri")  # type: ignore[arg-type]


def visiting(provider: Played, story: Callable[[httpx2.AsyncClient], Awaitable[None]]) -> None:
    """Let a browser visit the page of many stewards, whose provider is played."""
    sessions = Sessions()
    sign_in = ProviderSignIn(PROVIDER, ORIGIN, sessions, httpx2.MockTransport(provider.answer))
    app = application(OneSteward(), sessions, sign_in, {"review.test"}, secure=True)

    async def visit() -> None:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers={"accept-language": "en"}) as one:
            await story(one)

    # In a thread of its own: in this one the loop of the browser's driver may be running.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(visit())).result()


def test_a_steward_signs_in_and_comes_to_where_they_wanted():
    """The page sends the browser to the provider with PKCE, takes it back, and shows what was asked for at first."""
    provider = Played()

    async def story(browser: httpx2.AsyncClient) -> None:
        asked = await browser.get("/queue?kind=overlay")
        offered = await browser.get(asked.headers["location"])
        assert "Sign in" in offered.text
        sent = await browser.get("/sign-in/start?next=/queue?kind=overlay")
        assert sent.headers["location"].startswith(f"{ISSUER}/auth?")
        assert "code_challenge_method=S256" in sent.headers["location"]
        before = browser.cookies["__Host-mpi"]
        done = await browser.get(provider.authorise(sent.headers["location"]))
        assert done.headers["location"] == "/queue?kind=overlay"
        cookie = done.headers["set-cookie"]
        assert cookie.startswith("__Host-mpi=")
        assert "Secure" in cookie
        assert browser.cookies["__Host-mpi"] != before
        inside = await browser.get("/queue")
        assert inside.status_code == 200
        assert "max-age=31536000" in inside.headers["strict-transport-security"]

    visiting(provider, story)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"realm_access": {"roles": ["nurse"]}}, "may not review"),
        ({"realm_access": "mpi-steward-in-training"}, "may not review"),
        ({"sub": "another"}, "may not review"),
        ({"sub": ""}, "may not review"),
        ({"nonce": "replayed"}, "Signing in failed"),
        ({"aud": "another-page"}, "Signing in failed"),
        ({"iss": "https://evil.test"}, "Signing in failed"),
        ({"exp": 1_000_000}, "Signing in failed"),
        ({"signer": RSAKey.generate_key(2048, parameters={"kid": "k"})}, "Signing in failed"),
    ],
    ids=["no role", "odd role", "no certificate", "no name", "nonce", "audience", "issuer", "expired", "signature"],
)
def test_others_do_not_get_in(changed, says):
    """A token without the role, of somebody unknown, replayed, expired or forged begins no session."""
    provider = Played(**changed)

    async def story(browser: httpx2.AsyncClient) -> None:
        sent = await browser.get("/sign-in/start")
        refused = await browser.get(provider.authorise(sent.headers["location"]))
        assert refused.status_code == 403
        assert says in refused.text
        assert (await browser.get("/queue")).status_code == 303

    visiting(provider, story)


def test_a_way_back_that_nobody_began_is_refused():
    """Without the state of a sign-in that this browser began, a code is worth nothing (login CSRF)."""
    provider = Played()

    async def story(browser: httpx2.AsyncClient) -> None:
        sent = await browser.get("/sign-in/start")
        back = provider.authorise(sent.headers["location"])
        browser.cookies.clear()
        assert (await browser.get(back)).status_code == 403
        assert (await browser.get("/sign-in/done?error=access_denied&state=x")).status_code == 403
        assert (await browser.get("/sign-in/done")).status_code == 403

    visiting(provider, story)


def test_an_unreachable_provider_is_a_clear_message():
    """When the provider does not answer, there is a page that says so."""

    class Silent(Played):
        def answer(self, request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectError("no route")

    async def story(browser: httpx2.AsyncClient) -> None:
        answer = await browser.get("/sign-in/start")
        assert answer.status_code == 503
        assert "cannot be reached" in answer.text

    visiting(Silent(), story)


SETTINGS = """
origin = "https://review.test"
listen = "127.0.0.1:8443"
server = "127.0.0.1:7443"
[provider]
issuer = "https://id.test/realms/moph"
client_id = "mpi-review"
client_secret = "secret.txt"
roles = "realm_access.roles"
[stewards]
f3a1 = "certs/steward-somsri"
"""


def written(folder: Path, text: str = SETTINGS) -> Path:
    secret = folder / "secret.txt"
    secret.write_text("hush\n")
    secret.chmod(0o600)
    path = folder / "review.toml"
    path.write_text(text)
    return path


def test_settings_are_read_as_a_whole(tmp_path):
    """Paths are beside the file, the secret comes from its own file, and no repr shows it."""
    config = load_page_config(written(tmp_path))
    assert config.stewards == {"f3a1": tmp_path / "certs/steward-somsri"}
    assert config.provider.client_secret == "hush"
    assert "hush" not in repr(config)
    assert config.provider.steward(GOOD) == "f3a1"


@pytest.mark.parametrize(
    ("was", "instead", "setting"),
    [
        ('origin = "https://review.test"', 'origin = "http://review.test"', "origin"),
        ('issuer = "https', 'issuer = "http', "provider.issuer"),
        ('client_id = "mpi-review"', "", "provider.client_id"),
        ("[stewards]", "[people]", "people"),
        ('f3a1 = "certs/steward-somsri"', "", "stewards"),
        ('roles = "realm_access.roles"', "role = 7", "role"),
        ("listen", "=", "--config"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path, was, instead, setting):
    """Each wrong setting is refused by its name."""
    with pytest.raises(ConfigInvalid) as refused:
        load_page_config(written(tmp_path, SETTINGS.replace(was, instead)))
    assert refused.value.setting == setting


def test_the_secret_is_for_its_owner_alone(tmp_path):
    """A client secret that others may read is refused, with the way out."""
    path = written(tmp_path)
    (tmp_path / "secret.txt").chmod(0o644)
    with pytest.raises(ConfigInvalid, match="chmod 600"):
        load_page_config(path)


def test_a_certificate_must_name_a_steward(tmp_path):
    """A page acts with stewards' certificates alone, each for its own steward."""
    issue_dev_certificates(tmp_path, ["10661"], [], ["somsri"])
    assert person_named(tmp_path / "steward-somsri") == "urn:mpi:steward:somsri"
    for folder in ("facility-10661", "server", "none"):
        with pytest.raises(ConfigInvalid):
            person_named(tmp_path / folder)
    connections = CertificateConnections("127.0.0.1:1", {"f3a1": tmp_path / "steward-somsri"})
    assert connections.of("f3a1") is connections.of("f3a1")
    with pytest.raises(AccessDenied):
        connections.of("somebody")
    connections.close()
