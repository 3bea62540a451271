"""`python -m trishift` is the `trishift` command."""

from trishift.cli import main

if __name__ == "__main__":
    main()
