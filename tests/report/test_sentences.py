"""Phrases that read the same in every study."""

from calmix.report.sentences import Advice, called, in_a_hundred, joined, listed, named


def test_lists_are_joined_as_one_says_them():
    assert joined(["a", "b"]) == "a and b"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abc"), most=3) == "a, b, c"
    assert listed(list("abcd"), most=3) == "a, b, c and 1 more"


def test_a_method_has_a_name_in_a_sentence_and_keeps_its_label():
    assert (called("erm"), called("mixup"), called("mixup(alpha=0.3)")) == (
        "plain training",
        "plain Mixup",
        "mixup(alpha=0.3)",
    )
    assert (named("erm"), named("cutmix")) == ("plain training (erm)", "cutmix")


def test_nearly_all_is_never_said_as_all():
    assert [in_a_hundred(share) for share in (0.0, 0.671, 0.994, 0.998, 0.99999, 1.0)] == [
        "0",
        "67",
        "99",
        "99.8",
        "99.9",
        "100",
    ]


def test_advice_reads_from_what_to_do_to_how_far_to_trust_it():
    assert str(Advice("Take it.", ["It is good.", "It is cheap."], ["Try again."])) == (
        "Take it. It is good. It is cheap. Try again."
    )
