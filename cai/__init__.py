"""Constitutional AI from a YAML constitution: critique, revise, compare, train, measure."""

__version__ = "0.1.0"
