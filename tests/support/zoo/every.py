"""All layouts of the zoo."""

from support.zoo import folders, places, schemas, strangers

EVERY = [*folders.LAYOUTS, *schemas.LAYOUTS, *places.LAYOUTS, *strangers.LAYOUTS]
