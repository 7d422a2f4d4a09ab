"""What went wrong, and what to do about it."""


class ShapebenchError(Exception):
    """Base of every error that a user can do something about; `remedy` says what."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)  # both in args, so that the error survives pickling
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n  What to do: {self.remedy}"
