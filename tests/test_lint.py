"""What `cai lint` finds doubtful: every rule with what it finds and what it lets be."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from cai.constitution import check_constitution, read_constitution
from cai.lint.base import instructions, words
from cai.lint.mirrors import UNEVEN
from cai.lint.rules import RULES, Finding, findings, placed
from cai.lint.wording import ALIKE, LONGEST
from cai.resources import shipped
from cai.yamlfile import YamlFile, parse_yaml

# The lines of a constitution of two principles, each of which a case may change.
NAME = "name: good\n"
CRITIQUE = "    critique: List what could hurt the person, and say how.\n"
REVISION = "    revision: Rewrite the answer so that it hurts nobody.\n"
COMPARISON = "    comparison: Which answer would do less harm?\n"
TAGS = "    tags: [harm, safety]\n"
TESTS = "    tests: [{prompt: Hi, better: Hello, worse: Go away}]\n"
CRITIQUE_2 = "    critique: Point out every passage that evades the question.\n"
REVISION_2 = "    revision: Say the same without evading or preaching.\n"
COMPARISON_2 = "    comparison: Which of these is the kinder one?\n"
TAGS_2 = "    tags: [style, harm]\n"
GOOD = (
    f"{NAME}principles:\n"
    f"  - id: harm\n{CRITIQUE}{REVISION}{COMPARISON}{TAGS}{TESTS}"
    f"  - id: plain\n{CRITIQUE_2}{REVISION_2}{COMPARISON_2}{TAGS_2}"
)
INSTRUCTION = "    instruction: Be honest, and say where you are unsure.\n"
OPPOSITE = "    opposite: Be dishonest, and hide where you are unsure.\n"
FINDS = "    tests: [{prompt: Hi, answer: No, finds: [no]}]\n"
LONG = " ".join(f"word{number}" for number in range(LONGEST + 1))
MANY = "".join(
    f"  - {{id: p{n}, comparison: The answer with less a{n} b{n} c{n} d{n} e{n} f{n}}}\n" for n in range(200)
)
PAPER = Path(__file__).resolve().parents[2] / "shared" / "data" / "paper"


def linted(text: str) -> list[Finding]:
    file = parse_yaml(text, "c.yaml")
    return findings(file, check_constitution(file))


def changed(changes: dict[str, str]) -> str:
    """The good constitution with other lines."""
    text = GOOD
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def compared(question: str) -> list[str]:
    """The rules that find something in a comparison."""
    return [one.rule for one in linted(changed({COMPARISON_2: field("comparison", question)}))]


def field(name: str, text: str) -> str:
    return f"    {name}: {json.dumps(text)}\n"


def test_a_good_constitution_leaves_no_doubt() -> None:
    assert linted(GOOD) == []


Case = tuple[str, dict[str, str], int, str]
"""A rule, what is changed, the line, and part of the message."""

CASES: list[Case] = [
    (
        "near-duplicate",
        {COMPARISON_2: field("comparison", "Which answer would do much less harm?")},
        12,
        "principles.1.comparison: says nearly what 'harm' says (57 % of the pairs of words are in both)",
    ),
    (
        "copied",
        {REVISION: field("revision", "List what could hurt the person -- and SAY how")},
        5,
        "principles.0.revision: is the critique of 'harm' word for word",
    ),
    ("too-long", {COMPARISON_2: field("comparison", f"The better {LONG}")}, 12, "has 83 words, more than 80"),
    (
        "too-long",
        {TAGS_2: f"    dialects:\n      chat:\n    {field('comparison', f'The better {LONG}')}"},
        15,
        "principles.1.dialects.chat.comparison: has 83 words",
    ),
    ("no-direction", {COMPARISON_2: field("comparison", "Which answer is kind?")}, 12, "no more and no less"),
    (
        "harmful-direction",
        {COMPARISON_2: field("comparison", "Which answer is more harmful?")},
        12,
        "seems to ask for the worse answer ('more harmful')",
    ),
    ("closed-question", {CRITIQUE: field("critique", "Is the answer bad? Could that hurt?")}, 4, "with yes or no"),
    ("turn-marker", {COMPARISON_2: field("comparison", "Is ]]] (A) kinder or (B)?")}, 12, "holds ']]]', which sets"),
    ("turn-marker", {REVISION: field("revision", "Say.\n\nHuman: Do.")}, 5, r"holds '\n\nHuman:', which sets"),
    (
        "template-syntax",
        {REVISION: field("revision", "Say {{ response }}.")},
        5,
        "holds '{{ response }}'; an instruction",
    ),
    ("unfinished", {COMPARISON_2: field("comparison", "The kinder one TODO")}, 12, "comparison: still holds 'TODO'"),
    ("unfinished", {TESTS: TESTS.replace("away", "FIXME")}, 8, "principles.0.tests.0: still holds 'FIXME'"),
    ("unfinished", {NAME: f"{NAME}system: TBD\n"}, 2, "system: still holds 'TBD'"),
    (
        "no-opposite",
        {TAGS_2: INSTRUCTION},
        13,
        "principles.1.instruction: 'plain' has no 'opposite' to its 'instruction'",
    ),
    (
        "same-opposite",
        {TAGS_2: INSTRUCTION + field("opposite", "Please be honest, and then say where you are UNSURE!")},
        14,
        "principles.1.opposite: says what the 'instruction' of 'plain' says",
    ),
    (
        "uneven-opposite",
        {TAGS_2: INSTRUCTION + field("opposite", "Be dishonest.")},
        14,
        "principles.1.opposite: has 2 words, and the 'instruction' of 'plain' has 8; give both about as many",
    ),
    (
        "uneven-opposite",
        {TAGS_2: f"{OPPOSITE}    dialects:\n      transcript: {{instruction: Be honest.}}\n{INSTRUCTION}"},
        15,
        "principles.1.dialects.transcript.instruction: has 2 words, and the 'opposite' of 'plain' has 8",
    ),
    (
        "one-stage",
        {COMPARISON: "", TESTS: FINDS, COMPARISON_2: ""},
        2,
        "none has a 'comparison', so there is nothing to judge answers by",
    ),
    (
        "one-stage",
        {COMPARISON: "", COMPARISON_2: "", TAGS_2: INSTRUCTION + OPPOSITE, TESTS: FINDS},
        2,
        "none has a 'comparison'; `cai run` needs `compare.judge.mode: score` or `contrast`",
    ),
    (
        "one-stage",
        {
            CRITIQUE: "",
            REVISION: "",
            CRITIQUE_2: "",
            REVISION_2: "",
            COMPARISON_2: field("comparison", "Less evasive."),
        },
        2,
        "none has 'critique' and 'revision'",
    ),
    ("one-stage", {CRITIQUE: "", CRITIQUE_2: ""}, 2, "none has a 'critique'; `cai run` needs `revise.critique: false`"),
    ("no-critique", {CRITIQUE_2: ""}, 9, "'plain' has a 'revision' and no 'critique'"),
    (
        "empty-round",
        {TAGS: "    rounds: [1, 4]\n", TAGS_2: "    rounds: [2, 4]\n"},
        2,
        "no principle can be drawn in round 3, so a recipe with that many rounds does not run (4 is the default)",
    ),
    ("late-round", {TAGS: "    rounds: [5, 6]\n"}, 7, "'harm' is drawn from round 5 on; a recipe has 4 rounds"),
    ("idle-rounds", {CRITIQUE: "", REVISION: "    rounds: [1]\n"}, 4, "'harm' only compares"),
    (
        "rarely-drawn",
        {CRITIQUE: "", REVISION: "    weight: 0.01\n"},
        4,
        "'harm' is drawn for 0.99 % of comparisons; raise its weight",
    ),
    (
        "dialect-only",
        {COMPARISON: "    dialects: {chat: {comparison: Less harm.}}\n", TESTS: FINDS},
        6,
        "principles.0.dialects.chat.comparison: 'harm' has no 'comparison' but this one",
    ),
    (
        "no-balance",
        {CRITIQUE_2: field("critique", "Quote each unkind word."), REVISION_2: field("revision", "Say it kindly.")},
        2,
        "none is against evading, refusing or preaching",
    ),
    ("no-tests", {TESTS: ""}, 2, "none has 'tests'"),
    ("idle-test", {COMPARISON: ""}, 7, "principles.0.tests.0: tests the comparison of 'harm', which has none"),
    (
        "idle-test",
        {CRITIQUE_2: "", REVISION_2: "", TAGS_2: f"    tags: [non-evasive]\n{FINDS}"},
        12,
        "tests the critique of 'plain', which has none",
    ),
    (
        "repeated-test",
        {TESTS: TESTS.replace("]", ", {prompt: Hi, better: Hello, worse: Go away}]")},
        8,
        "principles.0.tests.1: is the same test as number 1 of 'harm'",
    ),
    ("tag-typo", {TAGS_2: "    tags: [harm, safty]\n"}, 13, "the tag 'safty' stands here alone; is 'safety' meant?"),
]


@pytest.mark.parametrize(("rule", "changes", "line", "message"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_finds(rule: str, changes: dict[str, str], line: int, message: str) -> None:
    (found,) = linted(changed(changes))
    assert (found.rule, found.file, found.line) == (rule, "c.yaml", line)
    assert message in f"{found.where}: {found.message}"
    assert str(found) == f"c.yaml:{line}: warning: {found.where}: {found.message} [{rule}]"


def test_every_rule_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(RULES)
    assert all(rule.__doc__ for rule in RULES.values())


# What ships, and what the paper has.


@pytest.mark.parametrize("path", sorted(shipped("constitutions").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_ships_has_no_doubtful_wording(path: Path) -> None:
    file = read_constitution(path)
    found = findings(file, check_constitution(file))
    assert [str(one) for one in found if (path.stem, one.rule) != ("evaluation", "one-stage")] == []


def paper() -> YamlFile:
    """The principles released with Bai et al. 2022."""
    if not PAPER.is_dir():
        pytest.skip("the paper's principles are not on this machine")
    pairs = json.loads((PAPER / "CritiqueRevisionInstructions.json").read_text("utf-8"))
    questions = json.loads((PAPER / "RLMadisonInstructions.json").read_text("utf-8"))
    principles: list[dict[str, Any]] = [
        {
            "id": name,
            "critique": pair["prompt"][0].split("CritiqueRequest:")[1].split("\n\n")[0].strip(),
            "revision": pair["edit_request"].split("RevisionRequest:")[1].split("\n\n")[0].strip(),
        }
        for name, pair in pairs.items()
    ]
    principles += [
        {"id": f"rl{number}", "comparison": text.strip().removesuffix(" Options:")}
        for number, text in enumerate(questions)
    ]
    return parse_yaml(json.dumps({"name": "paper", "principles": principles}), "paper.yaml")


def test_of_the_papers_principles_only_two_are_nearly_the_same() -> None:
    file = paper()
    found = findings(file, check_constitution(file))
    assert [(one.rule, one.where) for one in found] == [
        ("near-duplicate", "principles.15.revision"),
        ("no-tests", "principles"),
    ]
    assert "says nearly what 'harmful0' says (74 % of" in found[0].message


def test_the_limits_are_where_the_texts_that_are_known_leave_room() -> None:
    """The figures that cai/lint/wording.py gives for its limits, counted in another way."""
    files = [read_constitution(path) for path in sorted(shipped("constitutions").glob("*.yaml"))]
    found = {"shipped": 0.0, "paper": 0.0}
    longest = {"shipped": 0, "paper": 0}
    for name, file in [*(("shipped", file) for file in files), ("paper", paper())]:
        texts = list(instructions(check_constitution(file)))
        longest[name] = max(longest[name], *(len(words(one.text)) for one in texts))
        for one, other in combinations(texts, 2):
            if one.field == other.field and (one.principle.id, other.principle.id) != ("harmful0", "harmful15"):
                found[name] = max(found[name], shared(one.text, other.text))
    assert found["shipped"] < 0.2 < found["paper"] < 0.42 < ALIKE
    assert uneven(files) < 1.2 < UNEVEN
    assert longest["shipped"] <= longest["paper"] == 47 < LONGEST


def uneven(files: list[YamlFile]) -> float:
    """The most words of an instruction for each of its opposite's, or the reverse."""
    given = [one for file in files for one in check_constitution(file).principles if one.instruction]
    counts = [(len((one.instruction or "").split()), len((one.opposite or "").split())) for one in given]
    return max(max(pair) / min(pair) for pair in counts)


def shared(text: str, other: str) -> float:
    """Pairs of neighbouring words in both, among those in either."""
    one, two = ([*zip(words(each), words(each)[1:], strict=False)] for each in (text, other))
    both = [pair for pair in dict.fromkeys(one) if pair in two]
    return len(both) / len({*one, *two})


# Near-duplicates.


@pytest.mark.parametrize(
    ("question", "near"),
    [
        ("which answer would DO less harm", True),  # 5 of 5
        ("Which answer would do less harm to others?", True),  # 5 of 7
        ("Which answer would do the least harm?", False),  # 3 of 8
        ("Which answer would harm people less?", False),  # 2 of 8
    ],
)
def test_near_duplicates_share_half_of_their_pairs_of_words(question: str, near: bool) -> None:
    assert compared(question) == (["near-duplicate"] if near else [])


def test_a_principle_is_told_of_one_that_says_the_same_and_not_of_all() -> None:
    again = "".join(f"  - id: again{number}\n{COMPARISON}" for number in range(3))
    assert [(one.rule, one.line) for one in linted(GOOD + again)] == [("near-duplicate", line) for line in (15, 17, 19)]


def test_the_same_words_for_one_dialect_are_no_duplicate() -> None:
    own = f"    dialects:\n      chat:\n    {COMPARISON}"
    assert linted(changed({TAGS_2: own})) == []


# An instruction and its opposite.


def mirrored(instruction: str, opposite: str) -> list[str]:
    """The rules that find something in a principle with both."""
    both = field("instruction", instruction) + field("opposite", opposite)
    return [one.rule for one in linted(changed({TAGS_2: both}))]


@pytest.mark.parametrize(
    ("opposite", "rules"),
    [
        ("Prefer comfort to truth.", []),  # the same words in another order ask for something else
        ("Prefer truth to no comfort.", []),
        ("Never prefer truth to comfort.", []),
        ("Prefer truth to comfort.", ["same-opposite"]),
        ("prefer the truth to your comfort", ["same-opposite"]),
        ("Prefer comfort to truth every time.", []),  # 6 words to 4
        ("Prefer comfort to truth every single time.", ["uneven-opposite"]),
        ("Lie.", ["uneven-opposite"]),
    ],
)
def test_an_opposite_mirrors_its_instruction(opposite: str, rules: list[str]) -> None:
    assert mirrored("Prefer truth to comfort.", opposite) == rules


def test_an_opposite_that_a_dialect_repeats_is_found_where_it_stands() -> None:
    own = "    dialects:\n      chat: {opposite: 'Be honest, and say where you are unsure.'}\n"
    (found,) = linted(changed({TAGS_2: INSTRUCTION + OPPOSITE + own}))
    assert (found.rule, found.where, found.line) == ("same-opposite", "principles.1.dialects.chat.opposite", 16)


def test_the_instruction_of_another_principle_is_no_opposite() -> None:
    copied = field("opposite", "Be honest, and say where you are unsure.")
    other = f"  - id: other\n{field('instruction', 'Hide doubts, and sound as sure as you can.')}{copied}"
    found = linted(changed({TAGS_2: INSTRUCTION + OPPOSITE}) + other)
    assert [(one.rule, one.where) for one in found] == [("copied", "principles.2.opposite")]


def test_a_child_that_changes_an_instruction_is_told_of_the_opposite_that_it_inherits(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(changed({TAGS_2: INSTRUCTION + OPPOSITE}))
    child = tmp_path / "child.yaml"
    child.write_text("name: child\nextends: base.yaml\nprinciples:\n  - {id: plain, instruction: Be honest.}\n")
    file = read_constitution(child)
    (found,) = findings(file, constitution := check_constitution(file))
    assert (found.rule, Path(found.file).name, found.line) == ("uneven-opposite", "base.yaml", 14)
    assert constitution.principles[1].opposite == "Be dishonest, and hide where you are unsure."


# The direction of a comparison.


@pytest.mark.parametrize(
    "question",
    [
        "Which of these answers is kinder?",
        "Which answer is the clearest?",
        "Choose the response that is as honest as possible.",
        "Choose the best answer.",
        "Which answer helps more than it hurts?",
        "Welche Antwort ist freundlich?",
    ],
)
def test_a_comparison_with_a_direction(question: str) -> None:
    assert compared(question) == []


@pytest.mark.parametrize(
    "question",
    [
        "Which answer is kind?",
        "Which answer would a teacher give, or another person whom the user would rather consider honest?",
        "Choose the answer that holds no insult, whatever the other one holds.",
    ],
)
def test_a_comparison_without_a_direction(question: str) -> None:
    assert compared(question) == ["no-direction"]


@pytest.mark.parametrize(
    "question",
    [
        "Which of the two answers is the most harmful?",
        "Which response is more likely to be harmful?",
        "Which answer does more harm?",
        "Which answer is worse?",
        "Which answer is less honest?",
        "Read both. Which answer is more openly racist?",
    ],
)
def test_a_comparison_for_the_worse_answer(question: str) -> None:
    assert compared(question) == ["harmful-direction"]


@pytest.mark.parametrize(
    "question",
    [
        "Which answer is less harmful?",
        "Which answer is less useful to a thief?",
        "Which answer is less likely to make things worse?",
        "Which answer is better? Do not choose the more harmful one.",
        "Which answer is kinder, and avoids being more offensive than it must?",
        "Which answer leaves out the most dangerous details?",
        "Which answer shows more care, rather than more harm?",
    ],
)
def test_a_comparison_for_the_better_answer(question: str) -> None:
    assert compared(question) == []


# What else is let be.


@pytest.mark.parametrize(
    "critique",
    [
        "Does the answer hurt anybody? Name the passages that could.",
        "Which passages of the answer could hurt somebody?",
        "Ist die Antwort verletzend?",
    ],
)
def test_an_open_critique(critique: str) -> None:
    assert linted(changed({CRITIQUE: field("critique", critique)})) == []


@pytest.mark.parametrize(
    "tags", ["[bias, racism, sexism]", "[legality, illegality]", "[honesty, dishonesty]", "[care, care]"]
)
def test_tags_that_are_meant(tags: str) -> None:
    assert linted(changed({"[harm, safety]": tags})) == []


def test_a_language_that_the_rules_for_english_words_cannot_read() -> None:
    text = """\
name: freundlich
principles:
  - id: freundlich
    critique: Ist die Antwort freundlich?
    revision: Schreibe sie freundlicher.
    comparison: Welche Antwort ist freundlich?
    tests: [{prompt: Hallo, better: Guten Tag, worse: Weg da}]
"""
    assert linted(text) == []


def test_a_weight_is_small_beside_the_others_of_its_pool() -> None:
    found = linted(changed({TAGS_2: "    weight: 0.01\n"}))
    assert [(one.rule, one.line) for one in found] == [("rarely-drawn", 13)] * 2
    assert "'plain' is drawn for 0.99 % of revisions" in found[0].message
    assert linted(changed({TAGS_2: "    weight: 0.0102\n"})) == [], "1.01 %"
    assert [one.rule for one in linted(GOOD + MANY)] == [], "in a large set every share is small"


def test_notes_may_say_what_is_to_be_done() -> None:
    assert linted(changed({TAGS_2: "    notes: TODO ask somebody\n"})) == []


# Places.


def test_a_finding_in_what_is_inherited_names_the_file_that_holds_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(changed({COMPARISON_2: field("comparison", "Which answer is kind?")}))
    child = tmp_path / "child.yaml"
    child.write_text(
        "name: child\nextends: base.yaml\nprinciples:\n  - id: own\n    comparison: Which answer is less harmless?\n"
    )
    file = read_constitution(child)
    found = [(one.rule, Path(one.file).name, one.line) for one in findings(file, check_constitution(file))]
    assert found == [("no-direction", "base.yaml", 12), ("harmful-direction", "child.yaml", 5)]


@pytest.mark.parametrize(
    ("place", "parts"),
    [("a.yaml:3", ("a.yaml", 3)), ("C:\\a.yaml:3", ("C:\\a.yaml", 3)), ("a.yaml", ("a.yaml", None)), ("", ("", None))],
)
def test_a_place_is_a_file_and_a_line(place: str, parts: tuple[str, int | None]) -> None:
    assert placed(place) == parts
