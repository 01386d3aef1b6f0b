"""Processes that were forked, as `multiprocessing` does it on Linux before Python 3.14."""

import multiprocessing

import pytest

import nepal

if "fork" not in multiprocessing.get_all_start_methods():
    pytest.skip("SKIPPED: needs fork", allow_module_level=True)

#: What the children inherit.
shared = {}


def energy(name):
    return shared[name].compute(shared["atoms"], ["energy"])["energy"]


def fresh(_):
    return nepal.Calculator(shared["all"].model).compute(shared["atoms"], ["energy"])["energy"]


@pytest.mark.parametrize("work", [energy, fresh])
def test_calculators_of_the_parent_work_in_forked_children(silicon, diamond, work):
    # Enough atoms for the threads to be used.
    shared["atoms"] = diamond.repeat(4)
    shared["all"] = nepal.Calculator(silicon)
    shared["two"] = nepal.Calculator(silicon, threads=2)
    expected = energy("all")
    assert energy("two") == pytest.approx(expected, rel=1e-12)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map_async(work, ["all", "two", "all"]).get(timeout=60)
    assert found == pytest.approx([expected] * 3, rel=1e-12)
    assert energy("all") == expected
