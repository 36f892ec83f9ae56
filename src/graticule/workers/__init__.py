"""Several processes that serve one port: a supervisor, and the workers it hands connections to."""
