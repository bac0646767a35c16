"""A chat server as predictor: what it is sent, what is written, what happens when it misbehaves."""

import base64
import collections
import io
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg

from surgzoo.data.conversations import conversations
from surgzoo.data.media import MediaError, MediaReader, Stores
from surgzoo.data.sampling import pick
from surgzoo.db.enrich.cost import Prices
from surgzoo.db.enrich.endpoint import Endpoint, GaveUpError, Pace, StoppedError
from surgzoo.db.schema import Conversation, Media, Turn
from surgzoo.evaluate.predictions import PredictionsError, PredictionWriter, read_predictions
from surgzoo.evaluate.predictors import cost, pictures
from surgzoo.evaluate.predictors import endpoint as asking
from surgzoo.evaluate.predictors.chat import Chat, ChatConfig
from surgzoo.evaluate.predictors.past import Past
from surgzoo.evaluate.predictors.questions import in_words, questions
from surgzoo.tasks import tasks
from surgzoo.tasks.wording import Wording

sys.path.insert(0, str(Path(__file__).parent.parent / "db"))
from chat_stub import question, serve

KEY = "sk-very-secret-0123"
SOURCE = "synthsurg.small"


def ask(wanted, stores, url, out, *, config=None, prices=None, max_cost=None, workers=3, **server):
    """One run; returns what it did."""
    options = {"attempts": 3, "backoff": 0.01, "timeout": 2.0, "key_env": "TEST_CHAT_KEY"}
    config = config or ChatConfig()
    endpoint = Endpoint(url, "m", max_tokens=config.max_tokens, **(options | server))
    ledger = cost.Ledger(asking.beside(out, "usage.jsonl"), prices or Prices(), max_cost)
    settings = {"hint": config.hint}
    return asking.predict(
        wanted, Chat(config, stores), endpoint, ledger, out, settings=settings, workers=workers
    )


def lines(path):
    return {item.id: item for item in read_predictions(path)}


@pytest.fixture(scope="module")
def stores(small_data):
    return Stores(small_data)


@pytest.fixture(scope="module")
def phases(stores):
    """24 questions, each about another picture."""
    found = questions(stores, [SOURCE], ["phase_recognition"], "test", limit=24)
    chat = Chat(ChatConfig(), stores)
    assert len({question(chat(item)) for item in found}) == len(found) == 24
    return found


@pytest.fixture(scope="module")
def known(stores, phases):
    """question -> conversation"""
    chat = Chat(ChatConfig(), stores)
    return {question(chat(item)): item for item in phases}


def completion(text, finish="stop", usage=(100, 7), **more):
    message = {"role": "assistant", "content": text, **more}
    body = {"choices": [{"message": message, "finish_reason": finish}]}
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return json.dumps(body).encode()


# ---- what is sent --------------------------------------------------------------------------------


def sent_pixels(url):
    head, _, data = url.partition(",")
    assert head == "data:image/jpeg;base64"
    return simplejpeg.decode_jpeg(base64.b64decode(data, validate=True))


def test_a_picture_goes_out_as_it_is_stored(stores, phases):
    chat, read = Chat(ChatConfig(hint="none"), stores), MediaReader(stores)
    for item in phases:
        [message] = chat(item)
        image, text = message["content"]
        assert message["role"] == "user" and text == {"type": "text", "text": item.prompt}
        assert image["type"] == "image_url"
        np.testing.assert_array_equal(
            sent_pixels(image["image_url"]["url"]), read.read(item.media[0])
        )
        media = item.media[0]
        stored = stores(media.source, media.config).frame(media.video, media.first).image
        assert image["image_url"]["url"] == pictures.url(stored)  # byte by byte


def test_a_picture_may_be_made_smaller(stores, phases):
    [message] = Chat(ChatConfig(largest=64, detail="low"), stores)(phases[0])
    image = message["content"][0]["image_url"]
    pixels = sent_pixels(image["url"])
    whole = MediaReader(stores).read(phases[0].media[0]).astype(float)
    assert whole.shape == (128, 128, 3) and pixels.shape == (64, 64, 3)
    halved = whole.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(pixels - halved).mean() < 4 and image["detail"] == "low"
    same = Chat(ChatConfig(largest=128), stores)(phases[0])
    assert same == Chat(ChatConfig(), stores)(phases[0])
    assert pictures.scaled_size(1920, 1080, 960) == (960, 540)
    assert pictures.scaled_size(100, 1000, 10) == (1, 10)


def test_an_exchange_that_comes_first_is_kept(stores):
    wording = Wording(protocol="dialogue")
    [item] = questions(stores, [SOURCE], ["phase_recognition"], "test", wording=wording, limit=1)
    assert len(item.turns) == 4
    config = ChatConfig(system="You are a surgeon.", hint="none")
    said = Chat(config, stores)(item)
    assert [message["role"] for message in said] == ["system", "user", "assistant", "user"]
    assert said[0]["content"] == "You are a surgeon."
    assert [part["type"] for part in said[1]["content"]] == ["image_url", "text"]
    assert said[1]["content"][1]["text"] == item.turns[0].text
    assert said[2]["content"] == item.turns[1].text and said[3]["content"] == item.turns[2].text
    assert item.target not in said[3]["content"]


def test_a_question_in_words_alone(stores):
    turns = (Turn("user", "What does a hook do?"), Turn("assistant", "It cuts."))
    item = Conversation("a.b/c/000000/image_captioning/0", "image_captioning", (), turns, "")
    assert Chat(ChatConfig(), stores)(item) == [{"role": "user", "content": turns[0].text}]


@pytest.fixture(scope="module")
def clip(stores):
    found = questions(stores, [SOURCE], ["video_captioning"], "test")
    return max(found, key=lambda item: item.media[0].count)


def test_a_clip_is_a_list_of_frames(stores, clip):
    media = clip.media[0]
    assert media.kind == "clip" and media.count > 4
    whole = MediaReader(stores).read(media)
    [message] = Chat(ChatConfig(frames=4, hint="none"), stores)(clip)
    note, *images, text = message["content"]
    assert text["text"] == clip.prompt and len(images) == 4
    assert note["text"].startswith("4 frames of a video clip of ") and " seconds" in note["text"]
    for k, image in zip(pick(media.count, 4), images, strict=True):
        np.testing.assert_array_equal(sent_pixels(image["image_url"]["url"]), whole[k])


def test_a_clip_as_one_video(stores, clip):
    media = clip.media[0]
    chosen = MediaReader(stores).read(media)[pick(media.count, 4)]
    [message] = Chat(ChatConfig(frames=4, clips="jpegs"), stores)(clip)
    video, _ = message["content"]
    head, *frames = video["video_url"]["url"].split(",")
    assert video["type"] == "video_url" and head == "data:video/jpeg;base64"
    for data, pixels in zip(frames, chosen, strict=True):
        np.testing.assert_array_equal(simplejpeg.decode_jpeg(base64.b64decode(data)), pixels)

    [message] = Chat(ChatConfig(frames=4, clips="mp4"), stores)(clip)
    head, data = message["content"][0]["video_url"]["url"].split(",")
    assert head == "data:video/mp4;base64"
    with av.open(io.BytesIO(base64.b64decode(data))) as container:
        rate = float(container.streams.video[0].average_rate)
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == 4
    seconds = media.count / stores(SOURCE).video(media.video).video.fps
    assert 4 / rate == pytest.approx(seconds, rel=0.01)
    assert np.abs(np.stack(shown).astype(float) - chosen).mean() < 6


def test_a_map_is_not_shown(stores, phases):
    media = Media("synthsurg", "small", phases[0].media[0].video, 0, kind="depth")
    item = Conversation(phases[0].id, "phase_recognition", (media,), phases[0].turns, "")
    with pytest.raises(MediaError, match="map 'depth'"):
        Chat(ChatConfig(), stores)(item)


# An answer as each hint asks for it, from the true one.
AS_ASKED = {
    "label": lambda answer: answer,
    "labels": lambda answer: ", ".join(answer) or "none",
    "boxes": lambda answer: (
        "\n".join(f"{n} {[round(1000 * v) for v in b]}" for n, b in answer) or "none"
    ),
    "tissue_localization": lambda answer: (
        "\n".join(f"{n} [{', '.join(f'{v:.3f}' for v in b)}]" for n, b in answer) or "none"
    ),
    "triplets": lambda answer: ", ".join(map(" ".join, answer)) or "none",
    "criteria": lambda answer: " ".join(
        f"Criterion {k}: {'Yes' if met else 'No'}." for k, (_, met) in enumerate(answer, 1)
    ),
    "seconds": lambda answer: f"{answer:g} seconds",
    "vqa": lambda answer: (
        answer["text"]
        if answer["box"] is None
        else f"{answer['text']} {[round(1000 * v) for v in answer['box']]}"
    ),
    "text": lambda answer: answer,
}


@pytest.mark.parametrize("name", in_words())
def test_an_answer_in_the_form_that_is_asked_for_is_read(stores, name):
    task = tasks.get(name)()
    found = list(conversations(stores(SOURCE), name, "test"))
    answer = AS_ASKED.get(name) or AS_ASKED[task.answer_form]
    chat = Chat(ChatConfig(), stores)
    if name == "visual_question_answering":  # synthsurg may have none: the form alone
        made = {"text": "left", "box": [0.1, 0.2, 0.3, 0.4]}
        item = Conversation("a.b/c/000000/visual_question_answering/0", name, (), (), made)
        assert task.parse(answer(made), item).answer == made
        return
    if not found:
        pytest.skip(f"synthsurg has no {name}")
    for item in found[:60]:
        parsed = task.parse(answer(item.answer), item)
        assert task.reward(item, answer(item.answer)) > 0.9, (item, parsed)
        asked = chat.texts(item)[-1][1]
        assert asked.startswith(item.prompt)
        assert (asked != item.prompt) == (task.answer_form != "text")
        assert Chat(ChatConfig(hint="none"), stores).texts(item)[-1][1] == item.prompt


def test_names_are_listed_on_request(stores, phases):
    asked = Chat(ChatConfig(hint="names"), stores).texts(phases[0])[-1][1]
    assert all(name in asked for name in phases[0].options)
    found = questions(stores, [SOURCE], ["instrument_localization"], "test", limit=40)
    chat = Chat(ChatConfig(hint="names"), stores)
    for item in found:  # a question about one class gives no list
        assert ("names that may" in chat.texts(item)[-1][1]) == (len(item.options) > 1)


def test_choices_are_answered_with_letters(stores):
    for name, many in (("phase_recognition", False), ("instrument_recognition", True)):
        found = questions(
            stores, [SOURCE], [name], "test", wording=Wording(protocol="choice"), limit=9
        )
        listed = [item for item in found if item.choices]
        assert listed
        for item in listed:
            asked = Chat(ChatConfig(hint="names"), stores).texts(item)[-1][1]
            assert "letter of" in asked and "names that may" not in asked
            assert ("commas" in asked) == many
            right = [item.answer] if isinstance(item.answer, str) else item.answer
            letters = ", ".join("ABCDEFGH"[item.choices.index(one)] for one in right)
            assert tasks.get(name)().reward(item, letters or "none") == 1


def test_the_request(stores, phases, tmp_path):
    more = {"temperature": 0.0, "seed": 5, "extra": {"max_tokens": None, "top_p": 1}}
    with serve(lambda asked, _: "well") as (stub, url):
        ask(phases[:1], stores, url, tmp_path / "p.jsonl", **more)
    [body] = stub.bodies
    messages = body.pop("messages")
    assert messages == json.loads(json.dumps(Chat(ChatConfig(), stores)(phases[0])))
    assert body == {"model": "m", "temperature": 0.0, "seed": 5, "top_p": 1}
    with serve(lambda asked, _: "well") as (stub, url):
        more = {"tokens_field": "max_completion_tokens", "extra": {"temperature": None}}
        ask(phases[:1], stores, url, tmp_path / "q.jsonl", **more)
    del stub.bodies[0]["messages"]
    assert stub.bodies == [{"model": "m", "max_completion_tokens": 1024}]


# ---- what is written -----------------------------------------------------------------------------


def test_answers_are_written_and_nothing_is_asked_again(stores, phases, known, tmp_path):
    out = tmp_path / "new" / "p.jsonl"

    def script(asked, _):
        time.sleep(0.02)
        return f"<think>Hm, {known[asked].target}?</think>\n {known[asked].target}"

    with serve(script) as (stub, url):
        outcome = ask(phases, stores, url, out)
        assert (outcome.asked, outcome.answered, outcome.wrong, outcome.left) == (24, 24, 0, 0)
        found = lines(out)
        assert {id: item.text for id, item in found.items()} == {i.id: i.target for i in phases}
        assert all(p.model == "m" and p.error is None and p.latency >= 0.02 for p in found.values())
        assert stub.most == 3 and set(stub.asked.values()) == {1}
        again = ask(phases, stores, url, out)
        assert again.asked == 0 and stub.asked.total() == 24
    assert not asking.beside(out, "failed.jsonl").exists()


# kind -> (reply, is it given up for good, what the line or list says)
BAD = {
    "time-out": (0.6, False, "time-out"),
    "moderated": ((403, {}, b"flagged"), False, "HTTP 403"),
    "busy": ((429, {"Retry-After": "0.02"}, b"slow down"), False, "HTTP 429: slow down"),
    "broken": ((500, {}, b"boom"), False, "HTTP 500: boom"),
    "gateway": (b'{"error": {"code": 502, "message": "upstream"}}', False, "HTTP 502"),
    "hang up": (None, False, "no connection"),
    "cut": ((200, {"Content-Length": "99"}, b'{"choices"'), False, "no connection"),
    "too long": ((400, {}, b"context length"), True, "HTTP 400: context length"),
    "garbage": (b"<html>", True, "unreadable reply: <html>"),
    "torn": (b'{"choices": [{"mess', True, "unreadable reply"),
    "no choices": (b'{"choices": []}', True, "unreadable reply"),
    "filter": (completion(None, "content_filter"), True, "content filter"),
    "filter, no message": (
        b'{"choices": [{"finish_reason": "content_filter"}]}',
        True,
        "content filter",
    ),
    "refusal": (completion(None, refusal="I cannot."), True, "refused: I cannot."),
    "empty": (completion(""), True, "empty reply"),
    "only thoughts": (completion("<think>Hm</think>"), True, "empty reply"),
    "endless thoughts": (completion(None, "length"), True, "cut off before any answer"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_goes_wrong_for_good_and_what_for_now(stores, phases, known, tmp_path, kind):
    said, for_good, why = BAD[kind]
    sick, out = phases[2], tmp_path / "p.jsonl"

    def script(asked, before):
        return said if known[asked] is sick else known[asked].target

    with serve(script) as (stub, url):
        ask(phases[:1], stores, url, out)
        outcome = ask(phases[:6], stores, url, out, timeout=0.3, attempts=2)
        found = lines(out)
        assert set(found) >= {item.id for item in phases[:6] if item is not sick}
        assert all(found[item.id].text for item in phases[:6] if item is not sick)
        failed = asking.beside(out, "failed.jsonl")
        if for_good:
            assert found[sick.id].text is None and found[sick.id].error.startswith(why)
            assert outcome.left == 0 and outcome.wrong == 1 and not failed.exists()
        else:
            assert sick.id not in found and outcome.left == 1
            assert outcome.failed[sick.id].startswith(why) and outcome.stopped is None
            [listed] = map(json.loads, failed.read_text().splitlines())
            assert listed == {"id": sick.id, "error": outcome.failed[sick.id]}
        said = known[question(Chat(ChatConfig(), stores)(sick))].target  # the server is well again
        before = stub.asked.copy()
        assert ask(phases[:6], stores, url, out).left == 0
        again = stub.asked - before
        assert again.total() == (0 if for_good else 1) and not failed.exists()
    assert len(lines(out)) == 6


def test_a_reply_that_is_cut_off_keeps_what_was_said(stores, phases, tmp_path):
    with serve(lambda asked, _: completion("The phase is", "length")) as (_, url):
        outcome = ask(phases[:2], stores, url, tmp_path / "p.jsonl")
    assert outcome.answered == 2
    for item in lines(tmp_path / "p.jsonl").values():
        assert item.text == "The phase is" and item.error == "cut off: max_tokens are too few"


def test_text_may_come_in_parts(stores, phases, tmp_path):
    parts = [{"type": "text", "text": "dis"}, {"type": "x"}, {"type": "text", "text": "section"}]
    with serve(lambda asked, _: completion(parts)) as (_, url):
        ask(phases[:1], stores, url, tmp_path / "p.jsonl")
    assert lines(tmp_path / "p.jsonl")[phases[0].id].text == "dissection"


def test_a_frame_that_cannot_be_decoded_costs_one_answer(stores, phases, known, tmp_path):
    broken = Media("synthsurg", "small", phases[0].media[0].video, 0, kind="depth")
    sick = Conversation(phases[0].id, "phase_recognition", (broken,), phases[0].turns, "")
    with serve(lambda asked, _: known[asked].target) as (stub, url):
        outcome = ask([sick, *phases[1:4]], stores, url, tmp_path / "p.jsonl")
    assert (outcome.answered, outcome.wrong) == (3, 1) and stub.asked.total() == 3
    assert "depth" in lines(tmp_path / "p.jsonl")[sick.id].error


# ---- a server that misbehaves --------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        (400, {}, b"max_tokens is not supported"),
        b"<html>a portal</html>",
        completion(None, "length"),
    ],
)
def test_a_run_that_is_set_up_wrongly_writes_nothing(stores, phases, tmp_path, reply):
    out = tmp_path / "p.jsonl"
    with serve(lambda asked, _: reply) as (stub, url):
        outcome = ask(phases, stores, url, out, attempts=1, workers=2)
        assert len(stub.asked) <= asking.WRONG + 2
        assert f"none of the first {asking.WRONG} questions" in outcome.stopped
        assert outcome.left == 24 and not lines(out)
        few = ask(phases[:3], stores, url, out, attempts=1)  # also when there are few questions
        assert few.left == 3 and len(few.failed) == 3 and not lines(out)
    with serve(lambda asked, _: "well") as (stub, url):
        assert ask(phases, stores, url, out).left == 0
    assert len(lines(out)) == 24


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_server_that_refuses_everything_is_asked_once(
    stores, phases, tmp_path, status, monkeypatch
):
    monkeypatch.setenv("TEST_CHAT_KEY", KEY)
    with serve(lambda asked, _: (status, {}, KEY.encode())) as (stub, url):
        outcome = ask(phases, stores, url, tmp_path / "p.jsonl", workers=1)
    assert str(status) in outcome.stopped and outcome.left == 24 and stub.asked.total() == 1
    assert KEY not in outcome.stopped
    assert not lines(tmp_path / "p.jsonl")


def test_a_server_with_every_fault_at_once(stores, phases, known, tmp_path):
    """Each question meets other faults before it is answered; nothing is answered twice."""
    out = tmp_path / "p.jsonl"
    faults = [
        1.5,
        (429, {"Retry-After": "0.05"}, b""),
        b"garbage",
        b'{"choices": []}',
        None,
        (503, {}, b""),
        (200, {"Content-Length": "999"}, b'{"choices": [{'),
    ]
    order = {item.id: number for number, item in enumerate(phases)}

    def script(asked, before):
        number = order[known[asked].id]
        if before < number % 4:
            return faults[(number + before) % len(faults)]
        return known[asked].target

    with serve(script) as (stub, url):
        outcome = ask(phases, stores, url, out, timeout=0.7, attempts=4)
        assert outcome.left == 0 and outcome.wrong == 0
        assert ask(phases, stores, url, out).asked == 0
    assert {id: p.text for id, p in lines(out).items()} == {i.id: i.target for i in phases}
    assert set(stub.answered.values()) == {1} and len(stub.answered) == 24


def test_retry_after_holds_for_all_threads(stores, phases, known, tmp_path):
    def script(asked, before):
        first = known[asked] is phases[0] and before == 0
        return (429, {"Retry-After": "0.5"}, b"") if first else "well"

    with serve(script) as (stub, url):
        ask(phases, stores, url, tmp_path / "p.jsonl", workers=2)
    gaps = [b - a for a, b in itertools.pairwise(sorted(stub.times))]
    assert max(gaps) >= 0.45


def test_the_server_dies_and_comes_back_within_a_run(stores, phases, known, tmp_path):
    out = tmp_path / "p.jsonl"
    result = []

    def script(asked, _):
        time.sleep(0.05)
        return known[asked].target

    with serve(script) as (stub, url):
        job = threading.Thread(
            target=lambda: result.append(
                ask(phases, stores, url, out, attempts=30, backoff=0.05, longest=0.1)
            )
        )
        job.start()
        while stub.answered.total() < 8:
            time.sleep(0.005)
    heard = len(lines(out))
    time.sleep(0.3)  # nobody is there
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    with serve(script, port, stub):
        job.join()
    assert result[0].left == 0 and result[0].stopped is None and 0 < heard < 24
    assert {id: p.text for id, p in lines(out).items()} == {i.id: i.target for i in phases}
    # What was under way when it died may have been answered into the void.
    assert stub.answered.total() <= 24 + 3 and max(stub.answered.values()) <= 2


def test_a_server_that_stays_away_ends_the_run_and_the_next_goes_on(
    stores, phases, known, tmp_path
):
    out = tmp_path / "p.jsonl"
    gone = threading.Event()

    def script(asked, _):
        if len(stub.answered) >= 7:
            gone.set()
        return (503, {}, b"down") if gone.is_set() else known[asked].target

    with serve(None) as (stub, url):
        stub.script = script
        first = ask(phases, stores, url, out, workers=1, attempts=2)
        assert first.answered == 7 and len(first.failed) == asking.SILENT
        assert f"the last {asking.SILENT} questions got no answer" in first.stopped
        assert len(asking.beside(out, "failed.jsonl").read_text().splitlines()) == asking.SILENT
        stub.script = lambda asked, _: known[asked].target
        second = ask(phases, stores, url, out)
        assert second.asked == 17 and second.left == 0
        assert not asking.beside(out, "failed.jsonl").exists()
    assert set(stub.answered.values()) == {1} and len(stub.answered) == 24
    assert len(lines(out)) == 24


_RUN = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:2]
from test_endpoint_predictor import SOURCE, Stores, ask, questions
stores = Stores(sys.argv[2])
wanted = questions(stores, [SOURCE], ["phase_recognition"], "test", limit=24)
ask(wanted, stores, sys.argv[3], Path(sys.argv[4]), workers=4)
"""


def test_killed_mid_run_asks_nothing_twice(small_data, stores, phases, known, tmp_path):
    """kill -9: only what was under way is asked again."""
    out, workers = tmp_path / "p.jsonl", 4

    def script(asked, _):
        time.sleep(0.1)
        return known[asked].target

    with serve(script) as (stub, url):
        command = [sys.executable, "-c", _RUN, str(Path(__file__).parent), str(small_data), url]
        run = subprocess.Popen([*command, str(out)])
        try:
            while not out.exists() or out.read_bytes().count(b"\n") < 9:
                assert run.poll() is None, "ended before it could be killed"
                time.sleep(0.005)
        finally:
            run.send_signal(signal.SIGKILL)
            run.wait()
        time.sleep(0.3)  # what was under way reaches the server
        heard, asked = out.read_bytes().count(b"\n"), stub.asked.copy()
        assert 9 <= heard < 24 and heard <= asked.total() <= heard + workers
        paid = [json.loads(x) for x in asking.beside(out, "usage.jsonl").read_text().splitlines()]
        assert heard - workers <= len(paid) <= heard
        with open(out, "ab") as file:
            file.write(b'{"id": "torn')
        with pytest.warns(UserWarning, match="cut off"):
            outcome = ask(phases, stores, url, out)
        assert outcome.left == 0 and outcome.asked == 24 - heard
    twice = {item for item, count in stub.asked.items() if count > 1}
    assert stub.asked.total() == 24 + asked.total() - heard and len(twice) <= workers
    assert {id: p.text for id, p in lines(out).items()} == {i.id: i.target for i in phases}


def test_two_runs_do_not_share_a_file(stores, phases, known, tmp_path):
    out, begun = tmp_path / "p.jsonl", threading.Event()

    def script(asked, _):
        begun.set()
        time.sleep(0.1)
        return known[asked].target

    with serve(script) as (stub, url):
        job = threading.Thread(target=lambda: ask(phases, stores, url, out))
        job.start()
        begun.wait()
        with pytest.raises(PredictionsError, match="being written by another run"):
            ask(phases, stores, url, out)
        job.join()
    assert len(lines(out)) == 24 and set(stub.asked.values()) == {1}


def test_a_file_holds_answers_to_one_way_of_asking(stores, phases, known, tmp_path):
    out = tmp_path / "p.jsonl"
    with serve(lambda asked, _: "well") as (stub, url):
        ask(phases[:2], stores, url, out)
        with pytest.raises(PredictionsError, match="hint 'form' and not 'none'"):
            ask(phases, stores, url, out, config=ChatConfig(hint="none"))
        assert stub.asked.total() == 2
        out.unlink()  # then there is nothing to mix
        assert ask(phases[:2], stores, url, out, config=ChatConfig(hint="none")).left == 0


def test_a_full_disk_ends_the_run(stores, phases, known, tmp_path, monkeypatch):
    out = tmp_path / "p.jsonl"
    original = asking.PredictionWriter.write

    def write(self, id, *args, **more):
        if len(self.done) == 5:
            raise OSError(28, "No space left on device")
        original(self, id, *args, **more)

    monkeypatch.setattr(asking.PredictionWriter, "write", write)
    with serve(lambda asked, _: known[asked].target) as (stub, url):
        with pytest.raises(OSError, match="No space left"):
            ask(phases, stores, url, out, workers=2)
        assert 6 <= stub.asked.total() <= 8
        monkeypatch.undo()
        assert ask(phases, stores, url, out).left == 0


def test_the_key_is_sent_and_nowhere_kept(stores, phases, known, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TEST_CHAT_KEY", KEY)

    def script(asked, before):
        number = phases.index(known[asked])
        said = KEY.encode()
        return [f"Your key is {KEY}", (500, {}, said), (400, {}, said), said][number % 4]

    with serve(script) as (stub, url):
        outcome = ask(phases[:8], stores, url, tmp_path / "p.jsonl", attempts=1)
    assert all(h["Authorization"] == f"Bearer {KEY}" for h in stub.headers)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 4
    assert all(KEY.encode() not in path.read_bytes() for path in written)
    assert KEY not in repr(outcome) and KEY not in "".join(capfd.readouterr())


# ---- pace and cost -------------------------------------------------------------------------------


def test_tokens_keep_their_pace():
    pace, begin = Pace(0, 60 * 1000), time.monotonic()  # 1000 a second
    for _ in range(3):
        pace.wait(threading.Event(), 100)
    assert 0.19 <= time.monotonic() - begin < 10
    pace.more(300)  # the server counted more than was said
    pace.more(-10_000)  # and less: no credit
    pace.wait(threading.Event(), 1)
    assert 0.59 <= time.monotonic() - begin < 15
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(StoppedError):
        pace.wait(stopped, 1)


def test_tokens_of_pictures_by_hand():
    rules = cost.IMAGES
    assert rules["patch28"](1280, 720) == 46 * 26
    assert rules["patch28"](28, 29) == 2
    assert rules["patch32"](1024, 1024) == 1024 and rules["patch32"](4000, 3000) == 1536
    # the two examples of OpenAI's page
    assert rules["tiles512"](1024, 1024) == 765 and rules["tiles512"](2048, 4096) == 1105
    assert rules["tiles512"](128, 128) == 255
    assert rules["tiles512"](854, 480) == 85 + 170 * 2
    assert rules["tiles768"](384, 384) == 258 and rules["tiles768"](385, 100) == 258
    assert rules["tiles768"](1920, 1080) == 258 * 3 * 2


def test_the_estimate_by_hand(stores, phases, clip):
    chat = Chat(ChatConfig(hint="none", system="x" * 35, frames=4), stores)
    wanted = cost.need(phases[0], chat, "patch28")
    text = round(len(phases[0].prompt) / 3.5) + 10 + 12
    assert wanted.images == 1 and wanted.prompt_tokens == text + 25  # 128 pixels are 5 patches
    assert wanted.completion_tokens == -(-13 * round(len(phases[0].target) / 3.5) // 10)
    many = cost.need(clip, chat, "tiles512")
    assert many.images == 4
    assert many.prompt_tokens == round(len(clip.prompt) / 3.5) + 10 + 12 + 4 * 255
    total = cost.Estimate()
    total.add(wanted)
    total.add(many)
    assert (total.requests, total.images) == (2, 5)
    prices = Prices(2.0, 10.0)
    written = wanted.completion_tokens + many.completion_tokens
    prompt = wanted.prompt_tokens + many.prompt_tokens
    assert total.about(prices) == pytest.approx((2 * prompt + 10 * written) / 1e6)
    assert total.most(prices, 500) == pytest.approx((2 * prompt + 10 * 1000) / 1e6)


def test_what_was_spent_is_kept_over_runs(stores, phases, known, tmp_path):
    out, prices = tmp_path / "p.jsonl", Prices(3.0, 20.0)
    with serve(lambda asked, _: completion("well", usage=(1000, 50))) as (_, url):
        ask(phases[:4], stores, url, out, prices=prices)
        ask(phases[:6], stores, url, out, prices=prices)
    usage = asking.beside(out, "usage.jsonl")
    ledger = cost.Ledger(usage, prices)
    assert (ledger.prompt_tokens, ledger.completion_tokens, ledger.estimated) == (6000, 300, 0)
    assert ledger.spent == ledger.before == pytest.approx((6000 * 3 + 300 * 20) / 1e6)

    # A server that does not count, and one whose first reply could not be read: estimated.
    def script(asked, before):
        return completion("well", usage=None) if before else b"garbage"

    with open(usage, "ab") as file:
        file.write(b'{"id": "torn')
    with serve(script) as (_, url):
        ask(phases[:7], stores, url, out, prices=prices)
    wanted = cost.need(phases[6], Chat(ChatConfig(), stores), "patch28")
    ledger = cost.Ledger(usage, prices)
    assert ledger.prompt_tokens == 6000 + 2 * wanted.prompt_tokens
    assert ledger.completion_tokens == 300 + 2 * wanted.completion_tokens
    assert ledger.estimated == 1


def test_the_limit_is_never_passed(stores, phases, known, tmp_path):
    """An answer may cost max_tokens, so that much is set aside; what is left of it comes back."""
    out, prices = tmp_path / "p.jsonl", Prices(0.0, 1e6)  # a written token costs 1
    config = ChatConfig(max_tokens=10)
    with serve(lambda asked, _: completion("well", usage=(100, 4))) as (stub, url):
        for limit, total in ((30, 6), (30, 6), (38, 8)):
            outcome = ask(
                phases, stores, url, out, config=config, prices=prices, max_cost=limit, workers=3
            )
            ledger = cost.Ledger(asking.beside(out, "usage.jsonl"), prices)
            # 4 a question: another one may cost 10 while 10 are left
            assert ledger.spent == 4 * total <= limit and stub.asked.total() == total
            assert f"{4 * total} of {limit} are spent" in outcome.stopped
            assert outcome.left == 24 - total
        assert len(lines(out)) == 8 and not outcome.failed
    with serve(lambda asked, _: completion("well", usage=(100, 10))) as (stub, url):
        ask(phases, stores, url, out, config=config, prices=prices, max_cost=100, workers=4)
    assert cost.Ledger(asking.beside(out, "usage.jsonl"), prices).spent <= 100


# ---- the command ---------------------------------------------------------------------------------


def surgzoo(*arguments):
    command = [sys.executable, "-m", "surgzoo.tools.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def command(url, data_dir, out, *more):
    return surgzoo(
        *("predict", f"--endpoint={url}", "--model=m", f"--sources={SOURCE}", f"--out={out}"),
        *(f"--data_dir={data_dir}", "--key_env=NONE", *more),
    )


def test_a_predictions_file_is_made_and_scored(small_data, stores, phases, known, tmp_path):
    out = tmp_path / "theirs.jsonl"
    wrong = {phases[3].id, phases[11].id}
    down = {phases[5].id}

    def script(asked, before):
        item = known[asked]
        if item.id in down:
            return (503, {}, b"down")
        if item.id in wrong:
            return next(name for name in item.options if name != item.target)
        return completion(item.target, usage=(1000, 10))

    asked = ("--tasks=phase_recognition", "--limit=24", "--prices=1,100")
    with serve(script) as (stub, url):
        dry = command(url, small_data, out, *asked, "--dry_run")
        assert dry.returncode == 0, dry.stderr
        assert "24 requests (0 more are answered already) with 24 images" in dry.stdout
        assert "nothing was sent" in dry.stdout and stub.asked.total() == 0
        assert not list(tmp_path.iterdir())
        first = command(url, small_data, out, *asked, "--attempts=1")
        assert first.returncode == 1
        assert "1 of 24 questions have no answer yet" in first.stderr, first.stderr
        assert "1  HTTP 503" in first.stderr and "theirs.failed.jsonl" in first.stderr
        assert "Run the same command again" in first.stderr
        down.clear()
        second = command(url, small_data, out, *asked, "--attempts=1")
        assert second.returncode == 0, second.stderr
        assert "1 requests (23 more are answered already)" in second.stdout
        # 22 of 1000 and 10 tokens, 2 of 10 and 5 (the stub's own)
        assert "22020 prompt and 230 written tokens in all: 0.04502 spent, 0.002 of it now" in (
            second.stdout
        )
    assert set(stub.answered.values()) <= {1}
    scored = surgzoo(
        "score", f"--predictions={out}", f"--data_dir={small_data}", "--missing=report"
    )
    assert scored.returncode == 0, scored.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    [row] = [row for row in scores["rows"] if row["group"] == "all"]
    assert row["task"] == "phase_recognition" and row["predicted"] == 24
    assert row["metrics"]["accuracy"] == pytest.approx(22 / 24) and scores["models"] == ["m"]

    # The settings ask another model in the same way.
    assert f"surgzoo score --predictions={out} --data_dir={small_data}\n" in second.stdout
    settings = tmp_path / "theirs.settings.json"
    kept = json.loads(settings.read_text())
    assert kept["protocol"] == "open" and kept["temperature"] == 0 and kept["seed"] == 0
    more = (*asked, f"--config={settings}", "--config.frames=3", "--dry_run")
    assert command(url, small_data, tmp_path / "b.jsonl", *more).returncode == 0
    mixed = command(url, small_data, out, *asked, "--config.frames=3")
    assert "frames 16 and not 3" in mixed.stderr


def test_ctrl_c_keeps_what_is_under_way(small_data, stores, phases, known, tmp_path):
    out, stopped = tmp_path / "p.jsonl", threading.Event()

    def script(asked, _):
        if stub.answered.total() >= 5:  # the signal has the time that it may need to come through
            stopped.wait(5)
        return known[asked].target

    with serve(script) as (stub, url):
        # Tests that were started in the background hand down that SIGINT is ignored.
        program = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from surgzoo.tools.main import main; main()"
        )
        arguments = [
            *(sys.executable, "-c", program, "predict", f"--endpoint={url}"),
            *("--model=m", f"--sources={SOURCE}", "--tasks=phase_recognition", "--limit=24"),
            *(f"--data_dir={small_data}", f"--out={out}", "--key_env=NONE"),
        ]
        run = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
        while stub.answered.total() < 5:
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        told = run.communicate()[1]
        stopped.set()
        assert run.returncode == 1 and "interrupted. Run the same command again" in told, told
        assert 5 <= len(lines(out)) == stub.asked.total() < 24
        done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0 and set(stub.asked.values()) == {1} and len(lines(out)) == 24


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--tasks=desmoking"], "desmoking are pictures"),
        (["--tasks=phases"], "phases"),
        (["--config.hints=form"], "Nearest: --config.hint"),
        (["--config.policy=first"], "one of even, middle, last"),
        (["--config.frames=0"], "1 frame or more"),
        (["--prices=a,b"], "takes two numbers"),
        (["--per_minute=1,2,3"], "takes two numbers"),
        (["--max_cost=1"], "--max_cost needs the prices"),
        (["--run_dir=x"], "say who is asked"),
        (["--split=nowhere"], "nothing to ask"),
        (["--config=/dev/null"], "is no settings file"),
        (["--sources=cholec08"], "not prepared"),
    ],
)
def test_mistakes_get_a_way_out(small_data, tmp_path, more, message):
    done = command("http://127.0.0.1:9/v1", small_data, tmp_path / "o.jsonl", *more)
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


def test_the_built_database_is_asked(small_database, tmp_path):
    found = questions(Stores(small_database), ["surg_sigma_db"], ["phase_recognition"], "test")
    assert found == questions(Stores(small_database), [SOURCE], ["phase_recognition"], "test")
    out = tmp_path / "p.jsonl"
    with serve(lambda asked, _: "well") as (_, url):
        done = surgzoo(
            *("predict", f"--endpoint={url}", "--model=m", "--sources=surg_sigma_db"),
            *(f"--out={out}", f"--data_dir={small_database}", "--limit=3", "--key_env=NONE"),
        )
    assert done.returncode == 0, done.stderr
    named = collections.Counter(id.split("/")[3] for id in lines(out))
    assert named == {"phase_recognition": 3, "instrument_localization": 3}
    assert f"surgzoo score --predictions={out} --data_dir={small_database} --split=all\n" in (
        done.stdout
    )


def test_a_database_of_mixed_protocols_is_scored_as_it_was_asked(small_data, tmp_path):
    """Letters are read against the choices that the database listed."""
    from surgzoo.datasets.surg_sigma_db import plan
    from surgzoo.datasets.surg_sigma_db.surg_sigma_db import build

    (tmp_path / "synthsurg").symlink_to(small_data / "synthsurg")
    build(plan.make(tmp_path, [SOURCE], ["phase_recognition"]), workers=1)
    found = questions(Stores(tmp_path), ["surg_sigma_db"], ["phase_recognition"], "test")
    chat = Chat(ChatConfig(), Stores(tmp_path))
    right = {question(chat(item)): item for item in found}
    assert any(item.choices for item in found) and not all(item.choices for item in found)

    def script(asked, _):
        item = right[asked]
        return "ABCDEFGH"[item.choices.index(item.answer)] if item.choices else item.answer

    out = tmp_path / "p.jsonl"
    server = ("--model=m", "--key_env=NONE", f"--data_dir={tmp_path}", f"--out={out}")
    with serve(script) as (_, url):
        done = surgzoo("predict", f"--endpoint={url}", "--sources=surg_sigma_db", *server)
    assert done.returncode == 0, done.stderr
    scored = surgzoo(*done.stdout.splitlines()[-1].removeprefix("next: surgzoo ").split())
    assert scored.returncode == 0, scored.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    [row] = [row for row in scores["rows"] if row["group"] == "all"]
    assert row["predicted"] == len(found) and row["metrics"]["accuracy"] == 1
    wrong = surgzoo(
        "predict", f"--endpoint={url}", "--sources=surg_sigma_db", "--protocol=choice", *server
    )
    assert "surg_sigma_db stands alone" in wrong.stderr


def test_listed_choices_are_asked_and_scored(small_data, tmp_path):
    stores, wording = Stores(small_data), Wording(protocol="choice")
    found = questions(stores, [SOURCE], ["phase_recognition"], "val", wording=wording, limit=9)
    chat = Chat(ChatConfig(), stores)
    right = {question(chat(item)): item for item in found}

    def script(asked, _):
        return "ABCDEFGH"[right[asked].choices.index(right[asked].answer)]

    out = tmp_path / "p.jsonl"
    more = ("--tasks=phase_recognition", "--limit=9", "--split=val", "--protocol=choice")
    with serve(script) as (_, url):
        done = command(url, small_data, out, *more)
    assert done.stdout.endswith(" --split=val --protocol=choice\n"), done.stderr
    scored = surgzoo(*done.stdout.splitlines()[-1].removeprefix("next: surgzoo ").split())
    assert scored.returncode == 0, scored.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    [row] = [row for row in scores["rows"] if row["group"] == "all"]
    assert row["predicted"] == 9 and row["metrics"]["accuracy"] == 1


def recognised(stores, file, share):
    """A file of recognised actions, the true one each time with the probability `share`."""
    said = {}
    for item in questions(stores, [SOURCE], ["action_recognition"], "test"):
        place = item.options.index(item.answer)
        other = item.options[(place + 1) % len(item.options)]
        said[item.id] = item, {item.answer: share, other: round(1 - share, 6)}
    with PredictionWriter(file, "eyes") as writer:
        for id, (_, scores) in said.items():
            writer.write(id, max(scores, key=scores.get), scores=scores)
    return said


def test_a_server_plans_from_a_history_in_words(small_data, stores, tmp_path):
    history, out = tmp_path / "actions.jsonl", tmp_path / "planned.jsonl"
    said = recognised(stores, history, 0.75)
    wanted = questions(stores, [SOURCE], ["next_action"], "test", limit=20)
    asked = ("--tasks=next_action", "--limit=20", "--config.hint=none")
    given = f"--history={history}"
    with serve(lambda asked, before: "cutting") as (stub, url):
        done = command(url, small_data, out, *asked, given)
        assert done.returncode == 0, done.stderr
        assert "20 requests (0 more are answered already) with 0 images" in done.stdout
        sent = [body["messages"] for body in stub.bodies]
        expected, lengths = [], set()
        for item in wanted:
            now, video = item.media[-1], item.id.split("/")[:2]
            past = [
                scores
                for id, (action, scores) in said.items()
                if id.split("/")[:2] == video and action.media[0].first <= now.first
            ]
            told = [", or ".join(f"{k} ({v:.0%} sure)" for k, v in one.items()) for one in past]
            numbered = [f"{number}. {line}" for number, line in enumerate(told, start=1)]
            lengths.add(len(past))
            expected.append((numbered, item.prompt))
        assert min(lengths) < 4 and max(lengths) > 9
        found = []
        for [message] in sent:
            rows = message["content"].splitlines()
            assert rows[0] == "The actions of this operation so far, in order:"
            assert rows[-2].startswith("No clip is shown")
            found.append((rows[1:-2], rows[-1]))
        assert sorted(found) == sorted(expected)
        (way,) = {line.decoding for line in lines(out).values()}
        assert way == Past(str(history), stores).way
        assert way.startswith("from the actions so far as eyes recognised them (actions.jsonl ")

        # Answers belong to what they were asked from: no other history, nor none, goes on.
        history.unlink()
        recognised(stores, history, 0.5)
        for other in ([given], ["--history="], []):
            refused = command(url, small_data, out, *asked, *other)
            assert refused.returncode != 0 and str(out) in refused.stderr, refused.stderr
            assert "name another --out" in refused.stderr
        settings = f"--config={asking.beside(out, 'settings.json')}"
        refused = command(url, small_data, tmp_path / "new.jsonl", asked[0], settings)
        assert refused.returncode != 0 and "say --history=FILE as well" in refused.stderr
        refused = command(url, small_data, out, "--tasks=phase_recognition", given)
        assert refused.returncode != 0
        assert "m answers next_action, not phase_recognition" in refused.stderr
        assert stub.asked.total() == 20


def test_true_and_unread_actions_of_a_history(stores, tmp_path):
    item = questions(stores, [SOURCE], ["next_action"], "test")[-1]
    past = Past("", stores)
    (actions,) = past.of([item]).values()
    assert len(actions) > 3
    told = past.told([item])[item.id].splitlines()[1:-1]
    assert told == [f"{n}. {action.answer}" for n, action in enumerate(actions, start=1)]
    assert past.way == "from the true actions so far"
    file = tmp_path / "actions.jsonl"
    with PredictionWriter(file, "eyes") as writer:
        for action in actions:
            writer.write(action.id, "no idea")
    told = Past(str(file), stores).told([item])[item.id].splitlines()[1:-1]
    assert told == [f"{n}. not recognised" for n in range(1, len(actions) + 1)]


def test_a_server_is_asked_without_jax():
    """In a fresh interpreter, as a neighbouring test may have imported anything."""
    names = ("questions", "chat", "cost", "endpoint", "labels", "past")
    program = "import sys\n" + "\n".join(
        f"import surgzoo.evaluate.predictors.{name}" for name in names
    )
    program += "\nprint(*[m for m in ('jax', 'flax', 'tensorflow', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_what_is_asked_twice_is_taken_once(stores):
    once = questions(stores, [SOURCE], ["phase_recognition"], "val")
    assert questions(stores, [SOURCE, SOURCE], ["phase_recognition"], "val") == once


def test_the_pace_of_a_run_is_that_of_its_endpoint():
    with serve(lambda asked, _: "well") as (stub, url):
        endpoint = Endpoint(url, "m", key_env="TEST_CHAT_KEY", tokens_per_minute=60 * 1000)
        for _ in range(3):
            endpoint.complete([{"role": "user", "content": "x"}], tokens=150)
    assert stub.times[-1] - stub.times[0] >= 0.27
    with serve(lambda asked, _: (500, {}, b"")) as (stub, url):
        endpoint = Endpoint(url, "m", key_env="TEST_CHAT_KEY", attempts=1)
        with pytest.raises(GaveUpError) as error:
            endpoint.complete([{"role": "user", "content": "x"}])
        assert error.value.transient and error.value.wasted == 0
