"""Who takes part in a league, and what a vote says."""

from django.db.models import TextChoices

from webapp.env import env_float, env_int


class EntrantKind(TextChoices):
    CHECKPOINT = "checkpoint", "Checkpoint"
    SNAPSHOT = "snapshot", "Frozen weights"
    START = "start", "Start"
    RANDOM = "random", "Random player"
    PERFECT = "perfect", "Perfect player"


class Choice(TextChoices):
    LEFT = "left", "Left is better"
    RIGHT = "right", "Right is better"
    TIE = "tie", "Both are as good"
    BAD = "bad", "Both are bad"


GAMES_ASKED = 64
"""Games of a press of the button, split over the pairs that have played least."""
GAMES_AT_ONCE = 16
"""Games of one meeting."""
MAX_ENTRANTS = 24
IDLE_S = env_float("KUMITE_ARENA_IDLE_S", 60)
"""Between two meetings that idle workers play by themselves, for each league that lets them."""
IDLE_GAMES_PER_PAIR = env_int("KUMITE_ARENA_IDLE_GAMES", 128)
"""Idle workers leave a pair alone that has played so many games."""
