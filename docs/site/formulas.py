"""Formulas of the lessons as MathML, which browsers draw themselves: no script, no font.

It reads as much of LaTeX as the lessons use, and says what it cannot read.
"""

import re
from collections.abc import Iterator
from html import escape

CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.S)
BLOCK = re.compile(r"\$\$(.+?)\$\$", re.S)
INLINE = re.compile(r"(?<![\\$\w])\$(?=[^\s$])([^$\n]*[^\s$\\])\$(?![\w$])")
TOKEN = re.compile(r"\\(?:text|mathrm)\{[^}]*\}|\\[a-zA-Z]+|\\.|\d+(?:[.,]\d+)*|\S")

GREEK = dict(re.findall(r"(\w+) (\S)", """
alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ kappa κ lambda λ mu μ
nu ν xi ξ pi π rho ρ sigma σ tau τ phi ϕ varphi φ chi χ psi ψ omega ω ell ℓ
Gamma Γ Delta Δ Theta Θ Lambda Λ Sigma Σ Phi Φ Psi Ψ Omega Ω
"""))  # fmt: skip
SIGNS = {
    "ge": "≥", "geq": "≥", "le": "≤", "leq": "≤", "ne": "≠", "neq": "≠", "approx": "≈", "sim": "∼",
    "mid": "∣", "cdot": "·", "times": "×", "pm": "±", "to": "→", "rightarrow": "→", "in": "∈",
    "sum": "∑", "prod": "∏", "int": "∫", "infty": "∞", "partial": "∂", "nabla": "∇", "odot": "⊙",
    "ldots": "…", "dots": "…", "cdots": "⋯", "lVert": "‖", "rVert": "‖", "|": "‖", "propto": "∝",
    "{": "{", "}": "}", "%": "%", "top": "⊤", "equiv": "≡", "ll": "≪", "gg": "≫", "quad": "\u2003",
    "leftarrow": "←",
}  # fmt: skip
NAMES = {"log", "ln", "exp", "max", "min", "sin", "cos", "tan", "tanh", "lim", "arg", "det"}
SPACES = {",": "0.17em", ":": "0.22em", ";": "0.28em", " ": "0.25em", "!": "-0.17em"}
SPACE = '<mspace width="{}"></mspace>'
ACCENTS = {"hat": "^", "bar": "¯", "tilde": "~", "vec": "→", "overline": "¯"}
ALPHABETS = {"mathbb{R}": "ℝ", "mathbb{E}": "𝔼", "mathcal{N}": "𝒩", "mathcal{L}": "ℒ"}


class UnreadableError(ValueError):
    """LaTeX that is not known here."""


def with_formulas(markdown: str) -> str:
    """Return Markdown with MathML in place of $...$ and $$...$$, outside code.

    Raises:
        UnreadableError: a formula holds what is not known here.
    """
    parts = CODE.split(markdown)
    for at in range(0, len(parts), 2):
        text = BLOCK.sub(lambda found: f"\n\n{mathml(found[1], block=True)}\n\n", parts[at])
        parts[at] = INLINE.sub(lambda found: mathml(found[1]), text)
    return "".join(parts)


def mathml(latex: str, block: bool = False) -> str:
    """Return a formula as MathML on one line."""
    tokens = TOKEN.findall(latex)
    inside = "".join(_row(tokens, None, latex))
    shown = ' display="block"' if block else ""
    made = f'<math{shown} xmlns="http://www.w3.org/1998/Math/MathML"><mrow>{inside}</mrow></math>'
    return f'<div class="formula">{made}</div>' if block else made


def _row(tokens: list[str], end: str | None, latex: str) -> Iterator[str]:
    while tokens and tokens[0] != end:
        yield _scripted(tokens, latex)
    if end and not tokens:
        raise UnreadableError(f"{end} is missing in {latex}")
    if end:
        tokens.pop(0)


def _scripted(tokens: list[str], latex: str) -> str:
    """Return an atom with what stands below and above it."""
    below_it = tokens[0] in ("\\sum", "\\prod", "\\lim", "\\max", "\\min", "\\underbrace")
    atom, low, high = _atom(tokens, latex), "", ""
    while tokens and tokens[0] in ("_", "^"):
        if tokens.pop(0) == "_":
            low = _argument(tokens, latex)
        else:
            high = _argument(tokens, latex)
    place = [name for name, part in (("under" if below_it else "sub", low),
                                     ("over" if below_it else "sup", high)) if part]  # fmt: skip
    tag = "m" + "".join(place)
    return f"<{tag}>{atom}{low}{high}</{tag}>" if place else atom


def _atom(tokens: list[str], latex: str) -> str:
    if not tokens:
        raise UnreadableError(f"something is missing at the end of {latex}")
    part = tokens.pop(0)
    if part == "{":
        return f"<mrow>{''.join(_row(tokens, '}', latex))}</mrow>"
    if part.startswith(("\\text{", "\\mathrm{")):
        text = part[part.index("{") + 1 : -1].replace(" ", "\u00a0")
        return f"<mtext>{_safe(text)}</mtext>"
    if not part.startswith("\\"):
        kind = "mn" if part[0].isdigit() else "mi" if part.isalpha() else "mo"
        if part in "()[]":  # as high as a letter
            return f'<mo stretchy="false">{part}</mo>'
        return f"<{kind}>{_safe('−' if part == '-' else part)}</{kind}>"
    return _command(part[1:], tokens, latex)


def _argument(tokens: list[str], latex: str) -> str:
    """Return what a command is about: a group, or one letter or digit."""
    if tokens and tokens[0][0].isdigit():
        tokens[:1] = list(tokens[0])
    return _atom(tokens, latex)


def _command(name: str, tokens: list[str], latex: str) -> str:
    if name in GREEK:
        return f"<mi>{GREEK[name]}</mi>"
    if name in NAMES:
        apart = "" if tokens[:1] in (["("], ["_"], ["^"]) else SPACE.format(SPACES[","])
        return f"<mi>{name}</mi>{apart}"
    if name in SPACES:
        return SPACE.format(SPACES[name])
    if name in SIGNS:
        return f"<mo>{SIGNS[name]}</mo>"
    if name in ("left", "right", "big", "Big"):
        return _atom(tokens, latex)
    if name in ("frac", "tfrac", "dfrac"):
        return f"<mfrac>{_argument(tokens, latex)}{_argument(tokens, latex)}</mfrac>"
    if name == "sqrt":
        return f"<msqrt>{_argument(tokens, latex)}</msqrt>"
    if name == "underbrace":
        return f'<mrow class="brace">{_atom(tokens, latex)}</mrow>'
    if name in ACCENTS:
        return f'<mover accent="true">{_atom(tokens, latex)}<mo>{_safe(ACCENTS[name])}</mo></mover>'
    letter = ALPHABETS.get(name + "".join(tokens[:3]))
    if letter:
        del tokens[:3]
        return f"<mi>{letter}</mi>"
    raise UnreadableError(f"\\{name} is not known; add it to docs/site/formulas.py")


def _safe(text: str) -> str:
    """Keep text from being read as HTML or Markdown."""
    return re.sub(r"[*_`\\^~]", lambda found: f"&#{ord(found[0])};", escape(text))
