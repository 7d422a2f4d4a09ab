"""Structured log lines of a run's progress: a sentence, and its values as fields."""

import logging

from shapebench.support.redact import one_line

LONGEST_TEXT = 1000


def milestone(stage: str, words: str, level: int = logging.INFO, /, **facts: object) -> None:
    """Log `stage: words` with the facts filled in; handlers find them in the record's `stage` and `facts`."""
    shown = {name: one_line(fact, LONGEST_TEXT) if isinstance(fact, str) else fact for name, fact in facts.items()}
    extra = {"stage": stage, "facts": shown}
    logging.getLogger(f"shapebench.{stage}").log(level, "%s: %s", stage, words.format(**shown), extra=extra)
