"""A sweep as an Optuna study: it can be stopped, taken up, and shared by several processes.

The study is a table of trials in a database: a SQLite file in the output folder, or any address
that SQLAlchemy knows, which processes and machines then share. Each process takes a configuration
of the grid that nobody has, tries it, and writes down what came of it.

Two processes may take the same at the same moment. The database numbers all trials, and of those
with the same configuration the one with the lowest number counts: whoever holds a later one lets it
go before any work is done. A process that died is noticed, and what it was at is taken up.
"""

import contextlib
import itertools
import json
import logging
import os
import random
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from silverprint.errors import ConfigError, MissingExtraError
from silverprint.workflows.sweeps import Config, Tried

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

_Result = TypeVar("_Result")
FILE = "study.db"
CONFIG, RESULT, WHO, BEAT = "config", "result", "process", "alive at"  # of a trial
BEAT_SECONDS = 20.0
SILENT_SECONDS = 180.0  # after which a process that says nothing counts as gone


def run_study(
    fields: Mapping[str, Sequence[Any]], given: Config, data: str,
    run_one: Callable[[Config], Tried], *, storage: "RDBStorage",
    most: int | None = None, seed: int = 0, say: Callable[[str], None] = lambda _: None,
) -> list[Tried]:  # fmt: skip
    """Try every combination once, by all processes together.

    Args:
        fields: setting -> values.
        given: what is the same in all.
        data: a digest of the pictures, labels and splits, and of what else decides a result.
        run_one: tries one configuration.
        storage: the database, as of `open_database`.
        most: try no more than so many, by all processes together; None tries all.
        seed: of their order.
        say: told which trial begins.

    Returns:
        The results there are, from all processes, now and earlier.

    Raises:
        MissingExtraError: optuna is not installed.
    """
    grid = {
        _key({**given, **dict(zip(fields, values, strict=True))}): values
        for values in itertools.product(*fields.values())
    }
    order = list(grid)
    random.Random(seed).shuffle(order)  # noqa: S311 - no secret
    most = min(most or len(order), len(order))
    with quiet_optuna():
        study = _open(fields, data, storage)
        known = _known(storage, data)
        from optuna.exceptions import UpdateFinishedTrialError

        while True:
            taken = set(known) | _taken(study)
            free = [key for key in order if key not in taken]
            if not free or len(taken.intersection(grid)) >= most:
                break
            key = free[0]
            trial = _begin(study, storage, key, grid[key], fields)
            with _alive(trial):
                if _first(study, key) != trial.number:
                    study.tell(trial, state=_state("PRUNED"))
                    continue
                place = len(taken.intersection(grid)) + 1
                told = ", ".join(
                    f"{field} {_label(v)}" for field, v in zip(fields, grid[key], strict=True)
                )
                say(f"configuration {place} of {most}: {told}")
                try:
                    tried = run_one({**given, **dict(zip(fields, grid[key], strict=True))})
                except BaseException:
                    with contextlib.suppress(UpdateFinishedTrialError):
                        study.tell(trial, state=_state("FAIL"))  # the next run takes it up
                    raise
                _note(study, trial, tried)
        found = known | _known(storage, data)
    return [
        replace(found[key], config={**given, **dict(zip(fields, values, strict=True))})
        for key, values in grid.items()
        if key in found
    ]


def _begin(
    study: "Study", storage: "RDBStorage", key: str, values: Sequence[Any],
    fields: Mapping[str, Sequence[Any]],
) -> "Trial":  # fmt: skip
    """Put a running trial of a configuration into the database, all of it at once.

    Of two processes that begin the same, the one with the lower number goes on: whoever looks after
    that sees both. (`ask` may give one waiting trial to two processes, as SQLite locks no rows.)
    """
    import optuna

    choices = {name: list(dict.fromkeys(map(_label, among))) for name, among in fields.items()}
    template = optuna.trial.create_trial(
        state=_state("RUNNING"),
        params=dict(zip(fields, map(_label, values), strict=True)),
        distributions={
            name: optuna.distributions.CategoricalDistribution(among)
            for name, among in choices.items()
        },
        user_attrs={CONFIG: key, WHO: [_machine(), os.getpid()], BEAT: time.time()},
    )
    number = storage.create_new_trial(study._study_id, template_trial=template)
    return optuna.trial.Trial(study, number)


def _note(study: "Study", trial: "Trial", tried: Tried) -> None:
    """Write a result down; anew, where others took this process for dead meanwhile."""
    import optuna

    value = -1.0 if tried.accuracy is None else tried.accuracy
    try:
        trial.set_user_attr(RESULT, json.dumps(_written(tried)))
        study.tell(trial, value)
    except optuna.exceptions.UpdateFinishedTrialError:
        attributes = {**trial.user_attrs, RESULT: json.dumps(_written(tried))}
        study.add_trial(
            optuna.trial.create_trial(
                value=value,
                user_attrs=attributes,
                params=trial.params,
                distributions=trial.distributions,
            )
        )


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep optuna and its database from talking: what there is to say, errors say."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("tuning networks that are trained here", "tune") from error
    loggers = [logging.getLogger(name) for name in ("sqlalchemy", "alembic")]
    levels = [logger.level for logger in loggers]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def open_database(out: Path, url: str | None) -> "RDBStorage":
    """Open the database of studies: the folder's own file, or one that many processes share.

    Raises:
        MissingExtraError: optuna is not installed.
        ConfigError: it cannot be used.
    """
    address = url or f"sqlite:///{(out / FILE).resolve()}"
    # Waiting for one another is better than failing, where processes share a file.
    engine = {"connect_args": {"timeout": 120}} if address.startswith("sqlite") else {}

    def opened() -> "RDBStorage":
        import optuna

        return optuna.storages.RDBStorage(address, engine_kwargs=engine)

    with quiet_optuna():
        try:
            return _patiently(opened)
        except Exception as error:  # every database has errors of its own
            words = f"{type(error).__name__}: {error}".splitlines()[0]
            if isinstance(error, ImportError):
                words += f" {error.__cause__}."
            raise ConfigError(
                f"--study {address} cannot be used ({words}); give an address such as "
                "sqlite:///study.db, or postgresql://user@host/name after "
                '`pip install "psycopg[binary]"`.'
            ) from error


def _open(fields: Mapping[str, Sequence[Any]], data: str, storage: "RDBStorage") -> "Study":
    """Open the study of this data and these values; one database may hold many."""
    import optuna

    told = "; ".join(f"{name} {', '.join(str(_label(v)) for v in fields[name])}" for name in fields)
    return _patiently(
        lambda: optuna.create_study(
            storage=storage, study_name=f"{data}: {told}"[:500], direction="maximize",
            load_if_exists=True, sampler=optuna.samplers.RandomSampler(0),
        )
    )  # fmt: skip


def _patiently(action: Callable[[], _Result]) -> _Result:
    """Try again where two processes make the same table or study at the same moment."""
    for _ in range(4):
        try:
            return action()
        except Exception as error:
            if not any(sign in str(error).lower() for sign in ("exist", "locked", "unique")):
                raise
            time.sleep(0.5 + random.random())  # noqa: S311 - no secret
    return action()


def _known(storage: "RDBStorage", data: str) -> dict[str, Tried]:
    """Return what is finished, in all studies of the same data, whatever values they have."""
    import optuna

    found = {}
    for name in optuna.get_all_study_names(storage):
        if name.startswith(f"{data}: "):
            other = optuna.load_study(study_name=name, storage=storage)
            for trial in other.get_trials(deepcopy=False):
                if RESULT in trial.user_attrs:
                    config = json.loads(trial.user_attrs[CONFIG])
                    found[_key(config)] = Tried(config, **json.loads(trial.user_attrs[RESULT]))
    return found


def _taken(study: "Study") -> set[str]:
    """Return the configurations that are finished, or tried by a process that lives."""
    taken = set()
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name == "RUNNING" and _is_dead(trial):
            with contextlib.suppress(Exception):  # another process may have said so first
                study.tell(trial.number, state=_state("FAIL"))
        elif trial.state.name in ("RUNNING", "COMPLETE"):
            taken.add(trial.user_attrs.get(CONFIG, ""))
    return taken


def _first(study: "Study", key: str) -> int:
    """Return the number of the trial that counts for a configuration."""
    return min(
        trial.number
        for trial in study.get_trials(deepcopy=False)
        if trial.user_attrs.get(CONFIG) == key and trial.state.name in ("RUNNING", "COMPLETE")
    )


# --- who lives ------------------------------------------------------------------------------------


def _machine() -> str:
    return f"{socket.gethostname()}-{uuid.getnode():x}"


@contextlib.contextmanager
def _alive(trial: "Trial") -> Iterator[None]:
    """Say now and then that the process that tries it still lives."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            with contextlib.suppress(Exception):  # the next beat may get through
                trial.set_user_attr(BEAT, time.time())

    thread = threading.Thread(target=beat, name="study", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _is_dead(trial: "FrozenTrial") -> bool:
    machine, process = trial.user_attrs.get(WHO, (None, None))
    if machine == _machine() and not _process_lives(int(process)):
        return True
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - float(trial.user_attrs.get(BEAT, begun)) > SILENT_SECONDS


def _process_lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# --- how things are written -----------------------------------------------------------------------


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _key(config: Config) -> str:
    return json.dumps(config, sort_keys=True, default=str)


def _label(value: Any) -> Any:
    """Return a value as optuna takes it: a list as text."""
    return json.dumps(value) if isinstance(value, list | tuple) else value


def _written(tried: Tried) -> dict[str, Any]:
    return {
        "accuracy": tried.accuracy,
        "loss": tried.loss,
        "epochs": tried.epochs,
        "curves": tried.curves,
    }
