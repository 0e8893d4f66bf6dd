"""What a comparison of settings comes to, in words, with the numbers behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from webapp.compare.arms import Arm
from webapp.compare.headlines import falls, value_words
from webapp.compare.significance import Finding, compare, together
from webapp.compare.values import value_of
from webapp.telemetry.scores import is_share
from webapp.telemetry.summary import Digest


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``Verdict(arm=..., tone="good", badge="likely better", words="+4.7 points, 95% interval +1.5 to +7.8", ...)``."""

    arm: Arm
    base: Arm
    tone: str
    badge: str
    words: str
    advice: str
    finding: Finding | None
    mean_theirs: str = "–"
    mean_ours: str = "–"

    @property
    def numbers(self) -> list[tuple[str, str]]:
        """What stands behind the words."""
        found = self.finding
        if found is None or found.t is None or found.dof is None or found.p is None or found.p_holm is None:
            return []
        rows = [
            ("Welch's t", f"{found.t:.2f} with {found.dof:.1f} degrees of freedom"),
            ("p", _p(found.p)),
            ("p, corrected (Holm)", _p(found.p_holm)),
        ]
        if found.p_permutation is not None:
            least = f"; so few seeds cannot give less than {_p(found.least_p_permutation)}"
            rows.append(
                ("p of all permutations", _p(found.p_permutation) + (least if found.least_p_permutation > 0.05 else ""))
            )
        if found.g is not None:
            rows.append(("Effect (Hedges' g)", f"{found.g:+.2f} standard deviations of the seeds"))
        return rows


def verdicts(
    arms: Sequence[Arm], base: Arm, digests: Mapping[UUID, Mapping[str, Digest]], metric: str, how: str
) -> list[Verdict]:
    """Every other arm against the baseline, by the last or the best value of each seed."""
    others = [arm for arm in arms if arm is not base]
    ours = _values(base, digests, metric, how)
    findings = together([compare(_values(arm, digests, metric, how), ours) for arm in others])
    return [_verdict(arm, base, found, metric) for arm, found in zip(others, findings, strict=True)]


def _values(arm: Arm, digests: Mapping[UUID, Mapping[str, Digest]], metric: str, how: str) -> list[float]:
    found = (value_of(digests.get(run.pk, {}).get(metric), metric, how) for run in arm.runs)
    return [value for value in found if value is not None]


def _verdict(arm: Arm, base: Arm, found: Finding | None, metric: str) -> Verdict:
    if found is None:
        missing = "Nothing to compare: one side has not reported this metric."
        return Verdict(arm=arm, base=base, tone="plain", badge="cannot tell", words=missing, advice="", finding=None)
    words = difference_words(found, metric)
    tone, badge, advice = _judged(found, metric)
    return Verdict(
        arm=arm,
        base=base,
        tone=tone,
        badge=badge,
        words=words,
        advice=advice,
        finding=found,
        mean_theirs=value_words(metric, found.mean_theirs),
        mean_ours=value_words(metric, found.mean_ours),
    )


def _judged(found: Finding, metric: str) -> tuple[str, str, str]:
    """Tone, badge and advice."""
    if found.is_clear:
        is_better = (found.difference < 0) == falls(metric)
        badge = "likely better" if is_better else "likely worse"
        return (
            ("good" if is_better else "bad"),
            badge,
            "The difference is larger than what seeds alone do, at the 5% level.",
        )
    if min(found.num_theirs, found.num_ours) < 2:
        return (
            "plain",
            "cannot tell",
            "One seed says nothing about noise: launch at least one more with another seed on each side.",
        )
    if found.p is None:
        return (
            "plain",
            "cannot tell",
            "The seeds of both sides agree to the last digit, so there is no noise to measure by.",
        )
    if found.difference == 0:
        return "plain", "cannot tell", "Both sides have the same mean."
    if found.more_seeds is None:
        return (
            "plain",
            "cannot tell",
            "A difference this small would take more than 100 seeds on each side to tell from noise.",
        )
    k = max(1, found.more_seeds)
    more = f"If the difference stays as it is, about {k} more seed{'s' * (k > 1)} on each side would tell."
    return "watch", f"need about {k} more seed{'s' * (k > 1)}", more


def difference_words(found: Finding, metric: str) -> str:
    """The difference with its 95 % interval."""
    unit = " points" if is_share(metric.rpartition("/")[2]) else ""
    words = f"{_signed(found.difference, unit)}{unit}"
    if found.low is None or found.high is None:
        return words
    return f"{words}, 95% interval {_signed(found.low, unit)} to {_signed(found.high, unit)}"


def _signed(value: float, unit: str) -> str:
    sign = "−" if value < 0 else "+"
    return f"{sign}{100 * abs(value):.1f}" if unit else f"{sign}{abs(value):.3g}"


def _p(value: float) -> str:
    return "below 0.0001" if value < 1e-4 else f"{value:.2g}"
