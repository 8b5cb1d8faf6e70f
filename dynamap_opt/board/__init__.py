"""FPGA boards: what a device offers to the overlay, as presets or from a user's own TOML file."""

from __future__ import annotations

from dynamap_opt.board.board import Board
from dynamap_opt.board.reading import board_names, load_board, parse_board
from dynamap_opt.errors import BoardError

__all__ = ["Board", "BoardError", "board_names", "load_board", "parse_board"]
