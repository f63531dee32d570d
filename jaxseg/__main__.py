"""`python -m jaxseg`: the command `jaxseg`, where its script is not on the path."""

from jaxseg.cli import main

if __name__ == "__main__":
    main()
