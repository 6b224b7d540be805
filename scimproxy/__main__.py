"""`python -m scimproxy` is `scimproxy`."""

from scimproxy.cli import main

if __name__ == "__main__":
    main()
