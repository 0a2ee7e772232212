"""`auctor serve`: the clinical application on this machine or for a hospital."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.cli.command import FileError
from auctor.cli.terminal import say

if TYPE_CHECKING:
    from auctor.web.settings import Settings

ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="A TOML file of settings; default: AUCTOR_CONFIG.")]


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="The address to listen on; default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The port; default: 8571.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The data folder; default: yours, or AUCTOR_DATA_FOLDER.")
    ] = None,
    config: ConfigFile = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the browser once it listens.")] = False,
    plain_http: Annotated[bool, typer.Option("--plain-http", help="Accept passwords in the clear from other machines.")] = False,
) -> None:
    """Serve the clinical application until Ctrl-C.

    Without any configuration: this machine alone, a SQLite store in your data folder.
    """
    settings = installation(config, host=host, port=port, data_folder=data)
    from auctor.web.operate.serving import serve as run

    run(settings, tell=say, plain=plain_http, open_browser=open_browser)


def installation(config: Path | None, **overrides: Any) -> Settings:
    """The settings of this machine. Raises FileError where auctor was installed without its web part, SettingsError."""
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("fastapi", "sqlalchemy", "uvicorn", "argon2")):
        raise FileError(where="auctor", what="was installed without its web part", remedy="pip install 'auctor[web]'")
    from auctor.web.settings import read_settings

    return read_settings(config=config, **overrides)
