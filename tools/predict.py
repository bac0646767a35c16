"""Ask any OpenAI-compatible server, or a trained model, the questions of a split -> predictions.
Started again, it asks what is left.

  surgzoo predict --endpoint=https://host/v1 --model=NAME --sources=cholec80 --out=theirs.jsonl
  surgzoo predict ... --prices=0.4,1.6 --dry_run      # what it would cost; sends nothing
  surgzoo predict --run_dir=runs/first --sources=synthsurg --out=ours.jsonl
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from absl import flags

from surgzoo.core import config as config_lib

_ENDPOINT = flags.DEFINE_string("endpoint", None, "address of the server, with /v1")
_MODEL = flags.DEFINE_string("model", None, "name of the model there")
_KEY_ENV = flags.DEFINE_string("key_env", "OPENAI_API_KEY", "environment variable with the key")
_RUN_DIR = flags.DEFINE_string("run_dir", None, "run folder of surgzoo train, in place of a server")
_SOURCES = flags.DEFINE_list("sources", None, "prepared sources, surg_sigma_db, or benchmark:NAME")
_TASKS = flags.DEFINE_list("tasks", None, "default all that are answered in words")
_SPLIT = flags.DEFINE_string("split", "test", "train, val, test or all")
_SCHEME = flags.DEFINE_string("scheme", "default", "split scheme of the sources")
_PROTOCOL = flags.DEFINE_enum("protocol", "open", ["open", "choice"], "how questions are put")
_LIMIT = flags.DEFINE_integer("limit", None, "at most so many questions a (source, task)")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where the sources were prepared")
_HISTORY = flags.DEFINE_string("history", None, "file of recognised actions; '' = the true ones")
_OUT = flags.DEFINE_string("out", None, "predictions file")
_CONFIG = flags.DEFINE_string(
    "config", None, "settings.json of another file; --config.NAME=VALUE changes one (ChatConfig)"
)
_WORKERS = flags.DEFINE_integer("workers", 4, "requests at a time", lower_bound=1)
_PER_MINUTE = flags.DEFINE_list("per_minute", None, "requests a minute, and tokens; 0 = no limit")
_TIMEOUT = flags.DEFINE_float("timeout", 120.0, "seconds a request may take", lower_bound=0.1)
_ATTEMPTS = flags.DEFINE_integer("attempts", 6, "how often one question is asked", lower_bound=1)
_PRICES = flags.DEFINE_list("prices", None, "of a million prompt tokens, and of written ones")
_IMAGES = flags.DEFINE_enum(
    "image_tokens",
    "patch28",
    ["patch28", "patch32", "tiles512", "tiles768"],
    "of Qwen, GPT-4.1, GPT-4o, Gemini 2",
)
_MAX_COST = flags.DEFINE_float("max_cost", None, "stop before OUT has cost more, over all runs")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "print the estimate and send nothing")
_OF_A_SERVER = (
    *(_MODEL, _KEY_ENV, _CONFIG, _WORKERS, _PER_MINUTE, _TIMEOUT, _ATTEMPTS),
    *(_PRICES, _IMAGES, _MAX_COST, _DRY_RUN),
)
_AGAIN = "Run the same command again: it asks what is left and nothing else."


def main(argv: list[str]) -> None:
    if bool(_ENDPOINT.value) == bool(_RUN_DIR.value):
        raise ValueError("say who is asked: --endpoint=http://host/v1, or --run_dir=runs/NAME")
    for flag in (_SOURCES, _OUT):
        if not flag.value:
            raise ValueError(f"say which with --{flag.name}=...; see surgzoo predict --help")
    if _RUN_DIR.value:
        _ask_run()
    else:
        _ask_server()


def _ask_run() -> None:
    """A model of the zoo, which words its questions as in training."""
    given = [flag.name for flag in _OF_A_SERVER if flag.present]
    if given or config_lib.command_line:
        raise ValueError(f"--{(given or ['config'])[0]} is for a server (--endpoint), not a run")
    from surgzoo.data.media import Stores
    from surgzoo.evaluate.predictors import endpoint as asking
    from surgzoo.evaluate.predictors.local import answer, restore, to_answer
    from surgzoo.evaluate.run import load_experiment

    experiment = load_experiment(Path(_RUN_DIR.value))
    wording = dataclasses.replace(experiment.data.wording, protocol=_PROTOCOL.value, thinking=False)
    stores = Stores(_DATA_DIR.value)
    items, wording = _questions(stores, wording)
    evaluation = experiment.eval
    if _HISTORY.value is not None:
        evaluation = dataclasses.replace(evaluation, history=_HISTORY.value)
    out, settings = Path(_OUT.value), config_lib.to_dict(wording)
    asking.check_settings(out, settings)
    asking.keep_settings(out, settings)
    found = to_answer(restore(_RUN_DIR.value, experiment))
    asked = answer(found, items, stores, out, evaluation).questions
    print(f"{asked} questions asked, {len(items) - asked} were answered already: {out}")
    print(_next(out, wording))


def _ask_server() -> None:
    if not _MODEL.value:
        raise ValueError("say which with --model=...; see surgzoo predict --help")
    from surgzoo.data.media import Stores
    from surgzoo.db.enrich.cost import Prices
    from surgzoo.db.enrich.endpoint import Endpoint
    from surgzoo.evaluate.predictors import cost
    from surgzoo.evaluate.predictors import endpoint as asking
    from surgzoo.evaluate.predictors.chat import Chat
    from surgzoo.evaluate.predictors.labels import check_task
    from surgzoo.evaluate.predictors.past import TASK, Past
    from surgzoo.evaluate.predictors.questions import check_in_words
    from surgzoo.tasks.wording import Wording

    prices = Prices(*_numbers(_PRICES))
    if _MAX_COST.value is not None and not (prices.prompt or prices.completion):
        raise ValueError("--max_cost needs the prices of a million tokens: --prices=IN,OUT")
    requests, tokens = _numbers(_PER_MINUTE)
    check_in_words(_TASKS.value or ())
    out, stores, config = Path(_OUT.value), Stores(_DATA_DIR.value), _config()
    items, wording = _questions(stores, Wording(protocol=config.protocol))
    config = dataclasses.replace(config, protocol=wording.protocol)
    if _benchmark() and "hint" not in config_lib.command_line:
        config = dataclasses.replace(config, hint="none")  # the benchmark's words and no others
    endpoint = Endpoint(
        _ENDPOINT.value,
        _MODEL.value,
        key_env=_KEY_ENV.value,
        timeout=_TIMEOUT.value,
        attempts=_ATTEMPTS.value,
        per_minute=requests,
        tokens_per_minute=tokens,
        temperature=config.temperature,
        max_tokens=config.max_tokens,
        seed=config.seed,
        tokens_field=config.tokens_field,
        extra=config.extra,
    )
    settings, told, way = config_lib.to_dict(config), {}, None
    if _HISTORY.value is not None:
        check_task(_MODEL.value, items, TASK)
        past = Past(_HISTORY.value, stores)
        told, way = past.told(items), past.way
        settings["history"] = way
    asking.check_settings(out, settings)
    chat, done, estimate = Chat(config, stores, told), asking.answered(out), cost.Estimate()
    for item in items:
        if item.id not in done:
            estimate.add(cost.need(item, chat, _IMAGES.value))
    print(_estimated(estimate, len(items), prices, config.max_tokens))
    if _DRY_RUN.value:
        print("nothing was sent (--dry_run)")
        return
    ledger = cost.Ledger(asking.beside(out, "usage.jsonl"), prices, _MAX_COST.value)
    try:
        outcome = asking.predict(
            items,
            chat,
            endpoint,
            ledger,
            out,
            image_tokens=_IMAGES.value,
            settings=settings,
            decoding=way,
            workers=_WORKERS.value,
        )
    except KeyboardInterrupt:
        sys.exit(f"surgzoo predict: interrupted. {_AGAIN}")
    print(_told(outcome, ledger))
    if outcome.left:
        sys.exit(_unfinished(outcome, out))
    print(_next(out, wording))


def _benchmark() -> str:
    """The benchmark that is asked, "" for sources."""
    from surgzoo.evaluate.predictors.questions import BENCHMARK

    named = [name for name in _SOURCES.value if name.startswith(BENCHMARK)]
    chosen = [flag.name for flag in (_TASKS, _SPLIT, _SCHEME) if flag.present]
    if named and (chosen or len(_SOURCES.value) > 1):
        raise ValueError(
            f"{named[0]} stands alone and decides about tasks and splits: leave out other sources, "
            "--tasks, --split and --scheme"
        )
    return named[0].removeprefix(BENCHMARK) if named else ""


def _questions(stores, wording):
    """The conversations that the flags choose, and how they are worded."""
    from surgzoo.db.conversation_store import DATABASE, every
    from surgzoo.evaluate.predictors.questions import (
        in_words,
        of_benchmark,
        questions,
        wording_of,
    )

    if name := _benchmark():
        return of_benchmark(stores, name, wording, _LIMIT.value), wording
    tasks = _TASKS.value or in_words()
    if DATABASE in _SOURCES.value:
        chosen = [flag.name for flag in (_SCHEME, _PROTOCOL) if flag.present]
        if chosen or len(_SOURCES.value) > 1:
            raise ValueError(
                f"{DATABASE} stands alone, and its schemes and protocol were chosen when it was "
                "built: leave out --scheme, --protocol and other sources"
            )
        if not _TASKS.value:
            built = {store.task for store in every(_DATA_DIR.value)}
            tasks = [name for name in tasks if name in built]
        wording = wording_of(stores, tasks)
    options = {"scheme": _SCHEME.value, "wording": wording, "limit": _LIMIT.value}
    return questions(stores, _SOURCES.value, tasks, _SPLIT.value, **options), wording


def _config():
    """How questions are put: the settings of another file, then the flags."""
    from surgzoo.evaluate.predictors.chat import ChatConfig

    config = ChatConfig()
    if _CONFIG.value:
        text = Path(_CONFIG.value).read_text(encoding="utf-8")
        try:
            before = json.loads(text)
            history = isinstance(before, dict) and before.pop("history", None)
            config = config_lib.from_dict(ChatConfig, before)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{_CONFIG.value} is no settings file of predict: {error}") from None
        if history and _HISTORY.value is None:
            raise ValueError(f"{_CONFIG.value} was asked {history}: say --history=FILE as well")
    if flags.FLAGS["protocol"].present:
        config = dataclasses.replace(config, protocol=_PROTOCOL.value)
    for name, text in config_lib.command_line.items():
        config = config_lib.override(config, name, text)
    return config


def _numbers(flag) -> tuple[float, float]:
    """The two numbers of a flag, 0 where one is left out."""
    try:
        first, second = [*map(float, flag.value or ()), 0.0, 0.0][:2]
    except ValueError:
        first = second = -1.0
    if len(flag.value or ()) > 2 or min(first, second) < 0:
        raise ValueError(f"--{flag.name} takes two numbers, such as --{flag.name}=60,100000")
    return first, second


def _estimated(estimate, total: int, prices, max_tokens: int) -> str:
    most = estimate.requests * max_tokens
    text = (
        f"{estimate.requests} requests ({total - estimate.requests} more are answered already) "
        f"with {estimate.images} images: about {estimate.prompt_tokens} prompt tokens and "
        f"{estimate.completion_tokens} written ones, {most} at most\n"
        f"(text: a token for 3.5 characters; images: {_IMAGES.value}; answers: 1.3 times the true "
        "one, max_tokens at most)"
    )
    if prices.prompt or prices.completion:
        text += (
            f"\nabout {estimate.about(prices):.4g}, {estimate.most(prices, max_tokens):.4g} at most"
        )
    if _MAX_COST.value is not None:
        text += f"; the run stops before {_MAX_COST.value:g}"
    return text


def _told(outcome, ledger) -> str:
    text = (
        f"{outcome.answered} answers, {outcome.wrong} lines with an error; "
        f"{ledger.prompt_tokens} prompt and {ledger.completion_tokens} written tokens in all"
    )
    if ledger.prices.prompt or ledger.prices.completion:
        text += f": {ledger.spent:.4g} spent, {ledger.spent - ledger.before:.4g} of it now"
    if ledger.estimated:
        text += f" ({ledger.estimated} answers estimated, as the server did not count)"
    return text


def _next(out: Path, wording) -> str:
    """The command that scores the file, with the flags that say how it was asked."""
    from surgzoo.db.conversation_store import DATABASE

    if name := _benchmark():
        limit = "" if _LIMIT.value is None else f" --limit={_LIMIT.value}"
        return (
            f"next: surgzoo benchmark --name={name} --predictions={out} "
            f"--data_dir={_DATA_DIR.value} --protocol={wording.protocol}{limit}"
        )
    built = DATABASE in _SOURCES.value  # its splits need not be those of the sources
    chosen = {"split": "all" if built else _SPLIT.value, "scheme": _SCHEME.value}
    if wording.protocol in ("choice", "mixed"):
        if wording.seed:  # which choices are listed hangs on it
            return f"next: surgzoo.evaluate.score.score({str(out)!r}, ..., wording={wording})"
        chosen["protocol"] = wording.protocol
    more = [f" --{k}={v}" for k, v in chosen.items() if v != flags.FLAGS[k].default]
    return f"next: surgzoo score --predictions={out} --data_dir={_DATA_DIR.value}{''.join(more)}"


def _unfinished(outcome, out: Path) -> str:
    """What is left and why, and the way on."""
    from surgzoo.evaluate.predictors.endpoint import beside

    lines = [f"surgzoo predict: {outcome.left} of {outcome.asked} questions have no answer yet"]
    if outcome.stopped:
        lines.append(f"  the run ended early: {outcome.stopped}")
    lines += [f"  {count:>6}  {reason}" for reason, count in outcome.reasons()]
    if outcome.failed:
        lines.append(f"  listed in {beside(out, 'failed.jsonl')}")
    lines.append(_AGAIN)
    return "\n".join(lines)
