from gsi_theory.errors import InputError, UnknownName
from gsi_theory.methods import METHODS

try:
    METHODS["gsi_rase"]
except UnknownName as error:  # an InputError, which is a ValueError
    print(error)
    assert isinstance(error, InputError)
