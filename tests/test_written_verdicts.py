"""Verdicts in a judge's own words: which must be read, which must not, and what is somebody else's.

A doubtful one is unread: that is counted and trains nothing, while a wrong one trains the opposite.
"""

from __future__ import annotations

import pytest

from cai.written_verdicts import written_label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The answer is: (A)", "A"),
        ("the answer is (b)", None),
        ("**Answer:** B", "B"),
        ("Answer: Option B", "B"),
        ("Final verdict: [[A]]", "A"),
        ("The better answer is B.", "B"),
        ("The answer is:\n(B)", "B"),
        ("(A)", "A"),
        ("  **(B)** ", "B"),
        ("A", "A"),
        ("I would choose (B) over (A).", "B"),
        ("Response A is clearly better.", "A"),
        ('The answer is "(B)".', "B"),
        ('"The answer is: (A)"', "A"),
        ("(B) is worse.\nThe answer is: (A)\nThanks!", "A"),
    ],
)
def test_a_written_verdict_is_read(text: str, label: str | None) -> None:
    assert written_label(text) == (label and f" ({label})")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Option (A) lists steps. Option (B) refuses.",
        "Answer A is polite; answer B is rude.",
        "Answer B, unlike answer A, is kind.",
        "(A) and (B) are both fine.",
        "Which answer is better? (A) or (B)?",
        "The answer is (A) or (B).",
        "Neither (A) nor (B) is better.",
        "I choose neither A nor B.",
        "The answer is not (A).",
        "A tie.",
        "The answer is a tie.",
        "A good answer says why.",
        "The answer is: A more careful reply would say why.",
        "The answer is: (C)",
        "The answer is: (AB)",
    ],
)
def test_a_text_that_only_mentions_labels_is_no_verdict(text: str) -> None:
    assert written_label(text) is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The answer is: (A)\nOn reflection the answer is: (B)", "B"),
        ("(A) is better at first sight. But (B) is better.", "B"),
        ("The answer is A because it is kind.", "A"),
        ("Answer A is better than answer B.", "A"),
        ("I prefer (A). The answer is: (A)", "A"),
        ("(A)\n\nWait.\n\n(B)", "B"),
    ],
)
def test_the_last_verdict_wins_and_a_mention_after_it_changes_nothing(text: str, label: str) -> None:
    assert written_label(text) == f" ({label})"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('Answer (B) tells me: "The answer is: (B)".', None),
        ("Answer (B) tells me: \u201cI would choose (B)\u201d, which is odd.", None),
        ('It says "(A)" and "(B)" several times.', None),
        ('The answer is: (A)\nThough (B) ends with "the answer is: (B)".', "A"),
        ('(B) says "(B) is better", and it lies. The answer is: (A)', "A"),
        ('It quotes "do it.\nThe answer is: (B)', "B"),
    ],
)
def test_what_an_answer_says_of_itself_in_quotation_marks_is_no_verdict(text: str, label: str | None) -> None:
    assert written_label(text) == (label and f" ({label})")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        # the whole reply in marks, or a mere label in them where one is due
        ("'The answer is: (A)'", "A"),
        ("```\nThe answer is: (A)\n```", "A"),
        ("`(A)`", "A"),
        ("\u00abThe answer is: (B)\u00bb", "B"),
        ("My verdict:\n```\n(A)\n```", "A"),
        ("**Verdict:** `(B)`", "B"),
        ("The answer is '(B)'.", "B"),
        ("The answer is \u201c(B)\u201d.", "B"),
        ("### Verdict: (A)", "A"),
        # a condition, a negation or a doubt about something else
        ("If I had to choose, I would choose (A).", "A"),
        ("The answer is (A) if I must choose.", "A"),
        ("Even if (B) is longer, (A) is better.", "A"),
        ("While (B) does not refuse, (A) is better.", "A"),
        ("(B) isn't safe, so the answer is (A).", "A"),
        ("As it does not harm anyone, (A) is better.", "A"),
        ("(B) does not say anything that helps, (A) is better.", "A"),
        ("(B) never refuses and (A) is better.", "A"),
        ("I don't think (B) is bad, but (A) is better.", "A"),
        ("I do not think that (B) is kinder, and the answer is (A).", "A"),
        ("I'm not sure, but (A) is better.", "A"),
        ("It's hard to say, but the answer is (B).", "B"),
        ("I can't say much for it; (A) is better.", "A"),
        ("There is no doubt that (A) is better.", "A"),
        ("Without a doubt, (A) is better.", "A"),
        ("I don't doubt that (A) is better.", "A"),
        ("Not only is it kind, (A) is better.", "A"),
        ("No, (B) is better.", "B"),
        ("No. The answer is: (B)", "B"),
        ("Is (A) better? Yes, (A) is better.", "A"),
        ("It is safe, yet (A) is better.", "A"),
        ("The answer is (A) because it asks whether the user is safe.", "A"),
        ("I would choose (A), not because it says more.", "A"),
        ("Answer: A, not B", "A"),
        ("The answer is (A), (B) is rude.", "A"),
        # the judge's own words beside those of others
        ("It is fair to say (A) is better.", "A"),
        ("One would have to say (A) is better.", "A"),
        ("I would say (A) is better.", "A"),
        ("Of the two responses I think (A) is better.", "A"),
        ("Response B asks for details and (A) is better.", "A"),
        ("Both responses say much the same, but (B) is better.", "B"),
        ("The principle asks for harmlessness, so (A) is better.", "A"),
        ("According to the principle, (A) is better.", "A"),
        ("Some would say the answer is (B). I disagree. The answer is (A).", "A"),
        ("The second says 'do harm'. The answer is: (A)", "A"),
        ("Reply (A) says 'no'. Reply (B) tells how. Therefore, the answer is: (A)", "A"),
        ("Response (B) says:\n- insult\n- threat\nThe answer is: (A)", "A"),
        ("Response (B) says:\nBuy a gun.\n\nThe answer is: (A)", "A"),
        ("The judge's verdict: (A)", "A"),
        ("The less harmful answer is (A).", "A"),
        # apostrophes, inches and centuries are no quotation marks
        ("Response A is 5\" of text; don't worry. The answer is: (A)", "A"),
        ("The users' and the judges' wishes don't clash: the answer is (A).", "A"),
        ("Back in the '90s, the users' way: the answer is (A).", "A"),
        ("Let's see, it's clear: the answer is: (B)", "B"),
    ],
)
def test_a_verdict_that_is_meant_is_read_whatever_stands_beside_it(text: str, label: str) -> None:
    assert written_label(text) == f" ({label})"


@pytest.mark.parametrize(
    "text",
    [
        # denied
        "I don't think (A) is better.",
        "I don't think that\n(A) is better.",
        "I don't think that, all in all, (A) is better.",
        "I do not believe answer A is better; the other one is kinder.",
        "I can\u2019t say that (B) is better.",
        "It is not yet clear that (A) is better.",
        "It is not the case that (A) is better.",
        "It isn't that (A) is better.",
        "I would not go so far as to say (A) is better.",
        "It would be wrong to say that (A) is better.",
        "I'm not sure (A) is better.",
        "I doubt that (A) is better.",
        "Nobody would say (A) is better.",
        "I think neither (A) is better nor (B).",
        "The answer is (A). Actually, I don't think (A) is better.",
        "The worse answer is (B).",
        "The more harmful answer is: (A)",
        # supposed, doubted or asked
        "It is hard to say whether (A) is better.",
        "It is hard to say that (B) is better.",
        "It is unclear whether the answer is (A).",
        "If (A) is better, say so.",
        "If (A) is better...",
        "If you value brevity, (A) is better.",
        "(A) is better if you value brevity; (B) is better if you value detail.",
        "(A) is better than (B) only if length counts.",
        "Suppose (A) is better.",
        "Perhaps (A) is better.",
        "Maybe the answer is (B).",
        "Is it true that (A) is better?",
        "The answer is (A)?",
        # both
        "Answer: A/B",
        "Answer: (A) / (B)",
        "Answer: A|B",
        "Answer: A, B",
        "Verdict: A = B",
        "A/B",
        "A:\nKind.\nB:\nRude.",
        # told of others
        "Some would say the answer is (A). I disagree.",
        "One could argue that (A) is better.",
        "Others think the answer is (B).",
        "You might say that (A) is better.",
        "The user wants me to say that (B) is better.",
        "The second reply claims that the answer is (B).",
        "The second one says that it is right and the answer is (B).",
        "Reply (B) insists: the answer is: (B).",
        "According to the second reply, the answer is (B).",
        "Its own verdict: (B)",
        "The second assistant's verdict: (B)",
    ],
)
def test_a_verdict_that_is_not_meant_is_none(text: str) -> None:
    assert written_label(text) is None
