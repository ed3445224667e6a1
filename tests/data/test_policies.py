"""Policies: what they say, what they refuse, which is suggested."""

import subprocess
import sys
from pathlib import Path

import pytest

from silverprint.data.policies import POLICIES, Policy, find_policy, suggest_policy
from silverprint.errors import ConfigError


def test_nothing_but_augmentation_needs_torch() -> None:
    """The import contract cannot say so: what it leaves out, it leaves out for all."""
    code = (
        "import importlib, pkgutil, sys, silverprint.data as data\n"
        "names = [module.name for module in pkgutil.iter_modules(data.__path__)]\n"
        "for name in set(names) - {'augmentation'}:\n"
        "    importlib.import_module(f'silverprint.data.{name}')\n"
        "print('policies' in names, 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "False"]


def test_an_unknown_policy_names_the_closest() -> None:
    assert find_policy("photos") is POLICIES["photos"]
    with pytest.raises(ConfigError, match=r"policy must be one of none, .*Did you mean 'photos'\?"):
        find_policy("fotos")


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("rotation", 181, r"rotation must lie within 0\.\.180; got 181"),
        ("flip", float("nan"), r"flip must lie within 0\.\.1; got nan"),
        ("aspect", 0.5, r"aspect must lie within 1\.\.4; got 0\.5"),
        ("area", (0.0, 1.0), r"area's least must lie within 0\.01\.\.1; got 0"),
        ("area", (0.8, 0.5), r"area's most must lie within 0\.8\.\.1; got 0\.5"),
        ("zoom", (1.0, 11.0), r"zoom's most must lie within 1\.\.10; got 11"),
        ("mixup", -1.0, r"mixup must lie within 0\.\.100; got -1"),
        ("edges", "white", "edges must be one of black, mirror; got 'white'"),
    ],
)
def test_strengths_outside_their_range_are_refused(field, value, text) -> None:
    with pytest.raises(ConfigError, match=text):
        Policy(**{field: value})


def test_only_the_policy_that_does_nothing_says_so() -> None:
    quiet = [name for name, policy in POLICIES.items() if not (policy.varies or policy.mixes)]
    assert quiet == ["none"]
    assert POLICIES["none"].in_words() == ["nothing is changed"]
    assert Policy(mixup=0.2, mix=0.0).in_words() == ["nothing is changed"]


def test_words_name_every_strength() -> None:
    policy = Policy(
        rotation=11, shear=12, area=(0.13, 0.14), aspect=1.5, zoom=(0.16, 1.7), translation=0.18,
        flip=0.19, brightness=0.21, contrast=0.22, saturation=0.23, hue=24, erase=0.25,
        erase_area=(0.26, 0.27), mixup=0.28, cutmix=0.29, mix=0.31, edges="mirror",
    )  # fmt: skip
    words = "; ".join(policy.in_words())
    for figure in ("11°", "12°", "13 to 14 %", "1.50 times", "0.16 to 1.7", "18 %", "0.19",
                   "21 %", "22 %", "23 %", "24°", "0.25", "26 to 27 %", "0.28", "0.29", "0.31",
                   "mirrored"):  # fmt: skip
        assert figure in words


def test_policies_for_what_has_a_left_and_a_right_never_flip() -> None:
    assert not any(POLICIES[name].flip for name in ("none", "light", "digits", "signs"))


@pytest.mark.parametrize(
    ("classes", "side", "name"),
    [
        (("0", "1", "10"), 28, "digits"),
        (("0", "1", "10"), 224, "signs"),
        (("a", "b"), 28, "signs"),
        (("あ", "い"), 224, "signs"),
        (("turn_left", "turn_right"), 224, "signs"),
        (("Left shoe", "hat"), 28, "signs"),
        (("cat", "dog"), 32, "small"),
        (("cat", "dog"), 224, "photos"),
        (("leftovers", "rightful"), 224, "photos"),
    ],
)
def test_the_classes_names_decide(classes, side, name) -> None:
    found, reason = suggest_policy(classes, side)
    assert found == name
    assert find_policy(found).flip == 0 or "flip" in reason or "pixels" in reason


def test_the_documentation_has_every_policy_as_it_is() -> None:
    page = Path(__file__).parents[2] / "docs" / "augmentation.md"
    lines = page.read_text("utf-8").splitlines()
    for name, policy in POLICIES.items():
        assert f"| {name} | {policy.purpose} | {'; '.join(policy.in_words())} |" in lines
