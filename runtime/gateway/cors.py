"""Which pages of other origins may call `/v1` from a browser: none, unless `BEIRA_CORS_ORIGINS` names them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runtime.gateway.exchange import Exchange

_EXPOSED = "x-beira-request-id, x-beira-stand-in, retry-after"
_HEADER_LIST = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z, ]{1,2000}")


class Cors:
    """The answers that the Fetch standard asks of a server. Cookies are never allowed: a key is a header."""

    def __init__(self, origins: Sequence[str]) -> None:
        """`origins` as browsers send them, `https://example.org`; `*` is any."""
        self._origins = frozenset(origins)

    def headers(self, exchange: Exchange) -> dict[str, str]:
        """What every response bears; empty for an origin that is not allowed, and where there is none."""
        origin = self._allowed(exchange)
        if origin is None:
            return {}
        return {"access-control-allow-origin": origin, "access-control-expose-headers": _EXPOSED, "vary": "origin"}

    def preflight(self, exchange: Exchange) -> dict[str, str] | None:
        """The headers that answer a browser asking first; None where the request is not that, or not allowed."""
        asked = exchange.header("access-control-request-method")
        if exchange.method != "OPTIONS" or asked is None or self._allowed(exchange) is None:
            return None
        wanted = exchange.header("access-control-request-headers") or ""
        return {
            "access-control-allow-methods": "GET, POST",
            # OpenAI's own client sends a dozen headers that tell about itself
            "access-control-allow-headers": wanted if _HEADER_LIST.fullmatch(wanted) else "authorization, content-type",
            "access-control-max-age": "600",
        }

    def _allowed(self, exchange: Exchange) -> str | None:
        origin = exchange.header("origin")
        if origin is None:
            return None
        if "*" in self._origins:
            return "*"
        return origin if origin in self._origins else None
