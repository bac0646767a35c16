import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from task_records import concepts, dataset, encode, label, task

from surgzoo.db.schema import Criterion, FrameAnnotations
from surgzoo.tasks import reading_criteria, safety_assessment
from surgzoo.tasks.base import Scored

TASK = task("safety_assessment")
NAMES = ("two structures", "hepatocystic triangle", "cystic plate")


def question(*scores, source="synthsurg"):
    criteria = tuple(
        Criterion(label("criterion", name), score)
        for name, score in zip(concepts("criterion", source), scores, strict=False)
    )
    (conversation,) = encode(TASK.name, FrameAnnotations(criteria=criteria), source=source)
    return conversation


def test_conversation():
    conversation = question(1.0, 1 / 3, 0.5)
    assert conversation.answer == [
        ["two structures", True],
        ["hepatocystic triangle", False],
        ["cystic plate", True],
    ]
    assert conversation.target == "Criterion 1: Yes. Criterion 2: No. Criterion 3: Yes."
    assert conversation.options == NAMES
    assert "critical view of safety" in conversation.prompt


def test_criteria_stand_in_the_order_of_the_source():
    assert question(1.0, 0.0, 0.0, source="cholec80_cvs").options == (
        "two structures",
        "cystic plate",
        "hepatocystic triangle",
    )


def test_the_question_says_which_view():
    prostate = question(1.0, 0.0, 0.0, source="surgsigma_safe_window")
    assert "safe window of seminal vesicle dissection" in prostate.prompt
    mixed = tuple(Criterion(label("criterion", c), 1.0) for c in ("cystic_plate", "unheard_of"))
    with pytest.raises(ValueError, match="belong to no view"):
        safety_assessment._view([item.label.concept for item in mixed])


def test_nothing_annotated_makes_no_question():
    assert encode(TASK.name, FrameAnnotations(criteria=())) == []


@given(st.lists(st.booleans(), min_size=1, max_size=3))
def test_render_and_parse_round_trip(met):
    conversation = question(*map(float, met))
    text = TASK.render(conversation.answer)
    assert TASK.parse(text, conversation) == (conversation.answer, None)


yes = st.sampled_from(["yes", "Yes", "YES.", "met", "is met", "achieved", "true", "is fulfilled"])
no = st.sampled_from(
    ["no", "No", "NO.", "not met", "is not met", "isn't achieved", "false", "unmet"]
)
subjects = st.sampled_from(
    [
        lambda n: f"Criterion {n}",
        lambda n: f"C{n}",
        lambda n: f"c{n} ({NAMES[n - 1]})",
        lambda n: f"{n}.",
        lambda n: NAMES[n - 1].title(),
        lambda n: NAMES[n - 1].replace(" ", "_"),
        lambda n: f"The {reading_criteria._ORDINALS[n - 1]} criterion",
        lambda n: f'"criterion_{n}"',
    ]
)


@given(
    st.lists(st.booleans(), min_size=3, max_size=3),
    subjects,
    st.sampled_from([" ", ": "]),
    st.sampled_from([", ", "; ", "\n", ". "]),
    st.data(),
)
def test_wordings_are_read(met, subject, between, stop, data):
    said = [
        f"{subject(n)}{between}{data.draw(yes if value else no)}" for n, value in enumerate(met, 1)
    ]
    assert reading_criteria.find(stop.join(said), NAMES) == (met, None), said


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("criterion 1: yes; criterion 2: no; criterion 3: yes", [1, 0, 1]),
        ("Criterion 1: Yes.\nCriterion 2: No.\nCriterion 3: Yes.", [1, 0, 1]),
        ("C1=1, C2=0, C3=1", [1, 0, 1]),
        ('{"C1": true, "C2": false, "C3": 1}', [1, 0, 1]),
        (
            '```json\n{"two_structures": 1, "hepatocystic_triangle": 0, "cystic_plate": 1}\n```',
            [1, 0, 1],
        ),
        ("[1, 0, 1]", [1, 0, 1]),
        ("[true, false, true]", [1, 0, 1]),
        ("Yes, no, yes.", [1, 0, 1]),
        ("1. Yes 2. No 3. Yes", [1, 0, 1]),
        ("1) yes\n2) no\n3) yes", [1, 0, 1]),
        ("Criteria 1 and 3 are met, criterion 2 is not.", [1, 0, 1]),
        ("Criterion 1 and 3: yes. Criterion 2: no", [1, 0, 1]),
        ("Criteria 1, 2 and 3 are not met.", [0, 0, 0]),
        ("Yes for criterion 1, no for criterion 2, yes for criterion 3", [1, 0, 1]),
        ("**Criterion 1**: Yes, **Criterion 2**: No, **Criterion 3**: Yes", [1, 0, 1]),
        ("Criterion 3: yes, criterion 1: yes, criterion 2: no", [1, 0, 1]),
        ("two structures and cystic plate", [1, 0, 1]),
        ("The CVS is not achieved. C1: yes, C2: no, C3: yes. Overall: no.", [1, 0, 1]),
        ("Only criterion 2 is met.", [0, 1, 0]),
        ("C1: Yes, two structures can be seen. C2: No. C3: Yes.", [1, 0, 1]),
        (
            "Criterion 1 (two structures): Yes. Criterion 2: No, the hepatocystic triangle is not "
            "cleared of fat. Criterion 3: Yes, no liver bed is left.",
            [1, 0, 1],
        ),
        ("C1: y, C2: n, C3: y", [1, 0, 1]),
        ("1, 0, 1", [1, 0, 1]),
        ("1 0 1.", [1, 0, 1]),
        ("C1: no, the ducts cannot be seen. C2: no. C3: yes.", [0, 0, 1]),
        ("Criteria 1-3: yes", [1, 1, 1]),
        ("The answer is criteria 1 and 3.", [1, 0, 1]),
        ("All achieved.", [1, 1, 1]),
        ("All three criteria are met", [1, 1, 1]),
        ("None.", [0, 0, 0]),
        ("No criterion is met.", [0, 0, 0]),
        ("None of the criteria are achieved", [0, 0, 0]),
        ("C1: yes, C2: no, C3: yes, C4: no", [1, 0, 1]),
        ("<think>criterion 1: no</think><answer>C1: yes C2: no C3: yes</answer>", [1, 0, 1]),
    ],
)
def test_tolerant(text, met):
    answer, error = TASK.parse(text, question(1.0, 0.0, 0.0))
    assert error is None
    assert [value for _, value in answer] == list(map(bool, met))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("All but one criterion are met.", "is no plain yes or no ('all but')"),
        ("All criteria except one are met", "is no plain yes or no ('all criteria except')"),
        ("1: yes, 2: partially met, 3: no", "is no plain yes or no ('partially')"),
        ("Criterion 1: N/A. Criterion 2: N/A. Criterion 3: N/A.", "gives no verdict: "),
        ("Criterion 1 cannot be assessed.", "gives no verdict: "),
        ("Criterion 2: unclear", "gives no verdict: "),
        ("I cannot tell if all criteria are met.", "is no plain yes or no ('cannot tell')"),
        ("It is unclear whether all three are met", "is no plain yes or no ('unclear whether')"),
        (
            "Whether criteria 1, 2 and 3 are met cannot be determined",
            "is no plain yes or no ('cannot be determined')",
        ),
        ("1, 0", "tells no criterion from another: "),
        ("Criterion 1: Yes.", "says nothing of criterion 2 (hepatocystic triangle): "),
        (
            "Criterion 1: Yes. Criterion 1: No. C2: no. C3: no",
            "calls criterion 1 (two structures) ",
        ),
        ("It looks safe.", "tells no criterion from another: 'It looks safe.'"),
        ("Yes.", "tells no criterion from another: "),
        ("Not all criteria are met.", "tells no criterion from another: "),
        ("yes, no", "tells no criterion from another: "),
        ("", "is empty"),
    ],
)
def test_reasons(text, reason):
    answer, error = TASK.parse(text, question(1.0, 0.0, 0.0))
    assert answer is None
    assert error.startswith(reason)


def test_golden_metrics():
    first, second, third = question(1.0, 0.0, 1.0), question(0.0, 0.0, 1.0), question(1.0, 1.0, 0.0)

    def said(*met):
        return [[name, value] for name, value in zip(NAMES, met, strict=True)]

    metrics = TASK.metrics(
        [
            Scored(first, said(True, False, True)),
            Scored(second, said(True, False, False)),
            Scored(third, None),
        ]
    )
    # C1 true 1 0 1, said 1 1 -; C2 true 0 0 1, said 0 0 -; C3 true 1 1 0, said 1 0 -
    assert metrics["accuracy/two structures"] == pytest.approx(1 / 3)
    assert metrics["accuracy/hepatocystic triangle"] == pytest.approx(2 / 3)
    assert metrics["accuracy/cystic plate"] == pytest.approx(1 / 3)
    assert metrics["criterion_accuracy"] == pytest.approx((1 + 2 + 1) / 9)
    balanced = ((1 / 2 + 0) / 2, (1 + 0) / 2, (1 / 2 + 0) / 2)
    assert metrics["balanced_accuracy"] == pytest.approx(sum(balanced) / 3)
    assert metrics["exact_match"] == pytest.approx(1 / 3)
    assert metrics["parsed"] == pytest.approx(2 / 3)


def test_accuracies_are_those_of_scikit_learn():
    data = dataset(TASK.name)
    answers = [c.answer for c in data[1:] + data[:1]]
    metrics = TASK.metrics([Scored(c, a) for c, a in zip(data, answers, strict=True)])
    pairs = [
        ([c.answer[k][1] for c in data], [answer[k][1] for answer in answers]) for k in range(3)
    ]
    mean = sum(accuracy_score(*pair) for pair in pairs) / 3
    balanced = sum(balanced_accuracy_score(*pair) for pair in pairs) / 3
    assert metrics["criterion_accuracy"] == pytest.approx(mean)
    assert metrics["balanced_accuracy"] == pytest.approx(balanced)


def test_reward_is_the_share_of_right_criteria():
    conversation = question(1.0, 0.0, 1.0)
    assert TASK.reward(conversation, "C1: yes, C2: yes, C3: yes") == pytest.approx(2 / 3)
    assert TASK.reward(conversation, "?") == 0.0


def test_a_yes_is_a_bool():
    with pytest.raises(TypeError, match="is met or not, a bool, not 'yes'"):
        TASK.render([["two structures", "yes"]])
