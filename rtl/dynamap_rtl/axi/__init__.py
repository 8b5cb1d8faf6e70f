"""The overlay on AXI: bus masters for its memory ports, a register file for control, a component for Vivado."""
