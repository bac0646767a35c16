"""surgzoo: one command for the programs of this folder.

  surgzoo COMMAND [--flags]      surgzoo COMMAND --help      explains one command

A command is a module of the same name with a docstring (its help), absl flags, and `main(argv)`.
Only the module that was asked for is imported.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys

from absl import app, flags, logging

from surgzoo.core import config as config_lib
from surgzoo.core.config import ConfigError

COMMANDS = {
    "quickstart": "render the default data, train surgvlm-tiny, evaluate it, write the report",
    "list": "what is registered: models, tasks, sources, benchmarks",
    "ontology": "one HTML page with every label mapping and its evidence",
    "inspect": "what a folder of a source dataset holds and lacks, before it is prepared",
    "prepare": "turn a source dataset into prepared records",
    "build_db": "conversations of all tasks from prepared sources: SurgΣ-DB",
    "derive": "make what a source lacks: smoke over clear frames, depth maps",
    "extract_features": "run an image encoder over every frame once, for temporal models",
    "plan": "will it fit? memory of a training step on each device, before it is run",
    "train": "train an experiment config; continues where it stopped",
    "cross_validate": "train and test fold by fold, and score all folds as one",
    "weights": "write the weights of a run for transformers, peft and servers",
    "export": "write conversations or boxes for other trainers",
    "evaluate": "ask a trained model the questions of a split -> predictions.jsonl",
    "retrieve": "captions by pictures and pictures by captions: recall of a trained dual encoder",
    "card": "what the prepared sources hold: counts, charts, samples -> card.html",
    "enrich": "let a language model rewrite traces and captions; a check keeps what is true",
    "benchmark": "a registered benchmark: its questions for any model, the score of its answers",
    "predict": "ask any chat server, or a trained model, and write a predictions file",
    "score": "score any predictions file against prepared data -> scores.json",
    "compare": "two predictions files on the same questions: difference, interval, test",
    "report": "one HTML page with tables, frames and curves of a run",
    "bench": "measure speed and memory beside other programs; one table",
}
_WITH_WORDS = {"list"}  # `main` reads what stands behind the command; of the others nothing may
_MODULES = {"bench": "run_bench"}  # of another name: bench/ holds the programs that it runs

# Errors that tell the user what to do; anything else keeps its traceback, as do these with
# --verbosity=1.
_EXPECTED = (ConfigError, ValueError, FileNotFoundError, ImportError, KeyError)


def main() -> None:
    """Entry point of the console script."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return
    if arguments[0] == "--version":
        import surgzoo

        print(surgzoo.__version__)
        return
    command = arguments[0]
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        sys.exit(f"surgzoo: there is no command '{command}'.{hint}\n\n{_overview()}")
    module = importlib.import_module(f"surgzoo.tools.{_MODULES.get(command, command)}")
    if any(argument in ("-h", "--help") for argument in arguments[1:]):
        print(_help(command, module))
        return
    # The native libraries below JAX and TFDS write start-up notes to stderr.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        rest, found = config_lib.split_argv(arguments[1:])
    except ConfigError as error:
        sys.exit(f"surgzoo {command}: {error}")
    config_lib.command_line.update(found)
    if found and "config" not in flags.FLAGS:
        sys.exit(f"surgzoo {command}: takes no --config.* overrides")
    app.run(
        lambda argv: _run(command, module, argv),
        argv=[f"surgzoo {command}", *rest],
        flags_parser=lambda argv: _parse(command, argv),
    )


def _parse(command: str, argv: list[str]) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(f"surgzoo {command}: {error}\n(surgzoo {command} --help lists the flags)")
    return rest


def _run(command: str, module, argv: list[str]) -> None:
    logging.use_absl_handler()
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # the libraries below report every file at INFO
    try:
        if len(argv) > 1 and command not in _WITH_WORDS:
            raise ValueError(f"unexpected argument {argv[1]}; see surgzoo {command} --help")
        module.main(argv)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except _EXPECTED as error:
        if logging.level_debug():
            raise
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        sys.exit(f"surgzoo {command}: {message}\n(--verbosity=1 shows where)")
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        sys.exit(f"surgzoo {command}: {error.strerror or error}{where}")


def _overview() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return f"surgzoo COMMAND [--flags]\n\n{rows}\n\nsurgzoo COMMAND --help explains a command."


def _help(command: str, module) -> str:
    """The module's docstring and its own flags, one screen."""
    lines = [module.__doc__.strip(), "", "Flags:"]
    own = flags.FLAGS.flags_by_module_dict().get(module.__name__, [])
    for flag in own:
        default = "" if flag.default in (None, "", False) else f" [{flag.default_as_str}]"
        lines.append(f"  --{flag.name}{default}: {flag.help}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
