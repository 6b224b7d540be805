"""A folder of its own for the file that mitmproxy loads: mitmproxy puts the folder of an addon on the import path."""
