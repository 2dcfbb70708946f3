"""`python -m cai` is the command `cai`."""

from cai.cli import main

if __name__ == "__main__":  # worker processes import this module again
    main()
