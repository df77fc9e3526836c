"""`python -m mmkg` is the command `mmkg`."""

from mmkg.cli.main import main

if __name__ == "__main__":
    main(prog_name="mmkg")
