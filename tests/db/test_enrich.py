"""Enrichment against a server that misbehaves: nothing wrong is kept, nothing is asked twice."""

import json

import pytest
from chat_stub import serve
from test_reasoning_check import LABELS

from surgzoo.db.enrich import Cache, Endpoint, GaveUpError, Item, RefusedError, judge, rewrite
from surgzoo.db.enrich import cache as caches
from surgzoo.db.enrich.cost import Estimate
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
                "This is a Level 3 task. Level 1 Perceptual grounding: x. Level 2 Relational "
                "understanding: y. Level 3 Contextual reasoning: z."
            ),
            "facts lost",
        ),
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
        assert endpoint(url).ask(MESSAGES).text == "well"
    assert stub.times[1] - stub.times[0] >= 0.3


def test_requests_keep_their_pace():
    with serve(lambda asked, _: "well") as (stub, url):
        slow = endpoint(url, per_minute=60 / 0.1)
        for _ in range(4):
            slow.ask(MESSAGES)
    gaps = [b - a for a, b in zip(stub.times, stub.times[1:], strict=False)]
    assert sum(gaps) >= 0.28


def test_backoff_doubles_up_to_its_limit():
    slept = []
    with serve(lambda asked, _: (500, {}, b"")) as (_, url):
        slow = endpoint(url, attempts=5, backoff=1.0, longest=4.0, sleep=slept.append)
        with pytest.raises(GaveUpError, match="HTTP 500"):
            slow.ask(MESSAGES)
    assert len(slept) == 4
    assert all(top / 2 <= s <= top for s, top in zip(slept, (1, 2, 4, 4), strict=True)), slept


@pytest.mark.parametrize("status", [401, 403, 404, 302])
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
    cut = {"choices": [{"message": {"content": "This is"}, "finish_reason": "length"}]}
    with (
        serve(lambda asked, _: json.dumps(cut).encode()) as (_, url),
        pytest.raises(GaveUpError, match="cut off"),
    ):
        endpoint(url).ask(MESSAGES)


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
    with pytest.raises(ValueError, match=r"cache\.jsonl, line 1"):
        Cache(path)


def test_the_question_and_the_model_make_the_key():
    one = caches.key("m", MESSAGES)
    assert one == caches.key("m", MESSAGES)
    assert one != caches.key("n", MESSAGES)
    assert one != caches.key("m", [{"role": "user", "content": "hello!"}])


def test_the_estimate_leaves_out_what_is_known(tmp_path):
    wanted = items(5)
    with Cache(tmp_path / "c.jsonl") as cache:
        cache.put(caches.key("m", prompt(wanted[0])), "x")
        estimate = Estimate()
        for item in [*wanted, wanted[1]]:
            estimate.add(item, "m", cache)
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
    assert judge(item, told.replace("hook", "grasper")).reason == "wrong relation"
    assert "Level" not in prompt(item)[0]["content"]
