"""Store: the database behind the application. `work` writes, `read` reads, nothing else opens a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

from auctor.web.accounts.actor import Actor
from auctor.web.store import migrate
from auctor.web.store.audit import append
from auctor.web.store.checkpoint import Checkpoints, Mark
from auctor.web.store.engine import WRITES, is_postgresql, make_engine
from auctor.web.store.errors import StaleError, StoreError, StoreUnavailable
from auctor.web.store.sealing import Sealer
from auctor.web.store.work import Reading, Work


@dataclass(frozen=True, kw_only=True)
class Store:
    """An open store. One for a process; every thread may use it.

    >>> import tempfile
    >>> from auctor.web.accounts.actor import Actor
    >>> from auctor.web.store import Store
    >>> from auctor.web.store.tables import Ward
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = Store.open(f"sqlite:///{folder.name}/auctor.db", secret=b"not a real secret, only 32 bytes!")
    >>> installer = Actor.system("install")
    >>> with store.work(installer) as work:
    ...     work.session.add(Ward(id="icu", name="Intensive care"))
    ...     work.record("ward.create", "ward", "icu", ward="icu", after={"name": "Intensive care"})
    >>> with store.read(installer) as reading:
    ...     reading.get(Ward, "icu").name
    'Intensive care'
    >>> store.close()
    >>> folder.cleanup()
    """

    engine: Engine
    sealer: Sealer
    checkpoints: Checkpoints
    reads: sessionmaker[Session]
    writes: sessionmaker[Session]
    narrowed: bool

    @classmethod
    def open(cls, url: str, *, secret: bytes, checkpoints: Path | None = None, narrowed: bool = True) -> Store:
        """Open the database at `url` (see `make_engine`), bringing its tables up to date first.

        `secret` (32 bytes or more, kept outside the database) seals second factors and signs `checkpoints`, the file that shows a cut
        audit trail; by default that file lies beside a SQLite database, and must be named for PostgreSQL. `narrowed=False` leaves the
        application's own ward rule out, so that tests see PostgreSQL's alone. Raises StoreError, StoreUnavailable.
        """
        engine = make_engine(url)
        sealer = Sealer(secret)
        marks = Checkpoints(checkpoints or beside(engine), sealer.key("checkpoint"))
        try:
            with typed():
                migrate.upgrade(engine)
        except BaseException:
            engine.dispose()  # what could not be brought up to date leaves no connection behind
            raise
        return cls(
            engine=engine,
            sealer=sealer,
            checkpoints=marks,
            reads=sessionmaker(_steady(engine), expire_on_commit=False),
            writes=sessionmaker(engine.execution_options(**{WRITES: True}), expire_on_commit=False),
            narrowed=narrowed,
        )

    @contextmanager
    def work(self, actor: Actor) -> Iterator[Work]:
        """One transaction that writes: committed with its audit entry at the end of the block, rolled back by any error.

        Raises AuditError for a change without its entry, StaleError when somebody else wrote first, StoreError for what the database
        refuses, StoreUnavailable when it does not answer.
        """
        with typed(), self.writes() as session:
            work = Work(session, actor, narrowed=self.narrowed)
            yield work
            entry = work.close()
            if entry is None:
                return
            row = append(session, actor, entry, work.at)
            mark = Mark(sequence=row.sequence, hash=row.hash, at=row.at)
            session.commit()
        self.checkpoints.write(mark)

    @contextmanager
    def read(self, actor: Actor) -> Iterator[Reading]:
        """One transaction that reads: a steady picture, narrowed to the actor's wards. A change in it is an AuditError."""
        with typed(), self.reads() as session:
            yield Reading(session, actor, narrowed=self.narrowed)
            session.flush()

    def seal(self, plain: str, *, purpose: str) -> str:
        """A short text sealed for `purpose` (`totp:ACCOUNT`), as it may lie in the database."""
        return self.sealer.seal(plain, purpose=purpose)

    def unseal(self, sealed: str, *, purpose: str) -> str:
        """The text that was sealed; StoreError when it does not open."""
        return self.sealer.open(sealed, purpose=purpose)

    def ping(self) -> None:
        """StoreUnavailable unless the database answers."""
        with typed(), self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()


def _steady(engine: Engine) -> Engine:
    """For reading: one picture from the first query to the last, as SQLite gives by itself."""
    if is_postgresql(engine):
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine


def beside(engine: Engine) -> Path:
    """Where the checkpoints of a SQLite database lie when nothing else is said; StoreError for another database."""
    name = engine.url.database
    if is_postgresql(engine) or not name:
        raise StoreError(where="checkpoints", what="no file named", remedy="name one outside the database's reach")
    return Path(name).with_suffix(".checkpoints")


@contextmanager
def typed() -> Iterator[None]:
    """Errors of the database as the store's own; their texts can quote values, so none is passed on."""
    try:
        yield
    except StaleDataError as problem:
        raise _stale() from problem
    except IntegrityError as problem:
        raise StoreError(
            where="store", what="already there, or refers to what is not there", remedy="look at the present state"
        ) from problem
    except (OperationalError, InterfaceError, PoolTimeout) as problem:
        raise StoreUnavailable(where="database", what="does not answer, or is busy", remedy="try again; then see the server") from problem
    except DBAPIError as problem:
        raise StoreError(where="store", what="refused by the database", remedy="check what was given") from problem
    except SQLAlchemyError as problem:
        raise StoreError(where="store", what="not something that can be written", remedy="check what was given") from problem


def _stale() -> StaleError:
    return StaleError(where="store", what="changed by somebody else meanwhile", remedy="look at the present state, then decide again")
