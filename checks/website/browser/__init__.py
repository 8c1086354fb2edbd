"""The Python that runs in a web page: one thread, no sockets, and the kernel behind the cells."""
