"""Whether a program's tokens let it finish: a run of the program without time.

Every unit takes its instructions in order and a token is never taken by two units, so whether an instruction can
start does not depend on timing (a Kahn network): one untimed run decides.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from dynamap_rtl.isa import Unit

from .assembler import Instruction, ProgramError

__all__ = ["check_tokens"]


def check_tokens(program: Sequence[Instruction], *, queue_depth: int = 8, most_tokens: int = 63) -> None:
    """Refuse a program that would stop before its end, or leave tokens behind for the next one.

    Args:
        program: without END.
        queue_depth: instructions a unit's queue holds.
        most_tokens: what a semaphore can count to.

    Raises:
        ProgramError: naming the instruction that never starts and the semaphore it waits for, a semaphore two units
            take from, one that overflows, or one that has tokens at the end.
    """
    takers: dict[int, Unit] = {}
    for number, instruction in enumerate(program):
        for semaphore in instruction.wait:
            if takers.setdefault(semaphore, instruction.unit) is not instruction.unit:
                raise ProgramError(
                    f"instruction {number} ({instruction.unit.name.lower()}) waits for semaphore {semaphore}, which "
                    f"{takers[semaphore].name.lower()} takes from; a semaphore serves one unit"
                )
        if instruction.release and instruction.unit is not Unit.COMPUTE:
            raise ProgramError(f"instruction {number} ({instruction.unit.name.lower()}): only compute can release")
    tokens: Counter[int] = Counter()
    queues: dict[Unit, deque[int]] = {unit: deque() for unit in Unit}
    fetched = 0
    while True:
        moved = False
        while fetched < len(program) and len(queues[program[fetched].unit]) < queue_depth:
            queues[program[fetched].unit].append(fetched)
            fetched += 1
            moved = True
        for queue in queues.values():
            if not queue or any(not tokens[semaphore] for semaphore in program[queue[0]].wait):
                continue
            number = queue.popleft()
            tokens.subtract(program[number].wait)
            for given in (program[number].release, program[number].signal):
                tokens.update(given)
            if any(tokens[semaphore] > most_tokens for semaphore in tokens):
                raise ProgramError(f"instruction {number} gives a token to a semaphore that has {most_tokens} already")
            moved = True
        if not moved:
            break
    waiting = [queue[0] for queue in queues.values() if queue]
    if waiting:
        number = min(waiting)
        missing = sorted(semaphore for semaphore in program[number].wait if not tokens[semaphore])
        raise ProgramError(
            f"instruction {number} ({program[number].unit.name.lower()}) waits for semaphore "
            f"{', '.join(map(str, missing))} and nothing that can run signals it: the program would stop there"
        )
    if left := sorted(semaphore for semaphore in tokens if tokens[semaphore]):
        raise ProgramError(f"semaphores {left} have tokens left at the end; the next program would start too early")
