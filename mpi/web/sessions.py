"""Sessions of signed-in stewards, held in memory by this one process: short, bounded, and ended by signing out.

The cookie holds a random name and nothing else. A session holds the token that every form must bring back, so another
site cannot act through a steward's browser.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

IDLE_SECONDS = 20 * 60
"""A session that is not used this long has ended."""
LONGEST_SECONDS = 8 * 3600
"""A session ends after a working day, used or not."""
SIGN_IN_SECONDS = 10 * 60
"""A sign-in that has begun is to be completed within this time."""
MOST_SESSIONS = 2000
"""Sessions of stewards held at once, and as many of people who sign in; the one used longest ago gives way to its kind.

Anybody can begin to sign in, so nobody who only does that can put an end to the session of a steward.
"""

MOST_CHANGES = 20
"""Changes that a session remembers."""


@dataclass(slots=True)
class Notice:
    """What the next page tells in passing, such as what was done and that it can be taken back.

    Attributes:
        text: key of the message.
        values: what stands in its gaps.
        request: the call that an undo takes back; "" where there is nothing to undo.
        change: the change that an undo takes back; 0 where there is none.
        problem: it was not done.
    """

    text: str
    values: dict[str, str] = field(default_factory=dict)
    request: str = ""
    change: int = 0
    problem: bool = False


@dataclass(slots=True, repr=False)
class Session:
    """One browser's visit.

    Attributes:
        name: what the cookie holds.
        steward: who has signed in; "" while a sign-in is under way.
        urn: their name in the index, once a page has used their connection.
        token: what every form brings back.
        began: when, by the monotonic clock.
        used: when it was last used.
        held: what the sign-in keeps between its steps.
        notice: what the next page tells.
        changes: revisions of what the steward did, the latest ones.
    """

    name: str
    steward: str
    token: str
    began: float
    used: float
    urn: str = ""
    held: dict[str, Any] = field(default_factory=dict)
    notice: Notice | None = None
    changes: deque[int] = field(default_factory=lambda: deque(maxlen=MOST_CHANGES))

    def __repr__(self) -> str:
        return f"Session({self.steward or 'signing in'})"

    def brings(self, token: str) -> bool:
        """Say whether a form came from a page of this session."""
        return hmac.compare_digest(self.token.encode(), token.encode("utf-8", "replace"))


class Sessions:
    """Every session that is open; threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[bool, OrderedDict[str, Session]] = {True: OrderedDict(), False: OrderedDict()}

    def begin(self, steward: str = "") -> Session:
        """Open a session under a new name; a sign-in always does, so no name from before it is worth anything."""
        now = self._clock()
        session = Session(secrets.token_urlsafe(32), steward, secrets.token_urlsafe(32), now, now)
        alike = self._open[bool(steward)]
        with self._lock:
            while len(alike) >= MOST_SESSIONS:
                alike.popitem(last=False)
            alike[session.name] = session
        return session

    def find(self, name: str) -> Session | None:
        """Give the open session of this name, and note that it is used."""
        now = self._clock()
        with self._lock:
            alike = self._open[name in self._open[True]]
            session = alike.get(name)
            if session is None:
                return None
            idle, longest = (IDLE_SECONDS, LONGEST_SECONDS) if session.steward else (SIGN_IN_SECONDS, SIGN_IN_SECONDS)
            if now - session.used > idle or now - session.began > longest:
                del alike[name]
                return None
            session.used = now
            alike.move_to_end(name)
        return session

    def end(self, session: Session) -> None:
        """Close a session; its name opens nothing from now on."""
        with self._lock:
            self._open[bool(session.steward)].pop(session.name, None)


class SessionCookies:
    """Finds the session of a request by its cookie, and sends the cookie of one that was begun or ended.

    Behind TLS the cookie has the prefix `__Host-`, so that no neighbouring host can set it.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions, secure: bool) -> None:
        self._app = app
        self._sessions = sessions
        self._cookie = "__Host-mpi" if secure else "mpi"
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = self._found(scope)
        state = scope.setdefault("state", {})
        state["session"] = found
        scope["session"] = found.held if found else {}

        async def send_cookie(message: Message) -> None:
            session: Session | None = state["session"]
            if message["type"] == "http.response.start" and session is not found:
                MutableHeaders(scope=message).append("set-cookie", self._header(session))
            await send(message)

        await self._app(scope, receive, send_cookie)

    def _found(self, scope: Scope) -> Session | None:
        lines = [value.decode("latin-1") for key, value in scope["headers"] if key == b"cookie"]
        try:
            cookie = SimpleCookie("; ".join(lines)).get(self._cookie)
        except CookieError:
            return None
        return self._sessions.find(cookie.value) if cookie else None

    def _header(self, session: Session | None) -> str:
        secure = "; Secure" if self._secure else ""
        # Lax and not Strict: the identity provider sends the browser back from its own site.
        rest = f"; Path=/; HttpOnly; SameSite=Lax{secure}"
        return f"{self._cookie}={session.name}{rest}" if session else f"{self._cookie}=; Max-Age=0{rest}"
