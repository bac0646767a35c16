"""Enrichment against a server that misbehaves: nothing wrong is kept, nothing is asked twice."""

import json
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from chat_stub import serve, trickle
from test_reasoning_check import LABELS

from surgzoo.db.enrich import (
    Cache,
    CacheError,
    Endpoint,
    GaveUpError,
    Item,
    RefusedError,
    judge,
    rewrite,
)
from surgzoo.db.enrich import cache as caches
from surgzoo.db.enrich.cost import Estimate
from surgzoo.db.enrich.endpoint import Pace
from surgzoo.db.enrich.rewrite import prompt
from surgzoo.db.reasoning import compose

KEY = "sk-very-secret"
MESSAGES = [{"role": "user", "content": "hello"}]


def items(n):
    texts = {compose(LABELS, LABELS.video, 3, str(i)): None for i in range(4 * n)}
    return [Item(text, LABELS) for text in list(texts)[:n]]


def better(text):
    """A true rewriting."""
    return text.replace("Level 2 Relational", "The view is clear. Level 2 Relational")


def endpoint(url, **more):
    options = {"attempts": 3, "backoff": 0.01, "timeout": 2.0, "key_env": "TEST_CHAT_KEY"}
    return Endpoint(url, "m", **(options | more))


def outcomes(wanted, url, path, workers=3, **more):
    with Cache(path) as cache:
        pairs = ((index, item) for index, item in enumerate(wanted))
        done = list(rewrite(pairs, endpoint(url, **more), cache, workers=workers))
    assert [index for index, _ in done] == list(range(len(wanted)))
    return [outcome for _, outcome in done]


def test_true_rewritings_are_kept_in_order(tmp_path):
    wanted = items(14)
    with serve(lambda asked, _: better(asked)) as (stub, url):
        done = outcomes(wanted, url, tmp_path / "cache.jsonl", workers=3)
        assert [o.text for o in done] == [better(item.text) for item in wanted]
        assert all(o.kept for o in done)
        assert stub.most <= 3
        again = outcomes(wanted, url, tmp_path / "cache.jsonl")
    assert again == done
    assert set(stub.asked.values()) == {1}


def test_one_question_is_asked_once(tmp_path):
    wanted = items(1) * 16
    with serve(lambda asked, _: better(asked)) as (stub, url):
        done = outcomes(wanted, url, tmp_path / "cache.jsonl")
    assert all(o.kept for o in done) and stub.asked.total() == 1


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (lambda t: t.replace("hook", "clipper"), "wrong "),
        (lambda t: f"{t} The gallbladder is perforated.", "wrong claim"),
        (lambda t: f"{t} Five instruments are in view.", "wrong number"),
        (lambda t: t.replace("Level 2 Relational understanding:", ""), "headings changed"),
        (lambda t: f"{t} {'Well. ' * 600}", "too long"),
        (lambda t: "Sure! Here it is.", "headings changed"),
        (
            lambda t: (
                "This is a Level 3 task. Level 1 Perceptual grounding: A view. Level 2 Relational "
                "understanding: A scene. Level 3 Contextual reasoning: An operation."
            ),
            "facts lost",
        ),
        (
            lambda t: (
                "This is a Level 3 task. Level 1 Perceptual grounding: "
                + "A hook is in view. " * 40
                + "Level 2 Relational understanding: A scene. Level 3 Contextual reasoning: This."
            ),
            "facts lost",  # one fact many times is one fact
        ),
        (lambda t: f"{t} A LigaSure is in view.", "wrong unknown"),
        (lambda t: f"<think>{t}", "tags"),
        (lambda t: f"{t} <answer>preparation", "tags"),
    ],
)
def test_wrong_facts_leave_the_composed_text(tmp_path, said, reason):
    [item] = items(1)
    with serve(lambda asked, _: said(asked)) as (_, url):
        [outcome] = outcomes([item], url, tmp_path / "cache.jsonl")
    assert not outcome.kept and outcome.text == item.text
    assert outcome.reason.startswith(reason), outcome


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (b"[" * 100000, "unreadable reply"),
        ((500, {}, b"boom"), "HTTP 500"),
        ((503, {"Retry-After": "0.01"}, b""), "HTTP 503"),
        ((429, {"Retry-After": "0.02"}, b"slow down"), "HTTP 429"),
        (0.6, "time-out"),
        (b'{"choices": [{"mess', "unreadable reply"),
        (b'{"choices": []}', "unreadable reply"),
        (b'{"error": "overloaded"}', "unreadable reply"),
        (b"[]", "unreadable reply"),
        ("", "empty reply"),
        ("<think>only thoughts</think>", "empty reply"),
        ((200, {"Content-Length": "99"}, b'{"choices"'), "no connection"),
    ],
)
def test_a_bad_reply_is_asked_again_and_given_up_alone(tmp_path, bad, kind):
    sick, well = items(2)

    def script(asked, before):
        return bad if asked == sick.text else better(asked)

    with serve(script) as (stub, url):
        done = outcomes([sick, well], url, tmp_path / "c.jsonl", timeout=0.3, attempts=2)
        assert [(o.kept, o.reason) for o in done] == [(False, kind), (True, "")]
        assert stub.asked == {sick.text: 2, well.text: 1}

    with serve(lambda asked, before: bad if before < 1 else better(asked)) as (stub, url):
        [outcome] = outcomes([sick], url, tmp_path / "d.jsonl", timeout=0.3)
        assert outcome.kept and stub.asked.total() == 2


def test_no_server_is_given_up(tmp_path):
    with serve(lambda asked, _: "x") as (_, url):
        pass
    [outcome] = outcomes(items(1), url, tmp_path / "c.jsonl", attempts=2)
    assert outcome.reason == "no connection"


def test_retry_after_holds_for_everyone():
    def script(asked, before):
        return (429, {"Retry-After": "0.3"}, b"") if before == 0 else "well"

    with serve(script) as (stub, url):
        assert endpoint(url).ask(MESSAGES) == "well"
    assert stub.times[1] - stub.times[0] >= 0.3


def test_a_pause_holds_for_those_that_wait_already():
    """A thread whose turn was set before the server said Retry-After asks no earlier."""
    pace, asked = Pace(60 / 0.1), []

    def ask():
        pace.wait(threading.Event())
        asked.append(time.monotonic())

    ask()
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.02)  # all wait for their turn now
    begin = time.monotonic()
    pace.pause(0.5)
    for thread in threads:
        thread.join()
    for turn, at in enumerate(sorted(asked[1:])):  # a busy machine makes turns late, never early
        assert at - begin >= 0.49 + 0.1 * turn, asked


def test_retry_after_holds_for_a_question_given_up():
    bad = (503, {"Retry-After": "0.3"}, b"")
    with serve(lambda asked, _: bad if asked == "hello" else "well") as (stub, url):
        server = endpoint(url, attempts=1)
        with pytest.raises(GaveUpError):
            server.ask(MESSAGES)
        assert server.ask([{"role": "user", "content": "next"}]) == "well"
    assert stub.times[1] - stub.times[0] >= 0.29


def test_a_retry_after_of_nothing_still_backs_off():
    bad = (429, {"Retry-After": "0"}, b"")
    with serve(lambda asked, before: "well" if before else bad) as (stub, url):
        assert endpoint(url, backoff=0.4).ask(MESSAGES) == "well"
    assert stub.times[1] - stub.times[0] >= 0.19


@pytest.mark.parametrize("after", ["86400", "Fri, 31 Dec 2999 23:59:59 GMT", "9" * 400])
def test_a_pause_of_hours_ends_the_run(after):
    with serve(lambda asked, _: (429, {"Retry-After": after}, b"tomorrow")) as (stub, url):
        with pytest.raises(RefusedError, match=r"asks to wait \S+ seconds: run again then. tomor"):
            endpoint(url).ask(MESSAGES)
        assert stub.asked.total() == 1


def test_an_empty_account_ends_the_run():
    said = json.dumps({"error": {"message": "x" * 300, "code": "insufficient_quota"}}).encode()
    with serve(lambda asked, _: (429, {}, said)) as (stub, url):
        with pytest.raises(RefusedError, match="account is empty"):
            endpoint(url).ask(MESSAGES)
        assert stub.asked.total() == 1


def test_a_trickle_times_out():
    """Each byte comes within the time-out of the socket, the reply never does."""
    with trickle() as url:
        begin = time.monotonic()
        with pytest.raises(GaveUpError, match="time-out"):
            endpoint(url, timeout=0.5, attempts=1).ask(MESSAGES)
        assert time.monotonic() - begin < 10


def test_who_waits_for_the_server_wakes_when_the_run_is_closed(tmp_path):
    def script(asked, before):
        return better(asked) if asked == wanted[0].text else (503, {"Retry-After": "30"}, b"")

    wanted = items(3)
    with serve(script) as (_, url), Cache(tmp_path / "c.jsonl") as cache:
        pairs = ((None, item) for item in (wanted[0], *[None] * 20, *wanted[1:], *[None] * 40))
        run = rewrite(pairs, endpoint(url), cache, workers=2)
        begin = time.monotonic()
        for _ in range(20):
            next(run)
        run.close()
        assert time.monotonic() - begin < 10


def test_requests_keep_their_pace():
    with serve(lambda asked, _: "well") as (stub, url):
        slow = endpoint(url, per_minute=60 / 0.1)
        for _ in range(4):
            slow.ask(MESSAGES)
    gaps = [b - a for a, b in zip(stub.times, stub.times[1:], strict=False)]
    assert sum(gaps) >= 0.2  # 0.3 less what the first took to arrive


def test_backoff_doubles_up_to_its_limit():
    slept = []

    class Clock(threading.Event):
        def wait(self, timeout):
            slept.append(timeout)
            return False

    with serve(lambda asked, _: (500, {}, b"")) as (_, url):
        slow = endpoint(url, attempts=5, backoff=1.0, longest=4.0)
        with pytest.raises(GaveUpError, match="HTTP 500"):
            slow.ask(MESSAGES, Clock())
    assert len(slept) == 4
    assert all(top / 2 <= s <= top for s, top in zip(slept, (1, 2, 4, 4), strict=True)), slept


@pytest.mark.parametrize("status", [401, 402, 403, 404, 302])
def test_a_refusal_ends_the_run(tmp_path, status, monkeypatch):
    monkeypatch.setenv("TEST_CHAT_KEY", KEY)
    reply = (status, {"Location": "http://127.0.0.1:9/"}, f"bad key {KEY}".encode())
    with (
        serve(lambda asked, _: reply) as (_, url),
        pytest.raises(RefusedError, match=str(status)) as error,
    ):
        outcomes(items(5), url, tmp_path / "c.jsonl")
    assert KEY not in str(error.value)


def test_a_bad_request_is_given_up_at_once():
    with serve(lambda asked, _: (400, {}, b"too long")) as (stub, url):
        with pytest.raises(GaveUpError, match="too long"):
            endpoint(url).ask(MESSAGES)
        assert stub.asked.total() == 1


def test_a_cut_reply_is_given_up():
    for words in ("This is", "", None):  # a model that only thought has no words
        cut = {"choices": [{"message": {"content": words}, "finish_reason": "length"}]}
        with serve(lambda asked, _, cut=cut: json.dumps(cut).encode()) as (stub, url):
            with pytest.raises(GaveUpError, match="cut off"):
                endpoint(url).ask(MESSAGES)
            assert stub.asked.total() == 1


@pytest.mark.parametrize("place", range(150, 205, 7))
def test_a_key_cut_in_two_by_a_quote_is_hidden(place, monkeypatch):
    monkeypatch.setenv("TEST_CHAT_KEY", KEY)
    said = ("x" * place + KEY + "y" * 300).encode()
    for reply in ((400, {}, said), (401, {}, said), (500, {}, said), said):
        with (
            serve(lambda asked, _, reply=reply: reply) as (_, url),
            pytest.raises((GaveUpError, RefusedError)) as error,
        ):
            endpoint(url, attempts=1).ask(MESSAGES)
        assert "xxx" in str(error.value) and KEY[:5] not in str(error.value)


def test_a_key_in_a_reply_is_not_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_CHAT_KEY", KEY)
    with serve(lambda asked, _: f"You said {KEY}.") as (_, url):
        [outcome] = outcomes(items(1), url, tmp_path / "c.jsonl")
    assert not outcome.kept and KEY not in (tmp_path / "c.jsonl").read_text()


@pytest.mark.parametrize("key", [f"{KEY}\r\nX: y", f"{KEY}\u2026"])
def test_a_key_that_is_no_header_is_not_shown(key, monkeypatch):
    monkeypatch.setenv("TEST_CHAT_KEY", key)
    with pytest.raises(RefusedError, match=r"\$TEST_CHAT_KEY holds") as error:
        endpoint("http://127.0.0.1:9/v1").ask(MESSAGES)
    assert KEY not in str(error.value)
    monkeypatch.setenv("TEST_CHAT_KEY", f"{KEY}\n")  # as $(cat key) of other shells leaves it
    with serve(lambda asked, _: "well") as (stub, url):
        assert endpoint(url).ask(MESSAGES) == "well"
    assert stub.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "url", ["https://me:secret99@example.org/v1", "https://example.org/v1?key=secret99"]
)
def test_an_address_holds_no_secret(url):
    with pytest.raises(ValueError, match="more than host and path") as error:
        endpoint(url)
    assert "secret99" not in str(error.value)


@pytest.mark.parametrize("usage", ["[1]", '"many"', '{"prompt_tokens": "x"}'])
def test_odd_usage_does_no_harm(usage):
    said = f'{{"choices": [{{"message": {{"content": "well"}}}}], "usage": {usage}}}'
    with serve(lambda asked, _: said.encode()) as (_, url):
        assert endpoint(url).ask(MESSAGES) == "well"


def test_the_key_is_sent_and_nowhere_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_CHAT_KEY", KEY)
    path = tmp_path / "cache.jsonl"

    def script(asked, before):
        return (500, {}, KEY.encode()) if "Two" in asked else better(asked)

    with serve(script) as (stub, url):
        done = outcomes(items(8), url, path, attempts=1)
        assert all(h["Authorization"] == f"Bearer {KEY}" for h in stub.headers)
        assert KEY not in repr(endpoint(url))
    assert any(o.reason == "HTTP 500" for o in done)
    assert KEY not in path.read_text() and KEY not in repr(done)
    with pytest.raises(ValueError, match="not encrypted"):
        endpoint("http://example.org/v1")


def test_dies_mid_run_and_goes_on(tmp_path):
    """A run that is stopped, its cache torn, asks only what it had not heard."""
    wanted, path = items(24), tmp_path / "cache.jsonl"
    with serve(lambda asked, _: better(asked)) as (stub, url):
        with Cache(path) as cache:
            run = rewrite(((None, item) for item in wanted), endpoint(url), cache, workers=2)
            for _ in range(6):
                next(run)
            run.close()
        first = set(stub.asked)
        assert 6 <= len(first) < 24
        with open(path, "ab") as file:
            file.write(b'{"key": "torn", "te')
        done = outcomes(wanted, url, path)
        assert all(o.kept for o in done)
        assert set(stub.asked.values()) == {1} and len(stub.asked) == 24
    lines = path.read_bytes().splitlines()
    assert len(lines) == 24 and all(json.loads(line) for line in lines)


_RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from test_enrich import Cache, endpoint, items, rewrite
with Cache(sys.argv[3]) as cache:
    for _ in rewrite(((None, i) for i in items(40)), endpoint(sys.argv[2]), cache, workers=4):
        pass
"""


def test_killed_mid_run_asks_nothing_twice_that_it_heard(tmp_path):
    """kill -9, no time to tidy up: only what was under way is asked again."""
    path, workers = tmp_path / "cache.jsonl", 4

    def script(asked, before):
        time.sleep(0.02)
        return better(asked)

    with serve(script) as (stub, url):
        command = [sys.executable, "-c", _RUN, str(Path(__file__).parent), url, str(path)]
        run = subprocess.Popen(command)
        try:
            while not path.exists() or path.read_bytes().count(b"\n") < 12:
                assert run.poll() is None, "ended before it could be killed"
                time.sleep(0.005)
        finally:
            run.send_signal(signal.SIGKILL)
            run.wait()
        time.sleep(0.2)  # what was under way reaches the server
        heard, asked = path.read_bytes().count(b"\n"), stub.asked.total()
        assert 12 <= heard < 40 and heard <= asked <= heard + workers
        done = outcomes(items(40), url, path)
    assert all(o.kept for o in done) and len(stub.asked) == 40
    assert stub.asked.total() == 40 + (asked - heard)
    assert path.read_bytes().count(b"\n") == 40


def test_two_runs_do_not_share_a_cache(tmp_path):
    """The second would take a line that the first is writing for torn, and cut it."""
    path = tmp_path / "c.jsonl"
    with Cache(path) as first:
        first.put("a", "one")
        with pytest.raises(CacheError, match=r"c\.jsonl is in use by another run"):
            Cache(path)
        assert first.get("a") == "one"
    with Cache(path) as second:
        assert second.get("a") == "one"


@pytest.fixture
def full_disk():
    """No file of this process grows beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size or soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_leaves_the_cache_whole(tmp_path, full_disk):
    path = tmp_path / "c.jsonl"
    with Cache(path) as cache:
        cache.put("a", "one")
        full_disk(path.stat().st_size + 10)
        with pytest.raises(CacheError, match=r"c\.jsonl: a reply could not be kept.*make room"):
            cache.put("b", "two" * 100)
        full_disk(None)
        assert "b" not in cache and cache.get("a") == "one"
        cache.put("c", "three")
    with Cache(path) as cache:
        assert len(cache) == 2 and cache.get("c") == "three"


def test_a_full_disk_ends_the_run_at_once(tmp_path, full_disk):
    """A reply that cannot be kept was paid for in vain: no more are asked for."""
    wanted, path = items(40), tmp_path / "c.jsonl"
    with serve(lambda asked, _: better(asked)) as (stub, url):
        full_disk(5000)
        with pytest.raises(CacheError, match="make room"):
            outcomes(wanted, url, path, workers=2)
        full_disk(None)
        heard, first = path.read_bytes().count(b"\n"), stub.asked.total()
        assert 1 <= heard < first <= heard + 2
        assert all(o.kept for o in outcomes(wanted, url, path))
        assert stub.asked.total() == 40 + first - heard


def test_a_cache_that_cannot_be_opened(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match=r"c\.jsonl: replies cannot be kept there.*name another"):
        Cache(tmp_path / "file" / "c.jsonl")
    with pytest.raises(CacheError, match="name another"):
        Cache(tmp_path)


def test_cache_reads_back_and_names_a_broken_line(tmp_path):
    path = tmp_path / "cache.jsonl"
    with Cache(path) as cache:
        cache.put("a", "één\nline")
        cache.put("b", "two")
    with Cache(path) as cache:
        assert cache.get("a") == "één\nline" and cache.get("b") == "two" and cache.get("c") is None
        assert len(cache) == 2 and "a" in cache
        cache.put("c", "three")
        assert cache.get("c") == "three" and cache.get("a") == "één\nline"
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    for _ in range(2):  # and lets go of the file
        with pytest.raises(ValueError, match=r"cache\.jsonl, line 1"):
            Cache(path)
    path.write_text('{"key": "a"}\n')
    with pytest.raises(ValueError, match=r"cache\.jsonl, line 1"):
        Cache(path)


def test_any_reply_can_be_kept(tmp_path):
    with Cache(tmp_path / "c.jsonl") as cache:
        for text in ("\ud800 alone", "\u2028\n\r", ""):
            cache.put(text, text)
            assert cache.get(text) == text


def test_another_prompt_or_model_asks_again(tmp_path, monkeypatch):
    [item] = items(1)
    with serve(lambda asked, _: better(asked)) as (stub, url):
        for more in ({}, {}, {"temperature": 0.1}):
            outcomes([item], url, tmp_path / "c.jsonl", **more)
        assert stub.asked.total() == 2
        monkeypatch.setitem(
            sys.modules[prompt.__module__]._SYSTEM, "trace", "Say it in other words."
        )
        outcomes([item], url, tmp_path / "c.jsonl")
        assert stub.asked.total() == 3


def test_the_question_and_the_model_make_the_key():
    one = caches.key("m", MESSAGES, 0.7)
    assert one == caches.key("m", MESSAGES, 0.7)
    assert one != caches.key("n", MESSAGES, 0.7)
    assert one != caches.key("m", MESSAGES, 0.0)
    assert one != caches.key("m", [{"role": "user", "content": "hello!"}], 0.7)
    assert endpoint("http://localhost/v1").key(MESSAGES) == one


def test_the_estimate_leaves_out_what_is_known(tmp_path):
    wanted = items(5)
    asked = endpoint("http://localhost/v1")
    with Cache(tmp_path / "c.jsonl") as cache:
        cache.put(asked.key(prompt(wanted[0])), "x")
        estimate = Estimate()
        for item in [*wanted, wanted[1]]:
            estimate.add(item, asked, cache)
    assert (estimate.requests, estimate.cached) == (4, 2)
    characters = sum(len(m["content"]) for item in wanted[1:] for m in prompt(item))
    assert characters / 5 < estimate.prompt_tokens < characters / 2
    assert estimate.price(1.0, 0.0) == pytest.approx(estimate.prompt_tokens / 1e6)


def test_a_composed_text_that_does_not_hold_is_not_asked_about(tmp_path):
    wrong = Item("This is a Level 1 task. Level 1 Perceptual grounding: A clipper.", LABELS)
    with serve(lambda asked, _: asked) as (stub, url):
        done = outcomes([wrong, None], url, tmp_path / "c.jsonl")
    assert done[0].reason == "composed text does not hold" and done[1] is None
    assert stub.asked.total() == 0


def test_captions_go_the_same_way():
    text = "Laparoscopic cholecystectomy. The hook dissects the cystic duct."
    item = Item(text, LABELS, "caption")
    told = "In this laparoscopic cholecystectomy the cystic duct is dissected by the hook."
    assert judge(item, f'"{told}"').text == told
    assert judge(item, f"```\n{told}\n```").kept
    quoted = '"The hook" dissects the "cystic duct" in this cholecystectomy; "laparoscopic"'
    assert judge(item, quoted).text == quoted  # no pair around the whole
    assert judge(item, told.replace("hook", "grasper")).reason == "wrong relation"
    assert "Level" not in prompt(item)[0]["content"]
