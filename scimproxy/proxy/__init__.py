"""The proxy: one contract (`engine`), its pure rules (`forwarding`), and the engines that keep it."""
