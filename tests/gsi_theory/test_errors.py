"""Tables of names: an unknown name is one clear error that names its neighbors, and the tables stay plain dicts."""

import pickle

import pytest

from gsi_theory.claims import CLAIMS
from gsi_theory.errors import InputError, Named, UnknownName, nearest
from gsi_theory.methods import METHODS


@pytest.mark.parametrize(
    ("table", "name", "neighbor"),
    [(METHODS, "gis", "'gsi'"), (METHODS, "best_of_n", "'best_of_n_draft'"), (CLAIMS, "m11-CHI", "'M11-chi2'")],
)
def test_an_unknown_name_suggests_its_neighbors(table, name, neighbor):
    with pytest.raises(InputError, match=f"no (method|claim) '{name}' .*{neighbor}") as caught:
        table[name]
    assert isinstance(caught.value, KeyError) and str(caught.value).startswith("no ")
    assert str(caught.value).count("'") <= 8, "more than three neighbors"


def test_a_name_that_is_near_nothing_lists_them_all():
    with pytest.raises(UnknownName, match=rf"no method 'zzz': give one of draft, base, .*{list(METHODS)[-1]}$"):
        METHODS["zzz"]
    with pytest.raises(UnknownName, match="no method 3: give one of draft"):
        METHODS[3]


def test_a_table_is_a_dict_otherwise():
    table = Named("fruit", {"fig": 1})
    assert table.get("plum") is None and "plum" not in table and list(table) == ["fig"] and table == {"fig": 1}
    with pytest.raises(UnknownName, match="no fruit 'plum'"):
        pickle.loads(pickle.dumps(table))["plum"]


def test_nearest():
    known = ("simulate", "report", "law", "Laws", "lawn")
    assert nearest("simulat", known) == " (did you mean 'simulate'?)"
    assert nearest("LAW", known) == " (did you mean 'law', 'Laws' or 'lawn'?)"
    assert nearest("qqq", known) == nearest("", known) == nearest("law", ()) == ""
