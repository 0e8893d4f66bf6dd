"""The starter's language: single-token marks around plain characters.

    <|solve|>345-12<|go|>            <think>5-2=3,4-1=3,3=3</think><answer>333</answer><|end|>
    <|judge|>333<|reply|>345-12<|go|>  <think>5-2=3:3.4-1=3:3.3=3:3.</think><score>10</score><|end|>
    <|review|>345-12<|go|>           <score>10</score><|end|>
    <|propose|><|go|>                <question>345-12</question><|end|>

The tags are those of the instruction-tuned models' prompts, so one set of parsers reads both.
"""

import re
from functools import cache

PROPOSE, REFERENCE, SOLVE, JUDGE = "<|propose|>", "<|reference|>", "<|solve|>", "<|judge|>"
REVIEW, REPLY, GO, END, PAD, UNKNOWN = "<|review|>", "<|reply|>", "<|go|>", "<|end|>", "<|pad|>", "<|unknown|>"
MARKS = (PAD, UNKNOWN, PROPOSE, REFERENCE, SOLVE, JUDGE, REVIEW, REPLY, GO, END)
TAGS = tuple(f"<{slash}{name}>" for name in ("think", "question", "answer", "score") for slash in ("", "/"))
CHARACTERS = (*map(chr, range(32, 127)), "\n")
VOCABULARY = MARKS + TAGS + CHARACTERS

MAX_PART = 200
"""Longest piece of foreign text inside a prompt, in characters; nothing the starter understands is longer."""


def propose_prompt(reference: str | None = None, reference_answer: str | None = None) -> str:
    """Ask for a new question, perhaps in the manner of another one."""
    if reference is None:
        return PROPOSE + GO
    answer = "" if reference_answer is None else plain(reference_answer) + REPLY
    return PROPOSE + REFERENCE + answer + plain(reference) + GO


def solve_prompt(question: str) -> str:
    """Ask for an answer."""
    return SOLVE + plain(question) + GO


def judge_prompt(question: str, answer: str) -> str:
    """Ask for a verdict on an answer. The question comes last, where solving has it too, so one skill serves both."""
    return JUDGE + plain(answer) + REPLY + plain(question) + GO


def review_prompt(question: str) -> str:
    """Ask for a verdict on a question."""
    return REVIEW + plain(question) + GO


def plain(text: str, marks: tuple[str, ...] = ()) -> str:
    """Foreign text without marks and tags, so that it cannot pass for a part of the prompt; ``marks`` are a curriculum's own."""
    text, foreign = text[: 4 * MAX_PART], _foreign(marks)
    while foreign.search(text):  # taking one out may join the halves of another
        text = foreign.sub("", text)
    return text[:MAX_PART]


@cache
def _foreign(marks: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, MARKS + TAGS + marks)))
