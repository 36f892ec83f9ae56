"""The core is pure, so its laws need no deadline: a busy machine must not fail them."""

from hypothesis import settings

settings.register_profile("core", deadline=None)
settings.load_profile("core")
