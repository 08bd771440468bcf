"""Which rows a member is trained on in each update."""

import dataclasses
import math

import numpy as np

from keras_reg.selection.members import Member

# Rows that a block of updates may name, over all members.
_ROWS_AT_ONCE = 2**20


@dataclasses.dataclass(frozen=True)
class Batching:
    """The updates of all members: as many for each, every batch full.

    The rows are shuffled anew for each pass, and batches are cut from the passes one after the
    other. A batch as large as the longest training set is all rows of a member, in order.

    Args:
        batch_size: int.
        longest: int. Rows of the longest training set.
    """

    batch_size: int
    longest: int

    @property
    def is_full(self) -> bool:
        """Whether each update takes all rows."""
        return self.batch_size >= self.longest

    def steps(self, epochs: int) -> int:
        """The number of updates in so many passes over the longest training set.

        Example:
            >>> Batching(32, 100).steps(2), Batching(100, 100).steps(2)
            (7, 2)
        """
        return epochs if self.is_full else math.ceil(epochs * self.longest / self.batch_size)

    def block(self, members: int) -> int:
        """The number of updates to name the rows of at once."""
        rows = min(self.batch_size, self.longest) * members
        return max(1, min(128, _ROWS_AT_ONCE // rows))

    def rows(self, member: Member, steps: int, visit: int) -> np.ndarray:
        """The rows of each update, (steps, rows).

        Args:
            member: the member, trained on rows of arrays.
            steps: int. The number of updates.
            visit: int. How often the member was trained before: each time has its own order.

        Example:
            >>> member = Member(None, 0, np.array([4, 5, 6]))
            >>> Batching(3, 3).rows(member, 2, visit=0).tolist()
            [[4, 5, 6], [4, 5, 6]]
        """
        if member.train is None:
            raise ValueError("Expected a member that is trained on rows. Received: a dataset's")
        if self.is_full:
            return np.tile(member.train, (steps, 1))
        count = steps * self.batch_size
        random = np.random.default_rng(draw_seed(member, visit))
        passes = math.ceil(count / len(member.train))
        order = np.concatenate([random.permutation(member.train) for _ in range(passes)])
        return order[:count].reshape(steps, self.batch_size)


def draw_seed(member: Member, visit: int) -> int:
    """A seed of its own for each member and strength.

    Example:
        >>> draw_seed(Member(None, 0), 0) == draw_seed(Member(0, 0), 0)
        False
    """
    fold = 0 if member.fold is None else member.fold + 1
    return int(np.random.SeedSequence([member.seed, fold, visit]).generate_state(1)[0])


def rows_of_members(
    batching: Batching, members: tuple[Member, ...], steps: int, visit: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of every update, (steps, members, rows), and factors of their weights, or None.

    Members that are trained on all of their rows at once and have different numbers of them are
    filled up with a row whose weight is 0.

    Example:
        >>> members = (Member(0, 0, np.array([4, 5, 6])), Member(1, 0, np.array([7, 8])))
        >>> rows, factors = rows_of_members(Batching(3, 3), members, 1, visit=0)
        >>> rows.tolist(), factors.tolist()
        ([[[4, 5, 6], [7, 8, 8]]], [[1.0, 1.0, 1.0], [1.5, 1.5, 0.0]])
    """
    each = [batching.rows(member, steps, visit) for member in members]
    widths = [rows.shape[1] for rows in each]
    if len(set(widths)) == 1:
        return np.stack(each, axis=1), None
    widest = max(widths)
    padded = [np.pad(rows, ((0, 0), (0, widest - rows.shape[1])), mode="edge") for rows in each]
    factors = np.zeros((len(members), widest), "float32")
    for place, width in enumerate(widths):
        factors[place, :width] = widest / width
    return np.stack(padded, axis=1), factors
