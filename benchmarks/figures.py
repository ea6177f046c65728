"""The result of one measurement."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured ratio or amount, with a goal and a stretch goal: lower bounds, or upper bounds with `at_most`."""

    name: str
    value: float
    goal: float
    stretch_goal: float
    detail: str
    at_most: bool = False

    @property
    def ok(self) -> bool:
        """Whether the value reaches the goal."""
        return self.reaches(self.goal)

    def reaches(self, bound: float) -> bool:
        """Return whether the value is at least as good as the bound."""
        return self.value <= bound if self.at_most else self.value >= bound

    def summary(self) -> str:
        """Return the figure as one line of output."""
        return f"ratio {self.name} {self.value:.2f} goal {self.goal:g} {'ok' if self.ok else 'short'}"
