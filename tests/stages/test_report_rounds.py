"""Scores by round of the run's own chains and of its ablations: whole chains, paired, and never mixed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from report_data import ablated, chain, prompt

from cai.records import Revision, RoundScore
from cai.stages.report_rounds import carried, contrasts, draw, said, tracks


def scored(revisions: Sequence[Revision], rewards: Sequence[float]) -> list[RoundScore]:
    return [
        RoundScore(id=one.id, round=one.round, variant=one.variant, reward=reward)
        for one, reward in zip(revisions, rewards, strict=True)
    ]


def stopped(revision: Revision) -> Revision:
    return revision.model_copy(update={"flags": ("stopped",), "critique": None})


def world(count: int = 12, rounds: int = 2) -> tuple[list[Revision], list[Revision], list[RoundScore]]:
    """Own chains gain 1 a round, direct ones 0.5; those of one principle gain or lose 1, prompt by prompt."""
    own, others, scores = [], [], []
    for place in range(count):
        answers = [f"{place} {round_}" for round_ in range(rounds + 1)]
        mine = chain(f"q{place}", answers)
        direct, one = (ablated(f"q{place}", answers[1:], name) for name in ("direct", "principles=1"))
        own, others = [*own, *mine], [*others, *direct, *one]
        scores += scored(mine, [place + round_ for round_ in range(rounds + 1)])
        scores += scored(direct, [place + 0.5 * round_ for round_ in range(1, rounds + 1)])
        scores += scored(one, [place + (-1) ** place * round_ for round_ in range(1, rounds + 1)])
    return own, others, scores


# Tracks.


def test_a_track_is_a_chains_scores_in_order() -> None:
    revisions = [*chain("a", ["1", "2", "3"]), *chain("a", ["4", "5", "6"], sample=1)]
    scores = scored(revisions, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    name = prompt("a").id
    assert tracks(revisions[::-1], scores[::-1], 2) == {(name, 0): (0.0, 1.0, 2.0), (name, 1): (3.0, 4.0, 5.0)}


def test_a_chain_that_ended_early_keeps_its_score_and_one_that_failed_does_not() -> None:
    ended, failed = chain("a", ["1", "2"]), chain("b", ["1", "2"])
    ended[1] = stopped(ended[1])
    found = tracks([*ended, *failed], scored([*ended, *failed], [0.5, 0.5, 0.0, 1.0]), 4)
    assert found == {(prompt("a").id, 0): (0.5,) * 5, (prompt("b").id, 0): (0.0, 1.0)}


def test_a_track_ends_before_the_first_round_without_a_score() -> None:
    revisions = chain("a", ["1", "2", "3", "4"])
    revisions[3] = stopped(revisions[3])
    scores = scored(revisions, [0.0, 1.0, 2.0, 3.0])
    assert list(tracks(revisions, [scores[0], *scores[2:]], 5).values()) == [(0.0,)]


def test_carried_scores_are_the_scores_where_no_chain_ended() -> None:
    own, _, scores = world(3)
    found = carried(own, scores, 2)
    ours = [score for score in scores if not score.variant]
    assert sorted((one.round, one.reward) for one in found) == sorted((one.round, one.reward) for one in ours)
    assert len({one.id for one in found}) == len(found)


# Contrasts.


def test_each_kind_is_set_against_the_runs_own_chains_on_the_same_first_answers() -> None:
    principles, critiques = contrasts(*world(), 2, 3)
    assert list(principles.tracks) == ["1 principle", "all 3 principles"]
    assert list(critiques.tracks) == ["critiqued", "direct"]
    name = prompt("q4").id, 0
    assert critiques.tracks["critiqued"][name] == (4.0, 5.0, 6.0)
    assert critiques.tracks["direct"][name] == (4.0, 4.5, 5.0)
    assert principles.tracks["1 principle"][name] == (4.0, 5.0, 6.0)
    assert all(len(found) == 12 for found in principles.tracks.values())


def test_a_run_without_ablations_has_no_contrast_and_one_kind_alone_has_one() -> None:
    own, others, scores = world()
    assert contrasts(own, [], scores, 2, 3) == []
    direct = [one for one in others if one.variant == "direct"]
    assert [one.source for one in contrasts(own, direct, scores, 2, 3)] == ["Fig. 7"]
    fewer = [one for one in others if one.variant != "direct"]
    assert [one.source for one in contrasts(own, fewer, scores, 2, 3)] == ["Fig. 6"]


def test_only_chains_that_every_kind_completed_with_finite_scores_count() -> None:
    own, others, scores = world()
    gone = {f"direct/{prompt('q0').id}/2", f"{prompt('q1').id}/1"}
    kept = [one for one in scores if one.id not in gone]
    kept = [one if one.id != f"{prompt('q2').id}/0" else one.model_copy(update={"reward": math.nan}) for one in kept]
    beyond_limit = {prompt("q3").id}
    principles, critiques = contrasts(own, [one for one in others if one.prompt.id not in beyond_limit], kept, 2, 3)
    whole = {(prompt(f"q{place}").id, 0) for place in range(12)}
    lost = {(prompt(name).id, 0) for name in ("q0", "q1", "q2", "q3")}
    assert all(found.keys() == whole - lost for found in critiques.tracks.values())
    assert all(found.keys() == (whole - lost) | {(prompt("q0").id, 0)} for found in principles.tracks.values())


def test_kinds_whose_chains_all_ended_early_are_compared_to_the_last_round() -> None:
    own, _, scores = world(10, rounds=3)
    short = [stopped(one) for place in range(10) for one in ablated(f"q{place}", ["x"], "direct")]
    scores += scored(short, [float(place) for place in range(10)])
    (critiques,) = contrasts(own, short, scores, 3, 3)
    assert critiques.tracks["direct"][prompt("q7").id, 0] == (7.0, 7.0, 7.0, 7.0)


def test_the_difference_is_paired_by_prompt_at_the_last_round() -> None:
    """Prompts differ by far more than kinds do: only pairs can tell."""
    (sentence,) = said(contrasts(*world(), 2, 3)[1], 200)
    assert sentence == (
        "Critiqued revisions of round 2 against direct ones, 12 harmful prompts: the preference-model score is 1.00 "
        "higher (95 % interval +1.00 to +1.00)."
    )


def test_a_difference_that_is_not_shown_is_not_claimed() -> None:
    (sentence,) = said(contrasts(*world(), 2, 3)[0], 200)
    assert sentence.startswith(
        "Revisions of round 2 under all 3 principles against those under 1 principle, 12 harmful"
    )
    same = [[3, 0.5 * 3, -3][place % 3] for place in range(12)]
    own, _, scores = world()
    direct = [one for place in range(12) for one in ablated(f"q{place}", ["x", "y"], "direct")]
    scores = [one for one in scores if not one.variant]
    scores += scored(direct, [place + 2.0 + shift for place, shift in enumerate(same) for _ in range(2)])
    (sentence,) = said(contrasts(own, direct, scores, 2, 3)[0], 200)
    assert "no difference is shown in the preference-model score (95 % interval -" in sentence


def test_chains_of_one_prompt_are_one_sample() -> None:
    own = [one for place in range(9) for s in (0, 1) for one in chain(f"q{place}", ["x", "y"], sample=s)]
    direct = [one for place in range(9) for s in (0, 1) for one in ablated(f"q{place}", ["z"], "direct", sample=s)]
    scores = scored(own, [float(one.round) for one in own]) + scored(direct, [0.0] * len(direct))
    (critiques,) = contrasts(own, direct, scores, 1, 3)
    assert len(critiques.tracks["direct"]) == 18
    assert said(critiques, 100) == [
        "Critiqued revisions of round 1 against direct ones, 9 harmful prompts: too few to say anything; 10 are needed."
    ]


def test_nothing_shared_is_said_in_the_figure_and_in_no_sentence() -> None:
    own, others, scores = world()
    (critiques,) = contrasts(
        own, [one for one in others if one.variant == "direct"], [one for one in scores if not one.variant], 2, 3
    )
    assert said(critiques, 100) == []
    assert draw(critiques, 100).caption == "No round was scored, so there is nothing to draw."


def test_the_figure_has_a_line_for_each_kind_and_says_how_many_chains() -> None:
    pytest.importorskip("matplotlib")
    drawn = draw(contrasts(*world(), 2, 3)[0], 100)
    assert "Mean over 12 chains" in drawn.caption and "Fig. 6" in drawn.caption
    for name in ("1 principle", "all 3 principles"):
        assert f">{name}<" in drawn.svg
    assert "var(--blue)" in drawn.svg and "var(--vermilion)" in drawn.svg
