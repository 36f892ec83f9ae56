"""How engines are connected to a catalog."""
