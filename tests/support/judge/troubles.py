"""
What may go wrong in a life of a job, by kind, each with siblings to draw from.

A kind is a function that is told the round, the life and which sibling it is. It
changes the life, and says what else must be true of it.
"""

import random
import signal
from collections.abc import Callable, Collection, Mapping, Sequence

from support.judge import verdicts
from support.judge.client import send
from support.judge.life import TOTAL, Held, Life, stop
from support.judge.meddling import FILES, SPELLINGS, meddle, spell
from support.judge.others import OTHERS, meet
from support.judge.rounds import USUAL, Round
from support.judge.shim import FAILURES, Rule

Kind = Callable[[Round, Life, str], None]

HOSTS = ("401", "403", "404", "410", "500", "503", "reset", "cut", "html")
RESENT = (
    "balance",
    "refuse",
    "overload",
    "content",
    "parameter",
    "key",
    "server",
    *verdicts.LOSSES,
    "page 504 message",
    "make",
)


def later_evidence(game: Round, life: Life, host: str) -> None:
    """Links that fail for a while, and what else may come of asking again meanwhile."""
    life.told["host"] = host
    if game.books.seen and game.dice.random() < 0.8:
        if game.dice.random() < 0.5:
            life.command = "retry unknown"
        else:
            life.options += ["--on-unknown", "resend"]
        for prompt in game.books.wanted:
            life.plan[prompt] = [game.dice.choice(RESENT)]


JOURNALS: Mapping[str, tuple[tuple[str, ...], str, str] | None] = {
    "held by another program": None,
    "held by another program, and no file may be written": None,
    "no room in its log": (("write",), "*/job.sqlite-wal", "ENOSPC"),
    "a broken disk under its log": (("write",), "*/job.sqlite-wal", "EIO"),
    "a log that does not sync": (("sync",), "*/job.sqlite-wal", "EIO"),
    "a disk that only reads": (("open", "write"), "*/job.sqlite*", "EROFS"),
    "a quota": (("write", "allocate"), "*/job.sqlite*", "EDQUOT"),
    "no room for anything": (("write", "open", "allocate"), "*/deep/out*", "ENOSPC"),
}


def journal(game: Round, life: Life, what: str) -> None:
    """A journal that cannot be written from some moment to the end of the life."""
    fault = JOURNALS[what]
    if fault is not None:
        calls, path, error = fault
        life.rule = Rule(
            calls=calls,
            path=path,
            nth=game.dice.randint(2, 60),
            error=FAILURES[error],
            times=-1,
        )
        return
    held = Held(game.job / "job.sqlite")

    def take(pid: int) -> None:
        held.take(pid)
        life.died = held.is_held

    life.moments.append((game.dice.uniform(0, 0.5), take))
    life.after.append(held.let_go)
    if "no file" in what:
        life.rule = Rule(calls=("open",), path="*.part", error=FAILURES["ENOSPC"])


STOPS: Mapping[str, Sequence[tuple[float, float]]] = {
    # When, in seconds after the first request, and for how long.
    "before an answer": ((0.0, TOTAL + 0.5),),
    "for long": ((0.1, 2 * TOTAL),),
    "twice": ((0.0, TOTAL + 0.3), (TOTAL + 0.5, TOTAL + 0.3)),
    "at the downloads": ((0.3, TOTAL + 0.5),),
    "often and briefly": tuple((0.3 * n, 0.2) for n in range(6)),
}


def stopped(game: Round, life: Life, when: str) -> None:
    """A process that stands still for longer than its time-outs."""
    for wait, seconds in STOPS[when]:
        life.moments.append((wait, lambda pid, long=seconds: stop(pid, long)))
    life.told["delay"] = (0.2, 1.0)
    if when == "at the downloads":
        life.told |= {"delay": (0.02, 0.3), "host_delay": (0.2, 0.8)}


def gateway(game: Round, life: Life, page: str) -> None:
    """A gateway's page after the request was admitted: one request, maybe billed."""
    for prompt in game.dice.sample(sorted(game.books.wanted), game.dice.randint(1, 3)):
        life.plan[prompt] = [page]


def beside(game: Round, life: Life, what: str) -> None:
    """An answer with a link and an error, or with several links."""
    for prompt in game.dice.sample(sorted(game.books.wanted), game.dice.randint(1, 4)):
        life.plan[prompt] = [what]


SIGNALS: Mapping[str, tuple[signal.Signals, ...]] = {
    "Ctrl-C": (signal.SIGINT,),
    "Ctrl-C twice": (signal.SIGINT, signal.SIGINT),
    "SIGTERM": (signal.SIGTERM,),
    "SIGTERM twice": (signal.SIGTERM, signal.SIGTERM),
    "Ctrl-C, then SIGTERM": (signal.SIGINT, signal.SIGTERM),
    "a closed terminal": (signal.SIGHUP,),
}


def signals(game: Round, life: Life, which: str) -> None:
    """A person or a supervisor who ends the run."""
    at = 0.0
    for one in SIGNALS[which]:
        at += game.dice.uniform(0, 0.5)

        def moment(pid: int, one: signal.Signals = one) -> None:
            life.signals += 1
            send(pid, one)

        life.moments.append((at, moment))


HOUR, DAY = 3600, 86400
CLOCKS: Mapping[str, Sequence[tuple[float, int]]] = {
    "an hour ahead": ((0.0, HOUR),),
    "an hour back": ((0.3, -HOUR),),
    "a year ahead on the way": ((0.4, 365 * DAY),),
    "thirty years back": ((0.2, -30 * 365 * DAY),),
    "a minute back and forth": tuple((0.1 * n, 61 * (-1) ** n) for n in range(12)),
    "ahead, and right again": ((0.0, 40 * DAY), (0.5, 0)),
}


def clock(game: Round, life: Life, how: str) -> None:
    """A clock on the wall that is wrong, and jumps."""
    life.clock += CLOCKS[how]


# Each with its siblings, and with what it uses: no two of a life use the same.
KINDS: Mapping[str, tuple[Kind, Sequence[str], frozenset[str]]] = {
    "later evidence": (later_evidence, HOSTS, frozenset({"command", "plan"})),
    "a journal that cannot be written": (
        journal,
        tuple(JOURNALS),
        frozenset({"rule", "process", "folder"}),
    ),
    "a stopped process": (stopped, tuple(STOPS), frozenset({"process"})),
    "files that people move and change": (meddle, FILES, frozenset({"folder"})),
    "a gateway's page": (gateway, verdicts.PAGES, frozenset({"plan"})),
    "two runs, or a folder that moves": (
        meet,
        OTHERS,
        frozenset({"process", "folder", "rule"}),
    ),
    "a link with something beside it": (
        beside,
        (*verdicts.BESIDE, *verdicts.SEVERAL),
        frozenset({"plan"}),
    ),
    "the input in another spelling": (spell, SPELLINGS, frozenset({"command"})),
    "signals": (signals, tuple(SIGNALS), frozenset({"process"})),
    "a clock that jumps": (clock, tuple(CLOCKS), frozenset({"clock"})),
}


def drawn(game: Round, only: Collection[str] = KINDS) -> Life:
    """Draw a life: some of the usual, one or two kinds of trouble, perhaps a kill."""
    dice, life = game.dice, Life()
    if game.plan:
        life.command = dice.choice(["batch"] * 6 + ["retry unknown", "retry failed"])
        if life.command == "batch" and dice.random() < 0.2:
            life.options += ["--on-unknown", "resend"]
    elif dice.random() < 0.5:  # so that a later life has something to send
        life.options += ["--max-pictures", str(dice.randint(2, 6))]
    for prompt in game.books.wanted:
        if dice.random() < 0.3:
            life.plan[prompt] = verdicts.drawn(dice, USUAL, 2)
    kinds = list(only)
    dice.shuffle(kinds)
    told = []
    for kind in kinds:
        work, siblings, uses = KINDS[kind]
        if uses & life.claims or len(told) == 2 or (told and dice.random() < 0.5):
            continue
        sibling = dice.choice(siblings)
        life.claims |= uses
        work(game, life, sibling)
        game.met.append((kind, sibling))
        told.append(f"{kind}: {sibling}")
    if not life.still and "process" not in life.claims and dice.random() < 0.4:
        told.append(_killed(dice, life))
    words = " ".join([life.command, life.source, *life.options])
    game.say(f"{words}; {'; '.join(told)}; {life.plan}")
    return life


def _killed(dice: random.Random, life: Life) -> str:
    if "rule" not in life.claims and dice.random() < 0.6:
        life.rule = Rule(nth=dice.randint(1, 400), after=dice.random() < 0.5)
        return f"killed at call {life.rule.nth}"
    wait = dice.uniform(0, 0.8)
    life.moments.append((wait, lambda pid: send(pid, signal.SIGKILL)))
    return f"killed after {wait:.2f} s"
