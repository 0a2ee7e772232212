"""The security headers of every answer, and no-store on all that may hold a patient's data."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auctor.web.middleware.visit import STATIC
from auctor.web.settings import Settings

UNUSED_FEATURES = (
    "camera",
    "geolocation",
    "microphone",
    "payment",
    "usb",
    "serial",
    "midi",
    "display-capture",
    "browsing-topics",
)
TWO_YEARS = 63_072_000


def content_security_policy(settings: Settings) -> str:
    """Nothing but this origin, no inline script or style, no framing unless an EHR's origin is configured, Trusted Types.

    >>> from pathlib import Path
    >>> content_security_policy(Settings(data_folder=Path())).split("; ")[0]
    "default-src 'none'"
    """
    ancestors = " ".join(settings.frame_ancestors) or "'none'"
    return "; ".join(
        (
            "default-src 'none'",
            "object-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "manifest-src 'self'",
            "form-action 'self'",
            f"frame-ancestors {ancestors}",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types default",
        )
    )


def security_headers(settings: Settings) -> dict[str, str]:
    """The headers that do not depend on the request, by name."""
    headers = {
        "content-security-policy": content_security_policy(settings),
        "x-content-type-options": "nosniff",
        # not no-referrer: with it browsers send a form's Origin as null, which `ForgeryGuard` refuses
        "referrer-policy": "same-origin",
        "permissions-policy": ", ".join(f"{feature}=()" for feature in UNUSED_FEATURES),
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "x-permitted-cross-domain-policies": "none",
    }
    if not settings.frame_ancestors:
        headers["x-frame-options"] = "DENY"
    if settings.https:
        headers["strict-transport-security"] = f"max-age={TWO_YEARS}; includeSubDomains"
    return headers


class SecurityHeaders:
    """ASGI middleware that writes `security_headers` over whatever a route set, and no-store outside /static/."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._headers = security_headers(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; amend the first message of the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def amended(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                if not scope["path"].startswith(STATIC):
                    headers["cache-control"] = "no-store"
            await send(message)

        await self._app(scope, receive, amended)
