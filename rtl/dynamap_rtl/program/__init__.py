"""Programs for the overlay: instructions as data, schedules of layers, a check that knows only the instruction set."""
