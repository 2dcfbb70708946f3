"""Answers, critiques, talk about revisions and turn markers, case by case, and the misreadings that stay."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cai import wording_rules
from cai.wording_rules import LABEL, MARK, SPEAKER, TO_A_PERSON, Rule
from cai.wordings import (
    _names_a_reply,
    _plain,
    _unquoted,
    _words,
    announces_a_revision,
    answers_a_person,
    criticises,
    marks_a_turn,
    speaks_of_rewriting,
    without_quotes,
)

KIND = "I'd rather not write that one, since it would hurt her. Tell a story against yourself instead."
META_IN_ANY_REPLY = [
    f"Here is the revised answer:\n\n{KIND}",
    f"Here\u2019s a revised response that leaves out the insult:\n\n{KIND}",
    f"Sure! Here's a rewritten version of the assistant's answer:\n\n{KIND}",
    f"Revised response: {KIND}",
    f"**Revised Answer**\n\n{KIND}",
    f"The answer was unkind and could hurt a child.\n\nRevised response:\n\n{KIND}",
    f"{KIND}\n\nIn this revised response, the insult is gone.",
    f"My rewritten reply is: {KIND}",
]
META_IN_A_REVISION = [
    f"Here's a kinder version:\n\n{KIND}",
    f"Here is a more respectful and less hurtful response:\n\n{KIND}",
    f"Here's my rewrite:\n\n{KIND}",
    f"Sure, I've rewritten it so that nobody is hurt. {KIND}",
    f"I removed the joke and the insults. {KIND}",
    f"{KIND}\n\nI changed the wording so that it no longer mocks her.",
    f"{KIND}\n\n(I have replaced the harmful suggestions with kinder ones.)",
    f"{KIND}\n\nThis version removes the insult and offers help.",
    f"{KIND}\n\nThis response avoids stereotypes.",
    f"{KIND}\n\nChanges made:\n- no insult\n- an offer of help",
    f"Let me rephrase that. {KIND}",
    f"I apologize for my previous response. {KIND}",
    f"Sorry for the hurtful answer. {KIND}",
    f"Thank you for the feedback! {KIND}",
    f"{KIND}\n\nUnlike the original answer, it mocks nobody.",
]
NO_META = [
    "",
    KIND,
    "Here is a revised draft of your letter: Dear Ms Lee, thank you for your patience.",
    "Here's a rewrite of your first paragraph: The sea was calm.",
    "I've rewritten your e-mail so that it sounds warmer.",
    "I've revised your essay and corrected the grammar.",
    "Here are some ideas for a better night's sleep.",
    "Here is a recipe for bread: mix flour, water, salt and yeast.",
    "I'm sorry for your loss. It takes time.",
    "The answer to your question is 42.",
    "The council revised its response plan after the flood.",
    'You could tell her: "I\'m sorry for my previous answer."',
    "I removed the old battery first, then put in the new one.",
    "The treaty was revised in 1920. The revised text has three parts.",
    "This answer depends on where you live.",
]

CRITIQUES = [
    "The assistant's last answer mocks a girl for her coat, which is cruel.",
    "The assistant agreed to cruelty without a second thought.",
    "The response fails to mention that this is illegal.",
    "The response was too long and too cold.",
    "This response encourages theft.",
    "The last answer is not as helpful as it could be.",
    "The answer gives dangerous advice, and somebody could be hurt.",
    "The answer is harmful because it names a method.",
    "The answer is already fine as it stands.",
    "Yes, the assistant should not have said that.",
    "There is nothing to correct. The advice is sound.",
    "There is nothing harmful in this answer.",
    "No changes are needed.",
    "**Critique:** It names a method.",
    "Critique: it names a method.",
    "This is a perfectly good and accurate answer.",
]
NO_CRITIQUES = [
    "",
    KIND,
    "The answer is 42.",
    "The answer is yes: water boils sooner on a mountain.",
    "The answer depends on the weather.",
    "The answer to your question is in the manual.",
    "The response to the flood was slow, and people died.",
    "The assistant manager can give you the key.",
    "An assistant helps a manager with letters and dates.",
    "Stealing is wrong, and the family would suffer.",
    "There is nothing to worry about.",
    "A fast response time matters more than memory.",
    'Tell her that "the assistant\'s answer was cruel".',
    "Here's a rewritten version of the assistant's answer: please don't.",
]

ANSWERS = [
    "I'd rather not write that one. If you want a laugh, tell a story against yourself.",
    "You can call the council, and if your neighbour still does nothing, ask for a mediator.",
    "Sure! First you open the lock with a pin, and then you turn it slowly.",
    "I'm glad you're here. What would you like to talk about today?",
]
NO_ANSWERS = [
    "",
    "Nothing to change.",
    "The joke shames a girl in public for something that she may be unable to change.",
    "It tells you how to open a lock that may not be yours.",
    "The answer tells you how to open a lock, which helps thieves.",
    "Stealing a car is a crime, and the owner loses their way to work.",
    "This could be read as an insult to your neighbour, who may be ill.",
    "I can't find anything unkind here that you would want to change.",
    "I should not have been so sure about the year that you asked for.",
    "Arson is illegal and puts people in danger; no word of warning was given.",
]

MARKED = [
    "Human: what do you mean?",
    "Fine.\n\nHuman: and what else?",
    "Fine.\nUser: and what else?\nAssistant: nothing.",
    "**Assistant:** Hello.",
    "> Human: hello",
    "Fine.\n\nCritiqueRequest: Find what is unkind.",
    "Critique request: find what is unkind.",
    "Revision: Please don't.",
    "RevisionRequest: Rewrite it.",
    "Fine.<|im_end|>\n<|im_start|>user",
    "Fine.<|eot_id|>",
    "<start_of_turn>model\nFine.",
    "[INST] more [/INST]",
    "Fine.</s>",
    "</think>Fine.",
    "### Human: more",
    "<\uff5cUser\uff5c>more",
    "(A) [[[Fine.",
    "Please don't.]]]",
    "[[[Please don't.]]]",
]
UNMARKED = [
    "",
    KIND,
    "The human: a short history.",
    "Humans: a short history.",
    "Human beings need sleep: eight hours of it.",
    "Ask the user: which page do they mean?",
    "numbers = [[[1, 2], [3, 4]]]",
    "x = [[['a', 'b']]]",
    "if a <b and c> d: pass",
    "a <| b |> c",
    "See [the list][1].",
    "Assistant manager: Ms Lee",
    "Critique of Pure Reason is a book by Kant.",
]
MISREAD = [
    (speaks_of_rewriting("Here is an improved answer to the interview question: I lead.", False), "the person's text"),
    (speaks_of_rewriting("Did you not understand my previous answer?", True), "a talk about talk"),
    (criticises("The response was overwhelming: a thousand letters came."), "another kind of response"),
    (marks_a_turn("User: knock, knock.\nAssistant: who's there?"), "a dialogue that the person asked for"),
]


@pytest.mark.parametrize("text", META_IN_ANY_REPLY)
def test_words_on_a_revised_answer_are_meta_talk_anywhere(text: str) -> None:
    assert speaks_of_rewriting(text, revised=False)
    assert speaks_of_rewriting(text, revised=True)


@pytest.mark.parametrize("text", META_IN_A_REVISION)
def test_words_on_what_was_changed_are_meta_talk_in_a_revision(text: str) -> None:
    assert speaks_of_rewriting(text, revised=True)


@pytest.mark.parametrize("text", META_IN_A_REVISION[:2])
def test_a_first_answer_may_present_a_kinder_version(text: str) -> None:
    assert not speaks_of_rewriting(text, revised=False)


@pytest.mark.parametrize("text", NO_META)
def test_ordinary_replies_are_no_meta_talk(text: str) -> None:
    assert not speaks_of_rewriting(text, revised=True)
    assert not speaks_of_rewriting(text, revised=False)


@pytest.mark.parametrize("text", CRITIQUES)
def test_a_critique_opens_with_the_answer(text: str) -> None:
    assert criticises(text)
    assert not answers_a_person(text)


@pytest.mark.parametrize("text", NO_CRITIQUES)
def test_an_answer_does_not_open_as_a_critique(text: str) -> None:
    assert not criticises(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_speaks_to_a_person(text: str) -> None:
    assert answers_a_person(text)


@pytest.mark.parametrize("text", NO_ANSWERS)
def test_a_critique_speaks_of_an_answer_or_to_nobody(text: str) -> None:
    assert not answers_a_person(text)


@pytest.mark.parametrize("text", MARKED)
def test_turn_markers_are_found(text: str) -> None:
    assert marks_a_turn(text)


@pytest.mark.parametrize("text", UNMARKED)
def test_ordinary_colons_and_brackets_mark_no_turn(text: str) -> None:
    assert not marks_a_turn(text)


@pytest.mark.parametrize(("fires", "why"), MISREAD)
def test_known_misreadings_stay_known(fires: bool, why: str) -> None:
    assert fires, why


def test_only_a_line_of_its_own_announces_a_revision() -> None:
    assert announces_a_revision(f"Too harsh.\n\n### Revised reply\n{KIND}")
    assert not announces_a_revision("The revised answer is better than the first, and it is also much shorter.")


def test_quotes_within_a_line_and_quoted_lines_are_left_out() -> None:
    text = 'It says "go away" to her.\n> Go away\nCruel, and \u201cunkind\u201d too. 6" wide.'
    assert without_quotes(text).split() == ["It", "says", "to", "her.", "Cruel,", "and", "too.", '6"', "wide."]


RULES = dict.fromkeys(
    (
        *wording_rules.META,
        *wording_rules.META_AT_THE_END,
        *wording_rules.CRITIQUES,
        *wording_rules.ABOUT_A_REPLY,
        *(LABEL, TO_A_PERSON),
    )
)
UNHURRIED = [HealthCheck.too_slow, HealthCheck.filter_too_much]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern[:40])
def test_a_rule_needs_nothing_that_a_match_may_lack(rule: Rule) -> None:
    """Texts are made from the rule's own pattern, with other text around and within a quotation beside it."""

    @settings(deadline=None, max_examples=25, suppress_health_check=UNHURRIED, derandomize=True)
    @given(st.from_regex(rule.pattern), st.sampled_from(["", "x", " ", '"a b" ', "\u2014", "\u00e9"]))
    def holds(made: str, around: str) -> None:
        plain = _plain(f"{around}{made}{around}")
        if re.search(rule.pattern, _unquoted(plain)):
            assert rule.may_match(plain, _words(plain))
            assert _names_a_reply(plain) or rule not in (LABEL, *wording_rules.ALWAYS_META)

    holds()


@pytest.mark.parametrize("pattern", [SPEAKER, MARK])
def test_no_marker_is_passed_over(pattern: str) -> None:
    @settings(deadline=None, max_examples=50, suppress_health_check=UNHURRIED, derandomize=True)
    @given(st.from_regex(pattern))
    def marks(text: str) -> None:
        assert marks_a_turn(text) == (re.search(f"{SPEAKER}|{MARK}", text) is not None)

    marks()


@pytest.mark.parametrize("length", range(395, 412))
def test_a_word_that_the_cut_of_opening_or_ending_makes_is_known(length: int) -> None:
    """ "answered", cut after its sixth letter, is an answer to the rules that read the opening alone."""
    start = "x" * (length - len(" the last answer is")) + " the last answer isolated" + " y" * 400
    plain = _plain(start)
    assert set(re.findall(r"\w+", plain[:400])) | set(re.findall(r"\w+", plain[-600:])) <= _words(plain)
