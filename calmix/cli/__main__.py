"""python -m calmix.cli"""

from calmix.cli import main

if __name__ == "__main__":
    main()
