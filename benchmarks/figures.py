"""What a measurement comes to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A ratio (or an amount) with its goal: at least that much, or at most."""

    name: str
    value: float
    goal: float
    beyond: float
    detail: str
    at_most: bool = False

    @property
    def ok(self) -> bool:
        """Whether the goal is reached."""
        return self.reaches(self.goal)

    def reaches(self, mark: float) -> bool:
        """Whether the figure is as good as that."""
        return self.value <= mark if self.at_most else self.value >= mark

    def line(self) -> str:
        """How it is printed."""
        return f"ratio {self.name} {self.value:.2f} goal {self.goal:g} {'ok' if self.ok else 'short'}"
