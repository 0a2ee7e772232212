"""What every subcommand shares: a typed error becomes where / what / remedy and an exit code, never a traceback."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from auctor.cli.terminal import answered, complain, put_json
from auctor.errors import AuctorError

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else; talk goes to stderr.")]

BUG = 1
BAD_INPUT = 2


class FileError(AuctorError):
    """A file or folder that cannot be read or written.

    >>> FileError(where="case.toml", what="no such file", remedy="check the path").exit_code
    2
    """


class Group(TyperGroup):
    """A group of subcommands that does not load pydantic (0.25 s) to learn that `--help` was not asked of the group itself."""

    def get_help_option(self, ctx: Any) -> Any:
        """The help option, with the default False that typer would otherwise derive from None through pydantic."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


class Command(TyperCommand):
    """A subcommand whose refusals leave with the error's exit code (0 done, 1 bug, 2 input, 3 estimation, 4 abstained)."""

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand; answer a refusal on stderr, and on stdout as `{"error": ...}` under `--json`."""
        answered.set(False)
        try:
            return super().invoke(ctx)
        except AuctorError as error:
            raise typer.Exit(refuse(error, as_json=_wants_json(ctx))) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise typer.Exit(refuse(_of_file(error), as_json=_wants_json(ctx))) from None
        except Exception as error:
            if type(error).__module__.startswith("typer"):
                raise
            raise typer.Exit(_confess(error, as_json=_wants_json(ctx))) from None


def refuse(error: AuctorError, *, as_json: bool) -> int:
    """Print one typed error on stderr (and as JSON on stdout when asked); its exit code."""
    kind = type(error).__name__
    complain(kind, where=error.where, what=error.what, remedy=error.remedy)
    if as_json:
        fields = {"kind": kind, "where": error.where, "what": error.what, "remedy": error.remedy, "exit_code": error.exit_code}
        put_json({"error": fields})
    return error.exit_code


def _wants_json(ctx: Any) -> bool:
    """Whether a refusal is due on stdout: asked for, and no document printed yet."""
    return bool(ctx.params.get("as_json")) and not answered.get()


def _of_file(error: OSError) -> FileError:
    what = (error.strerror or "cannot be used").lower()
    return FileError(where=str(error.filename or "file"), what=what, remedy="check the path and the rights on it")


def _confess(error: Exception, *, as_json: bool) -> int:
    # The message of an unforeseen error may quote patient values, so only its type and place are printed.
    if os.environ.get("AUCTOR_TRACEBACK"):
        traceback.print_exception(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    what = f"an error auctor did not foresee ({type(error).__name__})"
    remedy = "this is a bug in auctor: set AUCTOR_TRACEBACK=1 to see it and report it"
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    complain("Bug", where=place, what=what, remedy=remedy)
    if as_json:
        put_json({"error": {"kind": "Bug", "where": place, "what": what, "remedy": remedy, "exit_code": BUG}})
    return BUG
