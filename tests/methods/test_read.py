"""Methods as text."""

import pytest

import calmix
from calmix.errors import SettingError, UnknownNameError
from calmix.methods.read import method_name, read_method


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("mixup", calmix.mixup()),
        (" sk_mixup ( tau_max = 0.3, tau_std=.5 ) ", calmix.sk_mixup(tau_max=0.3, tau_std=0.5)),
        ("mixup(per_row=True, alpha=2)", calmix.mixup(2, per_row=True)),
        ("sk_mixup(space=Embedding(site='body'))", calmix.sk_mixup(space=calmix.parts.Embedding("body"))),
        ("mixup_e(slope=Logit(threshold=-1.5))", calmix.mixup_e(slope=calmix.parts.Logit(threshold=-1.5))),
        ("mixup_e(slope=Logit)", calmix.mixup_e(slope=calmix.parts.Logit())),
        ("mixup_e(coefficient=None, alpha=None)", calmix.mixup_e()),
        ("rankmixup(ranking=MNDCG())", calmix.rankmixup(ranking=calmix.parts.MNDCG())),
        ("rankmixup(ranking=MRL(margin=1), mixes=2)", calmix.rankmixup(ranking=calmix.parts.MRL(1), mixes=2)),
        ("mixup_e(coefficient=Beta(alpha=0.2))", calmix.mixup_e(coefficient=calmix.parts.Beta(0.2))),
        ("manifold_mixup(sites=(None, 'body'))", calmix.manifold_mixup(sites=(None, "body"))),
        ("cutmix(coefficient=SimilarityKernel)", calmix.cutmix(coefficient=calmix.parts.SimilarityKernel())),
        ("scheduled(method=mixup, until=3)", calmix.scheduled(calmix.mixup(), 3)),
        ("auto", calmix.auto()),
        ("auto(method=sk_mixup(tau_max=0.3), rate=1, prior_sd=0.25)", calmix.auto(calmix.sk_mixup(0.3), 1, 0.25)),
        ("scheduled(method=auto, until=3)", calmix.scheduled(calmix.auto(), 3)),
        ("sometimes(method=folded(method=mixup(alpha=2)))", calmix.sometimes(calmix.folded(calmix.mixup(2)))),
    ],
)
def test_text_becomes_the_method_it_describes(text: str, method: calmix.parts.Method):
    assert read_method(text) == method


def test_options_from_elsewhere_join_those_in_brackets_and_contradict_none():
    assert read_method("sk_mixup(tau_max=3)", {"tau_std": "0.5"}) == calmix.sk_mixup(tau_max=3, tau_std=0.5)
    with pytest.raises(SettingError, match=r"^sk_mixup\(tau_max=3\) says tau_max itself; name the method with the tau"):
        read_method("sk_mixup(tau_max=3)", {"tau_max": "0.5"})
    assert method_name("sk_mixup(tau_max=3)") == "sk_mixup"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("skmixup", UnknownNameError, "unknown method 'skmixup'; did you mean 'sk_mixup'"),
        ("mixup_e(variant=logit)", SettingError, r"mixup_e has no option 'variant' any more; write slope=Logit\(\)\.$"),
        ("sk_mixup_e(variant='jacobian')", SettingError, r"write slope=Jacobian\(\)"),
        ("mixup_e(threshold=0.5)", SettingError, r"write slope=Logit\(threshold=1.0\)"),
        ("mixup_e(variant=mndcg)", SettingError, r"Jacobian\(\) or slope=.* or slope=LogitDetached\(\)\.$"),
        ("rankmixup(variant=mndcg)", SettingError, r"write ranking=MNDCG\(\)\.$"),
        ("rankmixup(margin=1)", SettingError, r"write ranking=MRL\(margin=2.0\)"),
        ("mixup(variant=logit)", UnknownNameError, "unknown option of mixup 'variant'"),
        ("mixup_e(slope=MRL)", SettingError, r"slope must be one of Jacobian\(\), JacobianAbs\(\), .*; got MRL"),
        ("mixup_e(slope=Lgit())", UnknownNameError, "unknown part 'Lgit'; did you mean 'Logit'"),
        ("mixup(alfa=1)", UnknownNameError, "unknown option of mixup 'alfa'; did you mean 'alpha'"),
        ("mixup(alpha='big')", SettingError, "alpha must be a float; got 'big'"),
        ("mixup(alpha=True)", SettingError, "alpha must be a float; got True"),
        ("mixup(per_row=1)", SettingError, "per_row must be a bool; got 1"),
        ("mixup(alpha=-1)", SettingError, "alpha must be a positive number; got -1"),
        ("mixup(1.0)", SettingError, "options by name"),
        ("mixup(", SettingError, "cannot read"),
        ("", SettingError, "cannot read"),
        ("__import__('os').system('true')", SettingError, "cannot read"),
        ("mixup(alpha=__import__('os'))", SettingError, "options by name"),
        ("mixup(**{})", SettingError, "cannot read"),
        ("sk_mixup(space=Inputz())", UnknownNameError, "unknown part 'Inputz'; did you mean 'Inputs'"),
        ("sk_mixup(space=Beta())", SettingError, r"space must be one of .*Targets\(\); got Beta"),
        ("sk_mixup(space=None)", SettingError, "space must be one of .*; got None"),
        ("mixup_e(coefficient=Inputs())", SettingError, r"coefficient must be one of .*Beta\(\)"),
        ("mixup(alpha={[1]: 2})", SettingError, "cannot read a value"),
        ("mixup(alpha=1, alpha=2)", SettingError, "cannot read|given twice"),
        ("manifold_mixup(sites=body)", SettingError, "sites must be a tuple; got 'body'"),
        ("sometimes(method=sometimes)", SettingError, r"sometimes needs method"),
        ("-" * 3000 + "1", SettingError, "cannot read"),
        ("scheduled(method=mixup)", SettingError, r"scheduled needs until; write scheduled\(until=\.\.\.\)"),
        ("scheduled(method=3, until=3)", SettingError, "method must be one of the methods; got 3"),
        ("sk_mixup(space=input)", SettingError, r"space must be one of .*Inputs\(\)"),
    ],
)
def test_text_that_is_not_a_method_is_one_sentence(text: str, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        read_method(text)
