"""surgzoo enrich on conversations of prepared data, with a server on loopback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from surgzoo.data.conversations import conversations
from surgzoo.db import schema
from surgzoo.db.schema import Conversation
from surgzoo.db.store import Store
from surgzoo.tasks.wording import Wording

sys.path.insert(0, str(Path(__file__).parent.parent / "db"))
from chat_stub import serve


@pytest.fixture(scope="module")
def asked(small_data, tmp_path_factory):
    """A file of phase conversations with traces, and what is in it."""
    store = Store.open(small_data, "synthsurg", "small")
    found = conversations(store, "phase_recognition", "all", wording=Wording(thinking=True))
    chosen = [conversation for _, conversation in zip(range(10), found, strict=False)]
    path = tmp_path_factory.mktemp("enrich") / "in.jsonl"
    path.write_text("".join(schema.to_json(c) + "\n" for c in chosen))
    return path, chosen


def enrich(path, out, url, data_dir, *more):
    return subprocess.run(
        [
            *(sys.executable, "-m", "surgzoo.tools.main", "enrich", f"--conversations={path}"),
            *(f"--out={out}", f"--endpoint={url}", "--model=m", f"--data_dir={data_dir}"),
            *("--key_env=NONE", "--per_minute=0", "--attempts=1", *more),
        ],
        capture_output=True,
        text=True,
    )


def read(path):
    return [schema.from_json(Conversation, line) for line in path.read_text().splitlines()]


def test_estimate_first_then_rewrite(asked, small_data, tmp_path):
    path, chosen = asked
    out = tmp_path / "out.jsonl"
    spoilt = chosen[3].thinking

    def script(text, before):
        return text + " A trocar is in view." if text == spoilt else text + " This is the view."

    with serve(script) as (stub, url):
        prices = ("--price_in=1000", "--price_out=1000")
        first = enrich(path, out, url, small_data, *prices)
        assert "10 requests" in first.stdout and "add --yes" in first.stdout, first.stderr
        assert not out.exists() and stub.asked.total() == 0
        second = enrich(path, out, url, small_data, "--yes")
        assert second.returncode == 0, second.stderr
        assert "10 texts, 9 rewritten" in second.stdout and "1  wrong" in second.stdout
        third = enrich(path, out, url, small_data, "--yes")
        assert "0 requests (10 more" in third.stdout and stub.asked.total() == 10
    for before, after in zip(chosen, read(out), strict=True):
        same = before.thinking == spoilt
        assert after.thinking == before.thinking + ("" if same else " This is the view.")
        assert (after.id, after.turns, after.answer) == (before.id, before.turns, before.answer)


def test_mistakes_get_a_way_out(asked, small_data, tmp_path):
    path, _ = asked
    url = "http://127.0.0.1:9/v1"
    broken = tmp_path / "broken.jsonl"
    broken.write_text(path.read_text().splitlines()[0] + "\n" + json.dumps({"id": 1}) + "\n")
    done = enrich(broken, tmp_path / "o", url, small_data)
    assert "broken.jsonl, line 2: is no conversation" in done.stderr
    done = enrich(path, path, url, small_data)
    assert "name another" in done.stderr
    done = enrich(path, tmp_path / "o", "localhost:8000", small_data)
    assert "is no address like" in done.stderr
    done = enrich(path, tmp_path / "o", url, tmp_path)
    assert "surgzoo prepare --source=synthsurg" in done.stderr
