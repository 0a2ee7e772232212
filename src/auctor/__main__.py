"""`python -m auctor` is the `auctor` command."""

from __future__ import annotations

from auctor.cli import main

if __name__ == "__main__":
    main()
