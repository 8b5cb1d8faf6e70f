"""A partition as a function in C: it computes, gives registers their next values, and hands over what others want."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .marks import Marks, Targets, setting
from .netlist import Wire

__all__ = ["Function", "Group"]


class Group:
    """Registers of a partition that are given their next values together.

    Attributes:
        condition: C that tells whether they may change; nothing if they always may.
        lines: statements.
        registers: all of them.
        blocks: where they are: first byte, bytes, who looks at them.
        mark: word and bit that tell that they were given next values.
    """

    def __init__(self, condition: str, lines: list[str]) -> None:
        self.condition = condition
        self.lines = lines
        self.registers: list[Wire] = []
        self.blocks: list[tuple[int, int, Targets]] = []
        self.mark = (0, 0)

    def text(self) -> str:
        """C that gives them their next values, and marks that."""
        word, bit = self.mark
        marked = f"E[{word}] |= {bit:#x}ull;"
        return f"if ({self.condition}) {{ {' '.join(self.lines)} {marked} }}" if self.condition else marked

    def taking(self) -> str:
        """C by which they take over their next values."""
        return " ".join(
            setting(f"dm_take(R + {start}, N + {start}, {size})", targets) for start, size, targets in self.blocks
        )


class Function:
    """What a partition does.

    Attributes:
        lines: statements that are always done.
        late: some of them, by their place, which can be written only when it is known who looks at what.
        words: that are handed over: number and value.
        groups: the registers; those of the first are given their values in ``lines``.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.late: dict[int, Callable[[], str]] = {}
        self.words: list[tuple[int, str]] = []
        self.groups = [Group("", self.lines)]

    def text(self, number: int, marks: Marks) -> str:
        """C of the function, which goes on with the next partition."""
        body = [self.late[place]() if place in self.late else line for place, line in enumerate(self.lines)]
        body += [group.text() for group in self.groups if group.registers]
        body += self._handing(marks)
        word, bit = marks.of_partition(number)
        body.append(f"dm_onward(S, {word}, {2**64 - 2 * bit:#x}ull);")
        lines = "\n".join(f"    {line}" for line in body)
        return f"static void dm_c{number}(uint8_t *S)\n{{\n{lines}\n}}"

    def _handing(self, marks: Marks) -> Iterator[str]:
        """Words for others, and their marks."""
        alike: dict[Targets, list[tuple[int, str]]] = {}
        for word, value in self.words:
            alike.setdefault(marks.targets(f"W[{word}]"), []).append((word, value))
        for targets, words in alike.items():
            if not targets:
                yield from (f"W[{word}] = {value};" for word, value in words)
                continue
            stores = " ".join(f"c |= W[{word}] ^ {value}; W[{word}] = {value};" for word, value in words)
            yield f"{{ uint64_t c = 0; {stores} {setting('c', targets)} }}"

    def taking(self) -> Iterator[str]:
        """C by which registers take over their next values."""
        by_word: dict[int, list[Group]] = {}
        for group in self.groups:
            if group.registers:
                by_word.setdefault(group.mark[0], []).append(group)
        for word, groups in by_word.items():
            every = sum(group.mark[1] for group in groups)
            yield f"if (E[{word}] & {every:#x}ull) {{"
            for group in groups:
                one = group.taking()
                yield one if len(groups) == 1 else f"if (E[{word}] & {group.mark[1]:#x}ull) {{ {one} }}"
            yield "}"
