"""Where the pieces of a load go: lane, depth and phase of the next one, and how long it may be."""

from __future__ import annotations

from collections.abc import Mapping

import pyrtl

from dynamap_rtl.hardware import add
from dynamap_rtl.load_pattern import LoaderParameters, LoadTarget

from .counting import held, unsigned
from .pair_queue import pair_queue
from .walker import advance_phase

__all__ = ["TARGET_FIELDS", "Target"]

#: What the second half of the loader needs of a load.
TARGET_FIELDS = ("zero_point", "signed", "target", "depth", "depth_phase", "depth_step", "depth_step_phase")


class Target:
    """The circuit, inside a leaf.

    The next load's fields wait in a queue until the last piece of this one is taken. What is added to a counter is
    chosen as late as can be: all candidates are there before it is known which it is.

    Args:
        parameters: of the loader.
        inputs: ``start`` and the fields.
        ends: the last piece of a load is taken.

    Attributes:
        room: one more load's fields can wait.
        waiting: some do.
        armed: there is a load being written.
    """

    def __init__(
        self, parameters: LoaderParameters, inputs: Mapping[str, pyrtl.WireVector], ends: pyrtl.WireVector
    ) -> None:
        self._parameters = parameters
        lane_width, depth_width = parameters.lane_width, parameters.depth_width
        take = pyrtl.WireVector(1, "take_fields")
        packed = pyrtl.concat_list([inputs[name] for name in TARGET_FIELDS])
        queue = pair_queue("fields", packed, push=inputs["start"], pop=take)
        self.room, self.waiting = queue.room, queue.valid
        self.armed = pyrtl.Register(1, "armed")
        take <<= queue.valid & (~self.armed | ends)
        self.armed.next <<= take | (self.armed & ~ends)
        self._take = take
        fields: dict[str, pyrtl.WireVector] = {}
        first = 0
        for name in TARGET_FIELDS:
            fields[name] = queue.head[first : first + len(inputs[name])]
            first += len(inputs[name])
        self._fields = fields
        self.zero_point = held(take, fields["zero_point"], "zero_point")
        self.signed = held(take, fields["signed"], "signed")
        self.along = held(take, fields["target"] == LoadTarget.ALONG, "along")
        self.streamed = held(take, fields["target"] == LoadTarget.STREAM, "streamed")
        self._across = held(take, fields["target"] == LoadTarget.ACROSS, "across")
        self._step = held(take, fields["depth_step"], "depth_step")
        self._step_phase = held(take, fields["depth_step_phase"], "depth_step_phase")
        self.lane = pyrtl.Register(lane_width, "lane_now")
        self.depth = pyrtl.Register(depth_width, "depth_now")
        self.phase = pyrtl.Register(lane_width, "phase_now")
        # Lanes from this one to the last, and whether a piece reaches beyond them.
        self._lanes_left = pyrtl.Register(parameters.lanes.bit_length(), "lanes_left")
        self._near_end = pyrtl.Register(1, "near_end")
        # Of element 0 of the window.
        self._home = pyrtl.Register(depth_width, "home")
        self._home_phase = pyrtl.Register(lane_width, "home_phase")

    def cut(self, left: pyrtl.WireVector) -> tuple[pyrtl.WireVector, pyrtl.WireVector]:
        """Elements of the next piece of a beat that has ``left`` more, and whether it is the beat's last."""
        parameters = self._parameters
        width = len(left)
        transfer = min(parameters.transfer, (1 << width) - 1)  # a beat has no more
        self._fits = left <= transfer
        self._short = pyrtl.select(self._fits, left, pyrtl.Const(transfer, bitwidth=width))
        self._left = left
        # Across, at the last lane.
        self._wraps = self._across & self._near_end & (self._lanes_left <= left)
        self._ends = self._fits & (~self._across | (left <= self._lanes_left))
        return pyrtl.select(self._wraps, unsigned(self._lanes_left, width), self._short), self._ends

    def advance(self, taken: pyrtl.WireVector, window_ends: pyrtl.WireVector) -> None:
        """Go on behind the piece of ``cut`` when it is taken; ``window_ends`` says that its beat is a window's last."""
        parameters = self._parameters
        lanes, lane_width, depth_width = parameters.lanes, parameters.lane_width, parameters.depth_width
        left_width = parameters.lanes.bit_length()
        none, one = pyrtl.Const(0, bitwidth=lane_width), pyrtl.Const(1, bitwidth=lane_width)
        still = pyrtl.Const(0, bitwidth=depth_width)
        all_lanes = pyrtl.Const(lanes, bitwidth=left_width)
        across, wraps = self._across, self._wraps
        last_lane = self.lane == lanes - 1

        # The next window. Across, it begins at lane 0, one deeper; along, it is the next lane.
        one_deeper = pyrtl.Const(1, bitwidth=depth_width)
        home = add(
            self._home, pyrtl.select(across, one_deeper, pyrtl.select(last_lane, self._step, still)), depth_width
        )
        turn = pyrtl.select(last_lane, self._step_phase, none)
        home_phase = advance_phase(self._home_phase, pyrtl.select(across, one if lanes > 1 else none, turn), lanes)
        window_lane = pyrtl.select(across | last_lane, none, (self.lane + 1)[:lane_width])

        # The next piece of this window. A piece has at most all lanes, so that the low bits of a length do.
        length = unsigned(self._short, left_width)
        across_lane = pyrtl.select(wraps, none, unsigned(self.lane + length, lane_width))
        across_left = pyrtl.select(wraps, all_lanes, unsigned(self._lanes_left - length, left_width))
        deeper = pyrtl.select(across, pyrtl.select(wraps, self._step, still), unsigned(length, depth_width))
        depth = unsigned(self.depth + deeper, depth_width)
        transfer_phase = advance_phase(self.phase, pyrtl.Const(parameters.transfer % lanes, bitwidth=lane_width), lanes)
        left_phase = advance_phase(self.phase, unsigned(self._left, left_width), lanes)
        along_phase = pyrtl.select(self._fits, left_phase, transfer_phase)
        wrapped_phase = advance_phase(self.phase, self._step_phase, lanes)
        phase = pyrtl.select(across, pyrtl.select(wraps, wrapped_phase, self.phase), along_phase)

        window_done = taken & self._ends & window_ends
        for register, first, window, piece in (
            (self.lane, none, window_lane, pyrtl.select(across, across_lane, self.lane)),
            (self._lanes_left, all_lanes, all_lanes, across_left),
            (self.depth, self._fields["depth"], home, depth),
            (self.phase, self._fields["depth_phase"], home_phase, phase),
            (self._home, self._fields["depth"], home, self._home),
            (self._home_phase, self._fields["depth_phase"], home_phase, self._home_phase),
        ):
            moved = pyrtl.select(window_done, window, pyrtl.select(taken, piece, register))
            following = pyrtl.select(self._take, first, moved)
            register.next <<= following
            if register is self._lanes_left:
                self._near_end.next <<= following <= parameters.transfer
