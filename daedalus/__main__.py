"""`python -m daedalus` is `daeda`."""

from daedalus.cli.main import main

if __name__ == "__main__":
    main()
