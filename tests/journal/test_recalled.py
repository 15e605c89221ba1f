"""Where the results lie that are not in the output yet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectory.journal.recalled import Recalled

PLACES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2), st.integers(0, 9999)), max_size=40)


@given(PLACES, st.integers(0, 20))
def test_it_is_a_mapping_from_item_and_part_to_an_offset(places: list[tuple[int, int, int]], base: int):
    recalled, model = Recalled(base), dict[tuple[int, int], int]()
    for seq, part, offset in places:
        recalled.put(seq, part, offset)
        model[seq, part] = offset

    assert {(seq, part): recalled.get(seq, part) for seq in range(32) for part in range(3)} == {
        (seq, part): model.get((seq, part)) for seq in range(32) for part in range(3)
    }
